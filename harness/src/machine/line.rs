//! A command line in the making: its options, paths inside their values, and how a shell takes it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The words so far.
#[derive(Default)]
pub(super) struct Line(pub(super) Vec<OsString>);

impl Line {
    pub(super) fn add(&mut self, option: &str, value: &(impl AsRef<OsStr> + ?Sized)) {
        self.0.extend([option.into(), value.as_ref().into()]);
    }
}

/// A path inside an option's value, where a comma ends the value unless it is doubled.
pub(crate) fn escape(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

pub(super) fn join(parts: &[&dyn AsRef<OsStr>]) -> OsString {
    parts.iter().map(|part| part.as_ref()).collect()
}

/// A command line that a shell takes as it was meant.
pub fn shell_line(program: &OsStr, arguments: &[OsString]) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    words.map(quote).collect::<Vec<_>>().join(" ")
}
