//! From bytes to keys.
//!
//! A terminal sends characters as UTF-8, control keys as single bytes, and the others as escape
//! sequences (ECMA-48, section 5.4; xterm's "ctlseqs"). Sequences that mean nothing here are read
//! to their end and dropped. A control character ends any sequence, so no garbage can
//! swallow more than the line that it is in.

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character to insert; never a control character.
    Character(char),
    /// The end of the line: CR, LF, or both as one.
    Enter,
    /// Delete to the left.
    Backspace,
    /// Delete at the cursor.
    Delete,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// To the start.
    Home,
    /// To the end.
    End,
    /// Ctrl and a letter, given in upper case.
    Control(char),
}

const BELL: u8 = 0x07;
const ESCAPE: u8 = 0x1b;

/// What has been read of the key that is under way.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Ground,
    /// ESC was read.
    Escape,
    /// ESC O: one more byte, the key.
    SingleShift,
    /// ESC [: parameters, then a final byte. Holds the first parameter.
    Sequence(Parameter),
    /// ESC [ [: one more byte, a function key of the Linux console.
    Console,
    /// ESC ] and others: text up to BEL or ESC.
    Text,
    /// The start of a UTF-8 character: bytes, how many are there, how many there must be.
    Utf8([u8; 4], usize, usize),
}

/// The first number of an escape sequence.
#[derive(Debug, Clone, Copy)]
enum Parameter {
    Reading(u8),
    Complete(u8),
}

impl Parameter {
    const fn number(self) -> u8 {
        match self {
            Self::Reading(number) | Self::Complete(number) => number,
        }
    }

    const fn with(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Reading(number), b'0'..=b'9') => {
                Self::Reading(number.saturating_mul(10).saturating_add(byte - b'0'))
            }
            _ => Self::Complete(self.number()),
        }
    }
}

/// Makes keys of bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys {
    state: State,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_return: bool,
}

impl Keys {
    /// Takes a byte, which may complete a key.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        if byte == b'\n' && after_return {
            return None;
        }
        match (core::mem::take(&mut self.state), byte) {
            (State::Utf8(bytes, len, needed), 0x80..=0xbf) => {
                self.continue_utf8(bytes, len, needed, byte)
            }
            (State::Text, 0x20..) => {
                self.state = State::Text;
                None
            }
            (State::Text, BELL) => None,
            // A sequence that is cut off by a control character is dropped.
            (_, 0x00..=0x1f | 0x7f) => self.control(byte),
            (State::Escape, _) => {
                self.state = match byte {
                    b'[' => State::Sequence(Parameter::Reading(0)),
                    b'O' => State::SingleShift,
                    b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
                    _ => State::Ground,
                };
                None
            }
            (State::Sequence(_), b'[') => {
                self.state = State::Console;
                None
            }
            (State::Sequence(parameter), 0x20..=0x3f) => {
                self.state = State::Sequence(parameter.with(byte));
                None
            }
            (State::Sequence(parameter), 0x40..=0x7e) => named(byte, parameter.number()),
            (State::SingleShift, _) => named(byte, 0),
            (State::Console, _) => None,
            (State::Ground | State::Utf8(..) | State::Sequence(_), _) => self.character(byte),
        }
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'\r' | b'\n' => Some(Key::Enter),
            0x08 | 0x7f => Some(Key::Backspace),
            // A tab from a pipe separates words, as a space does.
            b'\t' => Some(Key::Character(' ')),
            ESCAPE => {
                self.state = State::Escape;
                None
            }
            0x01..=0x1a => Some(Key::Control(char::from(byte | 0x40))),
            _ => None,
        }
    }

    /// The first byte of a character (Unicode standard, table 3-7).
    fn character(&mut self, byte: u8) -> Option<Key> {
        let needed = match byte {
            0x20..=0x7e => return Some(Key::Character(char::from(byte))),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return None,
        };
        self.state = State::Utf8([byte, 0, 0, 0], 1, needed);
        None
    }

    fn continue_utf8(
        &mut self,
        mut bytes: [u8; 4],
        len: usize,
        needed: usize,
        byte: u8,
    ) -> Option<Key> {
        bytes[len] = byte;
        if len + 1 < needed {
            self.state = State::Utf8(bytes, len + 1, needed);
            return None;
        }
        let character = core::str::from_utf8(&bytes[..needed])
            .ok()?
            .chars()
            .next()?;
        (!character.is_control()).then_some(Key::Character(character))
    }
}

