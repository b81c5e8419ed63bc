//! The text that Prometheus reads: families of samples, and labels.

use crate::counter::Counter;
use alloc::string::String;
use core::fmt::{Display, Write};

/// A page, and the name of the family whose samples come next, at its end.
pub(super) struct Page(String);

// Writing to a string cannot fail.
impl Page {
    pub(super) const fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let text = &mut self.0;
        let _ = writeln!(
            text,
            "# HELP phyros_{name} {help}\n# TYPE phyros_{name} {kind}"
        );
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    pub(super) fn plain(&mut self, name: &str, help: &str, counter: &Counter) {
        self.counter(name, help);
        self.sample("", counter.get());
    }

    /// The name that the last family has.
    fn name(&self) -> String {
        let line = self
            .0
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("# TYPE "));
        line.and_then(|line| line.split(' ').next())
            .unwrap_or_default()
            .into()
    }

    pub(super) fn sample(&mut self, labels: &str, value: impl Display) {
        let name = self.name();
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    pub(super) fn sample_with(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        let mut text = String::new();
        for (at, (label, value)) in labels.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(text, "{comma}{label}=\"");
            escape(&alloc::format!("{value}"), &mut text);
            text.push('"');
        }
        self.sample(&text, value);
    }
}

/// What a label must not have as it is.
fn escape(value: &str, into: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}
