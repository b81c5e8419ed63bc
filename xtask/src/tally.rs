//! Adds up the results that test programs print.

use std::fmt;

/// Results so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Takes a line of output. Only a summary in libtest's form counts:
    /// `test result: ok. 12 passed; 0 failed; …`.
    pub(crate) fn take(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        let count = |word: &str| {
            let before = counts.split_once(word)?.0;
            before
                .rsplit([' ', ';', '.'])
                .find(|text| !text.is_empty())?
                .parse::<u64>()
                .ok()
        };
        self.passed += count(" passed").unwrap_or(0);
        self.failed += count(" failed").unwrap_or(0);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_up_and_other_lines_are_not() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "serial output: 99 passed; 99 failed",
        ] {
            tally.take(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2
            }
        );
        assert_eq!(tally.to_string(), "15 passed, 2 failed");
    }
}