/// The key of an escape sequence that ends in `last`.
const fn named(last: u8, parameter: u8) -> Option<Key> {
    Some(match (last, parameter) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.feed(*byte)).collect()
    }

    fn text(text: &str) -> Vec<Key> {
        text.chars().map(Key::Character).collect()
    }

    #[test]
    fn every_end_of_line_is_one_key() {
        use Key::Enter;
        assert_eq!(keys(b"\r"), [Enter]);
        assert_eq!(keys(b"\n"), [Enter]);
        assert_eq!(keys(b"\r\n"), [Enter]);
        assert_eq!(keys(b"\r\r\n\n"), [Enter, Enter, Enter]);
        assert_eq!(keys(b"\n\r"), [Enter, Enter]);
        assert_eq!(keys(b"\ra\n"), [Enter, Key::Character('a'), Enter]);
    }

    #[test]
    fn control_keys() {
        assert_eq!(
            keys(&[1, 5, 0x15]),
            [Key::Control('A'), Key::Control('E'), Key::Control('U')]
        );
        assert_eq!(keys(&[0x08, 0x7f]), [Key::Backspace, Key::Backspace]);
        assert_eq!(keys(b"\t"), text(" "));
        assert_eq!(keys(&[0, 0x1c, 0x1f]), []);
    }

    #[test]
    fn characters_of_every_length() {
        assert_eq!(keys("aä€😀".as_bytes()), text("aä€😀"));
    }

    #[test]
    fn bytes_that_are_no_character_are_dropped() {
        assert_eq!(keys(b"a\xffb\x80c\xc3(d"), text("abc(d"));
        // Overlong, a surrogate, beyond the last character, and a control character.
        assert_eq!(
            keys(b"\xc0\xaf\xe0\x80\xaf\xed\xa0\x80\xf4\x90\x80\x80\xc2\x9bz"),
            text("z")
        );
        assert_eq!(keys(b"\xe2\x82\r"), [Key::Enter]);
        assert_eq!(keys("\u{e2}\u{82ac}".as_bytes()), text("\u{e2}\u{82ac}"));
    }

    #[test]
    fn arrows_and_their_neighbours_in_all_dialects() {
        use Key::{Delete, Down, End, Home, Left, Right, Up};
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), [Up, Down, Right, Left]);
        assert_eq!(
            keys(b"\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF"),
            [Up, Down, Right, Left, Home, End]
        );
        assert_eq!(
            keys(b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~"),
            [Home, End, Home, End, Home, End]
        );
        assert_eq!(keys(b"\x1b[3~\x1b[3;5~\x1b[1;5C"), [Delete, Delete, Right]);
    }

    #[test]
    fn unknown_sequences_leave_nothing_behind() {
        for sequence in [
            "\x1b[5~",
            "\x1b[200~",
            "\x1b[?25h",
            "\x1b[38;5;1m",
            "\x1b[24;80R",
            "\x1b[[A",
            "\x1bOP",
            "\x1bx",
            "\x1b]0;title\x07",
            "\x1bP1$r0m\x1b\\",
            "\x1b[99999999999999999999~",
            "\x1b[ q",
            "\x1b\x1b\x1b[Z",
        ] {
            assert_eq!(
                keys(format!("a{sequence}b").as_bytes()),
                text("ab"),
                "{sequence:?}"
            );
        }
    }

    #[test]
    fn a_line_end_ends_a_sequence_that_does_not() {
        for start in [
            "\x1b", "\x1b[", "\x1b[1;", "\x1bO", "\x1b[[", "\x1b]0;x", "\x1bP",
        ] {
            assert_eq!(
                keys(format!("{start}\rls").as_bytes())[0],
                Key::Enter,
                "{start:?}"
            );
            assert_eq!(
                keys(format!("{start}\rls").as_bytes())[1..],
                text("ls"),
                "{start:?}"
            );
        }
    }

    #[test]
    fn no_bytes_panic() {
        let mut state = 1u32;
        let mut all = Keys::default();
        for _ in 0..200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if let Some(Key::Character(character)) = all.feed((state >> 24) as u8) {
                assert!(!character.is_control());
            }
        }
    }
}
