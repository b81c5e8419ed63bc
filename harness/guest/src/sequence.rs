//! The form of a record: one line, with a number before and a mark behind.
//!
//! ```text
//! <number> <kind> <text> RS LF
//! ```
//!
//! - The number counts from 0. A gap is a record that was lost.
//! - `RS` is the ASCII record separator, 0x1e. A line that ends without it was torn:
//!   something broke off the writer in the middle.
//! - Control characters and backslashes of the text are escaped, so neither mark can
//!   occur inside.
//! - A writer that finds a line begun begins a new one. What was broken off stays visible.
//!
//! The reader is the harness's; the writer is here, and both are tested against this text.

use core::fmt::{self, Write};

/// Ends a whole record. ASCII calls it so.
pub const RECORD_SEPARATOR: u8 = 0x1e;

/// Version of the channel, told in the first record.
pub const VERSION: u32 = 1;

/// Writes one record as bytes to `send`.
///
/// `text` may be anything; it is escaped.
pub fn write_record(number: u64, kind: &str, text: fmt::Arguments<'_>, mut send: impl FnMut(u8)) {
    let mut escape = Escape(&mut send);
    // `Escape` itself never fails; a `Display` that does has its text cut short.
    let _ = write!(escape, "{number} {kind} ");
    let _ = escape.write_fmt(text);
    send(RECORD_SEPARATOR);
    send(b'\n');
}

/// Sends text so that it contains no control character.
struct Escape<F>(F);

impl<F: FnMut(u8)> Write for Escape<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.as_bytes() {
            let escaped = match byte {
                b'\n' => b"\\n",
                b'\\' => b"\\\\",
                0..0x20 | 0x7f => b"\\?",
                plain => core::slice::from_ref(plain),
            };
            escaped.iter().for_each(|&byte| self.0(byte));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: fmt::Arguments<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_record(3, "panic", text, |byte| bytes.push(byte));
        bytes
    }

    #[test]
    fn a_record_is_a_numbered_line_with_an_end_mark() {
        assert_eq!(
            written(format_args!("left: {}", 4)),
            b"3 panic left: 4\x1e\n"
        );
    }

    #[test]
    fn no_text_can_end_a_record_early() {
        let bytes = written(format_args!("a\nb\\c\x1e\x00\x7fé"));
        assert_eq!(bytes, "3 panic a\\nb\\\\c\\?\\?\\?é\x1e\n".as_bytes());
    }

    #[test]
    fn a_display_that_fails_still_ends_its_record() {
        struct Fails;
        impl fmt::Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("so far")?;
                Err(fmt::Error)
            }
        }
        assert_eq!(
            written(format_args!("{Fails} and on")),
            b"3 panic so far\x1e\n"
        );
    }
}
