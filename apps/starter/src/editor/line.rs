//! A line and its cursor, and what keys do to them.

use super::keys::Key;
use alloc::string::String;
use alloc::vec::Vec;

/// The characters that a line can have. A longer one is more likely a mistake than a command.
pub const LONGEST: usize = 16 << 10;

/// A line that is being edited.
///
/// The cursor is before the character of its index, or behind the last one.
#[derive(Debug, Clone, Default)]
pub struct Line {
    characters: Vec<char>,
    cursor: usize,
}

impl Line {
    /// What is in the line.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// How many characters are left of the cursor.
    pub const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether nothing is in the line.
    pub const fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// Replaces the line; the cursor goes to its end.
    pub fn set(&mut self, characters: Vec<char>) {
        self.cursor = characters.len();
        self.characters = characters;
    }

    /// Empties the line and returns what was in it.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        core::mem::take(&mut self.characters).into_iter().collect()
    }

    /// Does what a key says; keys that say nothing to a line change nothing. Returns `false` if
    /// the line is too long for another character.
    pub fn apply(&mut self, key: Key) -> bool {
        match key {
            Key::Character(character) => return self.insert(character),
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.characters.remove(self.cursor);
            }
            Key::Delete | Key::Control('D') if self.cursor < self.characters.len() => {
                self.characters.remove(self.cursor);
            }
            Key::Left | Key::Control('B') => self.cursor = self.cursor.saturating_sub(1),
            Key::Right | Key::Control('F') => {
                self.cursor = self.characters.len().min(self.cursor + 1)
            }
            Key::Home | Key::Control('A') => self.cursor = 0,
            Key::End | Key::Control('E') => self.cursor = self.characters.len(),
            Key::Control('K') => self.characters.truncate(self.cursor),
            Key::Control('U') => self.delete_back_to(0),
            Key::Control('W') => self.delete_back_to(self.word_start()),
            _ => {}
        }
        true
    }

    fn insert(&mut self, character: char) -> bool {
        if self.characters.len() >= LONGEST {
            return false;
        }
        self.characters.insert(self.cursor, character);
        self.cursor += 1;
        true
    }

    fn delete_back_to(&mut self, start: usize) {
        self.characters.drain(start..self.cursor);
        self.cursor = start;
    }

    /// Where the word begins that the cursor is in, or behind.
    fn word_start(&self) -> usize {
        let before = &self.characters[..self.cursor];
        let word_end = before
            .iter()
            .rposition(|c| !c.is_whitespace())
            .map_or(0, |last| last + 1);
        before[..word_end]
            .iter()
            .rposition(|c| c.is_whitespace())
            .map_or(0, |space| space + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line from text in which `|` is the cursor.
    fn line(text: &str) -> Line {
        let cursor = text.chars().position(|c| c == '|').unwrap();
        Line {
            characters: text.chars().filter(|c| *c != '|').collect(),
            cursor,
        }
    }

    fn shown(line: &Line) -> String {
        let mut characters = line.characters.clone();
        characters.insert(line.cursor, '|');
        characters.into_iter().collect()
    }

    #[test]
    fn keys_edit_as_their_names_say() {
        for (before, key, after) in [
            ("a|c", Key::Character('b'), "ab|c"),
            ("ab|", Key::Character('ü'), "abü|"),
            ("aü|b", Key::Backspace, "a|b"),
            ("|ab", Key::Backspace, "|ab"),
            ("a|üb", Key::Delete, "a|b"),
            ("ab|", Key::Delete, "ab|"),
            ("a|bc", Key::Control('D'), "a|c"),
            ("ab|", Key::Left, "a|b"),
            ("|ab", Key::Control('B'), "|ab"),
            ("|ab", Key::Right, "a|b"),
            ("ab|", Key::Control('F'), "ab|"),
            ("ab|c", Key::Home, "|abc"),
            ("ab|c", Key::Control('A'), "|abc"),
            ("a|bc", Key::End, "abc|"),
            ("a|bc", Key::Control('E'), "abc|"),
            ("a|bc", Key::Control('K'), "a|"),
            ("ab|c", Key::Control('U'), "|c"),
            ("cat /a/b|", Key::Control('W'), "cat |"),
            ("cat  |x", Key::Control('W'), "|x"),
            ("one two|three", Key::Control('W'), "one |three"),
            ("  |", Key::Control('W'), "|"),
            ("|a", Key::Control('W'), "|a"),
            ("a|b", Key::Control('Z'), "a|b"),
        ] {
            let mut edited = line(before);
            assert!(edited.apply(key));
            assert_eq!(shown(&edited), after, "{before} {key:?}");
        }
    }

    #[test]
    fn a_line_that_is_full_takes_no_more() {
        let mut full = Line::default();
        full.set(vec!['x'; LONGEST]);
        assert!(!full.apply(Key::Character('y')));
        assert_eq!(full.characters().len(), LONGEST);
        assert!(full.apply(Key::Backspace));
        assert!(full.apply(Key::Character('y')));
    }

    #[test]
    fn a_line_that_is_taken_leaves_an_empty_one() {
        let mut edited = line("l|s");
        assert_eq!(edited.take(), "ls");
        assert!(edited.is_empty());
        assert!(edited.apply(Key::Character('a')));
        assert_eq!(shown(&edited), "a|");
    }
}
