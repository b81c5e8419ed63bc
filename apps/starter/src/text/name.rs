//! Names from devices and disks, made safe to print.
//!
//! A file name may be any bytes, and a terminal obeys some of them. So what is not printable
//! UTF-8 is shown as an escape: `\n`, `\u{1b}`, `\xff`.

use core::fmt::{self, Write};

/// A name, to be printed.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a>(pub &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                // `escape_debug` escapes what is not printable; quotes and backslashes are.
                match character {
                    '\'' | '"' | '\\' => f.write_char(character)?,
                    other => write!(f, "{}", other.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_unchanged() {
        for name in ["README.md", "größe 日本", "it's \"a\\b\""] {
            assert_eq!(Name(name.as_bytes()).to_string(), name);
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(Name(b"a\n\x1b[2Jb").to_string(), r"a\n\u{1b}[2Jb");
        assert_eq!(
            Name("\u{9b}\u{202e}".as_bytes()).to_string(),
            r"\u{9b}\u{202e}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(
            Name(b"a\xff\xc3(\xe2\x82").to_string(),
            r"a\xff\xc3(\xe2\x82"
        );
    }
}
