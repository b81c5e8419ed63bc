//! What is to be found in files when QEMU was killed.
//!
//! A test says it while its machine runs, and is then itself no more. So it is found in the records that it
//! has left, and looked at when there is no process any more that could still write.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::equal_in_file;
use crate::records::{Channel, Event};

/// The call that ends QEMU.
pub(crate) const KILL: &str = "machine.kill";

/// Whether a record's text is that call.
pub(crate) fn is_kill(call: &str) -> bool {
    call.split(' ').next() == Some(KILL)
}

/// Checks all that a test has said must outlast its machine.
///
/// # Errors
/// What did not, or what cannot be looked at.
pub(crate) fn check(channel: &Channel, files: &[(String, PathBuf)]) -> Result<()> {
    for event in channel.events() {
        let Event::Call(call) = event else { continue };
        let Some(rest) = call.strip_prefix("file.outlasts ") else {
            continue;
        };
        let (numbers, name) = rest.split_once(" : ").context("a file has no name")?;
        let numbers: Vec<u64> = numbers
            .split(' ')
            .map(|word| u64::from_str_radix(word, 16))
            .collect::<Result<_, _>>()?;
        let &[_, at, len, seed, offset] = numbers.as_slice() else {
            anyhow::bail!("`{call}` is no call");
        };
        let file = files.iter().find(|(other, _)| other == name);
        let (_, file) = file.with_context(|| format!("the machine has no memory `{name}`"))?;
        let equal = equal_in_file(file, at, len, seed, offset)?;
        ensure!(
            equal == len,
            "QEMU was killed, and byte {equal} behind byte {at} of {name} differs from the pattern (seed {seed}, offset {offset})"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_test::pattern;

    fn channel(calls: &[&str]) -> Channel {
        let mut channel = Channel::default();
        for (number, call) in calls.iter().enumerate() {
            for byte in format!("{number} call {call}\u{1e}\n").bytes() {
                channel.push(byte);
            }
        }
        channel.finish();
        channel
    }

    #[test]
    fn every_byte_that_was_to_outlast_is_looked_at() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; 0x200];
        pattern::fill(7, 0x20, &mut bytes[0x100..]);
        std::fs::write(file.path(), &bytes).unwrap();
        let files = [("pmr0".to_owned(), file.path().to_owned())];
        let good = "file.outlasts 3000 100 100 7 20 : pmr0";
        assert!(check(&channel(&["memory.sum 3000 0 1", good]), &files).is_ok());
        for bad in [
            "file.outlasts 3000 100 101 7 20 : pmr0",
            "file.outlasts 3000 100 100 8 20 : pmr0",
            "file.outlasts 3000 ff 100 7 20 : pmr0",
            "file.outlasts 3000 100 100 7 20 : pmr1",
            "file.outlasts 3000 100 : pmr0",
        ] {
            assert!(check(&channel(&[good, bad]), &files).is_err(), "{bad}");
        }
        assert!(is_kill("machine.kill 3000") && !is_kill("machine.killed 3000"));
    }
}
