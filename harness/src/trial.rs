//! Runs one in-VM test: its machine, its judgement, and the report if it has failed.

use std::env;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::{Context, Result};

use crate::calls::outlasting;
use crate::dissect::{self, Wires};
use crate::grammar::Needs;
use crate::image::Image;
use crate::list::Listed;
use crate::machine::{Accel, Machine};
use crate::symbols;
use crate::verdict::{Expectation, Failure, judge};
use crate::vm::{self, Conditions, Console, Ending, Stop};

/// The environment variable that fixes the seed, to repeat a run.
pub const SEED: &str = "PHYROS_SEED";

/// How a test went.
pub struct Trial {
    /// Why it has not passed.
    pub failure: Option<Failure>,
    /// What the machine left behind.
    pub ending: Ending,
    /// The seed of this run.
    pub seed: u64,
}

/// How often a test may have its machine killed.
const MAX_KILLS: u32 = 4;

/// Boots a fresh machine for the test and judges its end.
///
/// A test that has its machine killed says before what is to be found afterwards. If it is, the machine is
/// booted again, with the same files. Only the last end is judged by what the guest says.
///
/// # Errors
/// If the machine could not even be made.
pub fn run(image: &Image, test: &Listed, accel: Accel) -> Result<Trial> {
    let needs = Needs::parse(&test.machine).with_context(|| test.place.clone())?;
    let folder = tempfile::Builder::new().prefix("phyros-test-").tempdir()?;
    let seed = seed();
    let mut machine = needs.prepare(&image.elf, accel, folder.path(), seed)?;
    let mut input = |name: &str, text: String| -> Result<()> {
        let file = folder.path().join(name);
        std::fs::write(&file, text)?;
        machine.inputs.push((format!("opt/phyros/{name}"), file));
        Ok(())
    };
    input("test", test.name.clone())?;
    input("seed", seed.to_string())?;
    input("kills", 0.to_string())?;
    let conditions = Conditions {
        console: Console::Captured,
        limit: Some(test.limit),
    };
    let expected = Expectation {
        name: &test.name,
        should_panic: test.should_panic.as_deref(),
    };
    let mut kills = 0;
    loop {
        let ending = vm::boot(&machine, conditions)?;
        let failure = match ending.stopped {
            Some(Stop::Asked) if kills < MAX_KILLS => {
                let files = machine.files();
                let lost = outlasting::check(&ending.channel, &files).err();
                lost.map(|lost| Failure::Lost(format!("{lost:#}")))
            }
            _ => judge(&ending, expected).err(),
        };
        if ending.stopped != Some(Stop::Asked) || failure.is_some() {
            let failure = match failure {
                None => misspoken(&machine)?.map(Failure::Wire),
                failure => failure,
            };
            return Ok(Trial {
                failure,
                ending,
                seed,
            });
        }
        kills += 1;
        std::fs::write(folder.path().join("kills"), kills.to_string())?;
    }
}

/// What an independent dissector finds wrong with what was on the wires.
fn misspoken(machine: &Machine) -> Result<Option<String>> {
    for card in &machine.cards {
        if let Some(wires) = Wires::of(card)
            && let Some(capture) = &card.capture
            && let Some(found) = dissect::complaints(capture, wires)?
            && !found.is_empty()
        {
            return Ok(Some(found.join("\n")));
        }
    }
    Ok(None)
}

/// Another number each time, unless the environment fixes it.
fn seed() -> u64 {
    let fixed = env::var(SEED).ok().and_then(|text| text.parse().ok());
    fixed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
}

impl Trial {
    /// Everything that helps to understand a failure.
    pub fn report(&self, image: &Image, test: &Listed) -> String {
        let mut text = String::new();
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "{failure}");
        }
        let machine = if test.machine.is_empty() {
            "the plainest"
        } else {
            &test.machine
        };
        let _ = writeln!(text, "   test: {} ({})", test.name, test.place);
        let _ = writeln!(text, "machine: {machine}");
        let _ = writeln!(text, "   time: {:.3} s", self.ending.time.as_secs_f64());
        let _ = writeln!(text, "   seed: {} (set {SEED} to repeat it)", self.seed);
        section(&mut text, "command line", &self.ending.command);
        let records: Vec<_> = self
            .ending
            .channel
            .records
            .iter()
            .map(|r| r.to_string())
            .collect();
        section(&mut text, "records", &records.join("\n"));
        let flaws: Vec<_> = self
            .ending
            .channel
            .flaws
            .iter()
            .map(|f| f.to_string())
            .collect();
        section(&mut text, "flaws of the record channel", &flaws.join("\n"));
        section(
            &mut text,
            "troubles of the harness",
            &self.ending.trouble.join("\n"),
        );
        section(&mut text, "QEMU says", &self.ending.complaints);
        section(&mut text, "serial output", &self.ending.serial);
        match symbols::backtrace(&image.kernel, &self.ending.backtrace()) {
            Ok(backtrace) => section(&mut text, "backtrace", &backtrace.unwrap_or_default()),
            Err(error) => section(&mut text, "no backtrace", &error.to_string()),
        }
        text
    }
}

/// A titled, indented block, if there is anything in it.
fn section(text: &mut String, title: &str, body: &str) {
    if body.trim().is_empty() {
        return;
    }
    let _ = writeln!(text, "--- {title}");
    for line in body.trim_end().lines() {
        let _ = writeln!(text, "  {line}");
    }
}
