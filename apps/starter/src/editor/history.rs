//! The lines of before.

use alloc::collections::VecDeque;
use alloc::string::String;

/// How many lines are kept.
pub const KEPT: usize = 100;

/// The last lines, oldest first.
///
/// Lines with nothing but spaces are not kept, and a line that is repeated is kept once.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: VecDeque<String>,
    /// How many older ones are forgotten.
    forgotten: usize,
}

impl History {
    /// Remembers a line, and forgets the oldest one if there are too many.
    pub fn add(&mut self, line: &str) {
        if line.trim().is_empty() || self.recent(0) == Some(line) {
            return;
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line.into());
    }

    /// A line of before; 0 is the newest.
    pub fn recent(&self, age: usize) -> Option<&str> {
        let index = self.lines.len().checked_sub(age + 1)?;
        self.lines.get(index).map(String::as_str)
    }

    /// The lines with their numbers, counted from 1 since the start, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (self.forgotten + 1..).zip(self.lines.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_line_comes_first() {
        let mut history = History::default();
        history.add("one");
        history.add("two");
        assert_eq!(history.recent(0), Some("two"));
        assert_eq!(history.recent(1), Some("one"));
        assert_eq!(history.recent(2), None);
    }

    #[test]
    fn a_repeated_line_is_kept_once_and_an_empty_one_never() {
        let mut history = History::default();
        for line in ["a", "a", "", "  ", "a", "b", "a"] {
            history.add(line);
        }
        assert_eq!(
            history.lines().collect::<Vec<_>>(),
            [(1, "a"), (2, "b"), (3, "a")]
        );
    }

    #[test]
    fn old_lines_are_forgotten_and_numbers_go_on() {
        let mut history = History::default();
        for number in 1..=KEPT + 5 {
            history.add(&number.to_string());
        }
        assert_eq!(history.lines().count(), KEPT);
        assert_eq!(history.lines().next(), Some((6, "6")));
        assert_eq!(history.recent(KEPT - 1), Some("6"));
        assert_eq!(history.recent(KEPT), None);
    }
}
