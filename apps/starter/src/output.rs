//! Where output goes: text for people, and bytes as they are.
//!
//! A terminal wants a carriage return before each line feed, and gets it when text is written.
//! The bytes of a file are another matter: whoever asks for them wants them unchanged.

use core::fmt;
use embedded_io::Write;

/// Takes what commands print.
///
/// Text goes in by `write!`, which cannot fail here: there would be nowhere to say so.
pub trait Output: fmt::Write {
    /// Writes bytes as they are.
    fn bytes(&mut self, bytes: &[u8]);

    /// Whether the last thing written was the end of a line.
    fn at_line_start(&self) -> bool;

    /// Empties the screen; the next text is at its top.
    fn clear(&mut self);
}

/// A terminal at the other end of a byte stream.
#[derive(Debug)]
pub struct Terminal<W> {
    wire: W,
    at_line_start: bool,
}

impl<W: Write> Terminal<W> {
    /// A terminal whose cursor is at the start of a line.
    pub const fn new(wire: W) -> Self {
        Self {
            wire,
            at_line_start: true,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // A terminal that is gone needs no output.
        let _ = self.wire.write_all(bytes);
    }
}

impl<W: Write> fmt::Write for Terminal<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.send(b"\r\n");
            }
            if !line.is_empty() {
                self.send(line.as_bytes());
            }
        }
        if !text.is_empty() {
            self.at_line_start = text.ends_with('\n');
        }
        Ok(())
    }
}

impl<W: Write> Output for Terminal<W> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.send(bytes);
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
    }

    fn at_line_start(&self) -> bool {
        self.at_line_start
    }

    fn clear(&mut self) {
        // Cursor to the upper left corner, then erase all (ECMA-48, CUP and ED).
        self.send(b"\x1b[H\x1b[2J");
        self.at_line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Wire;
    use core::fmt::Write as _;

    #[test]
    fn text_gets_carriage_returns_and_bytes_do_not() {
        let wire = Wire::default();
        let mut terminal = Terminal::new(wire.clone());
        writeln!(terminal, "one\ntwo").unwrap();
        terminal.bytes(b"three\n\xff");
        assert_eq!(wire.take(), b"one\r\ntwo\r\nthree\n\xff");
    }

    #[test]
    fn a_terminal_knows_where_a_line_ends() {
        let mut terminal = Terminal::new(Wire::default());
        assert!(terminal.at_line_start());
        terminal.write_str("a").unwrap();
        terminal.write_str("").unwrap();
        assert!(!terminal.at_line_start());
        terminal.bytes(b"b\n");
        terminal.bytes(b"");
        assert!(terminal.at_line_start());
        terminal.bytes(b"\n\0");
        assert!(!terminal.at_line_start());
        terminal.clear();
        assert!(terminal.at_line_start());
    }
}
