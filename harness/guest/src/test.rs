//! The record that a `#[vm_test]` leaves in the kernel's ELF file.
//!
//! Holding a [`Test`] tells you: somewhere in the image is a function of this name,
//! it wants this machine, and this is how it is meant to end.
//! The layout is `repr(C)` and free of references, but for the function itself,
//! so that [`Test::describe`] reads it from the bytes of the file.

use core::mem::{offset_of, size_of};

use crate::text::{Text, text_in};

/// All tests of the image.
#[linkme::distributed_slice]
pub static TESTS: [Test];

/// The ELF section that holds [`TESTS`].
pub const SECTION: &str = "linkme_TESTS";

/// First word of every record. Its last digit is the version of the layout.
const MAGIC: u64 = u64::from_le_bytes(*b"VMTEST.1");

const SHOULD_PANIC: u32 = 1;
const IGNORED: u32 = 2;

/// One in-VM test.
#[repr(C)]
pub struct Test {
    magic: u64,
    name: Text<160>,
    file: Text<128>,
    machine: Text<128>,
    expected: Text<160>,
    reason: Text<128>,
    line: u32,
    flags: u32,
    timeout: u32,
    reserved: u32,
    run: fn(),
}

impl Test {
    /// A test that runs on the plainest machine and is meant to return.
    pub const fn new(name: &str, file: &str, line: u32, run: fn()) -> Self {
        Self {
            magic: MAGIC,
            name: Text::new(name),
            file: Text::new(file),
            machine: Text::EMPTY,
            expected: Text::EMPTY,
            reason: Text::EMPTY,
            line,
            flags: 0,
            timeout: 0,
            reserved: 0,
            run,
        }
    }

    /// The test needs this machine. The words are the harness's (`harness::grammar`).
    pub const fn on(mut self, machine: &str) -> Self {
        self.machine = Text::new(machine);
        self
    }

    /// The test is meant to panic, with a message that contains `text`.
    pub const fn should_panic(mut self, text: &str) -> Self {
        self.flags |= SHOULD_PANIC;
        self.expected = Text::new(text);
        self
    }

    /// The test has failed if it is not over after so many seconds.
    pub const fn within(mut self, seconds: u32) -> Self {
        self.timeout = seconds;
        self
    }

    /// The test runs only when it is asked for with `--ignored`.
    pub const fn ignored(mut self, reason: &str) -> Self {
        self.flags |= IGNORED;
        self.reason = Text::new(reason);
        self
    }

    /// The path of the function, as in `kernel::memory::tests::name`.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Calls the function.
    pub(crate) fn call(&self) {
        (self.run)();
    }

    /// Reads the record at the start of `bytes`, which come from an ELF file.
    ///
    /// Returns `None` if there is no whole record of this layout.
    pub fn describe(bytes: &[u8]) -> Option<Description<'_>> {
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let text = |at: usize, len: usize| text_in(bytes.get(at..at + len)?);

        if bytes.len() < size_of::<Self>() || *bytes.first_chunk()? != MAGIC.to_le_bytes() {
            return None;
        }
        let flags = number(offset_of!(Self, flags))?;
        let expected = text(offset_of!(Self, expected), size_of::<Text<160>>())?;
        let reason = text(offset_of!(Self, reason), size_of::<Text<128>>())?;
        let timeout = number(offset_of!(Self, timeout))?;
        Some(Description {
            name: text(offset_of!(Self, name), size_of::<Text<160>>())?,
            file: text(offset_of!(Self, file), size_of::<Text<128>>())?,
            line: number(offset_of!(Self, line))?,
            machine: text(offset_of!(Self, machine), size_of::<Text<128>>())?,
            should_panic: (flags & SHOULD_PANIC != 0).then_some(expected),
            timeout_seconds: (timeout != 0).then_some(timeout),
            ignored: (flags & IGNORED != 0).then_some(reason),
        })
    }
}

/// What the host knows of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// The path of the function.
    pub name: &'a str,
    /// The source file.
    pub file: &'a str,
    /// The line of the mark.
    pub line: u32,
    /// The words that describe the machine; may be empty.
    pub machine: &'a str,
    /// The test is meant to panic with a message that contains this.
    pub should_panic: Option<&'a str>,
    /// The test's own time limit.
    pub timeout_seconds: Option<u32>,
    /// Why the test runs only on request.
    pub ignored: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_has_no_holes() {
        // The host reads these bytes; a hole would be an undefined part of the file.
        let fields = 8 + 160 + 128 + 128 + 160 + 128 + 4 * 4 + size_of::<fn()>();
        assert_eq!(size_of::<Test>(), fields);
    }

    #[test]
    fn foreign_bytes_are_no_record() {
        assert_eq!(Test::describe(&[]), None);
        assert_eq!(Test::describe(&[0; 2048]), None);
        assert_eq!(Test::describe(&MAGIC.to_le_bytes()), None, "a torn record");
    }
}
