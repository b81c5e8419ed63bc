//! What a disk is called by whoever made it (section 5.2.6, GET_ID).
//!
//! It is any 20 bytes. A shorter name ends with a zero, and one that fills all of them with nothing. It is for people, who
//! have terminals, so what is not printable is not handed on.

use core::fmt;

/// The name of a disk, which is printable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Serial {
    /// The bytes that a device writes.
    pub const BYTES: usize = 20;

    /// The name in the bytes that a device has written: up to the first zero, if there is one, and without blanks around
    /// it. What is not printable is a question mark. `None` if nothing is left.
    pub fn new(mut bytes: [u8; Self::BYTES]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0);
        let end = end.unwrap_or(Self::BYTES);
        let start = end - bytes[..end].trim_ascii_start().len();
        let len = bytes[start..end].trim_ascii().len();
        bytes.copy_within(start..start + len, 0);
        for byte in &mut bytes[..len] {
            if !matches!(byte, b' '..=b'~') {
                *byte = b'?';
            }
        }
        (len > 0).then_some(Self { bytes, len })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // It is ASCII throughout, so the conversion succeeds.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Option<String> {
        let mut all = [0; Serial::BYTES];
        all[..bytes.len()].copy_from_slice(bytes);
        Serial::new(all).map(|serial| serial.as_str().into())
    }

    #[test]
    fn a_name_ends_with_a_zero_or_with_the_last_byte() {
        assert_eq!(name(b"phyros0").as_deref(), Some("phyros0"));
        assert_eq!(
            name(b"0123456789abcdefghij").as_deref(),
            Some("0123456789abcdefghij")
        );
        assert_eq!(
            name(b"0123456789abcdefghi").as_deref(),
            Some("0123456789abcdefghi")
        );
        assert_eq!(name(b"one\0and another").as_deref(), Some("one"));
        assert_eq!(name(b"  a b  ").as_deref(), Some("a b"));
        for nothing in [&b""[..], b"\0x", b"   ", &[b' '; 20]] {
            assert_eq!(name(nothing), None);
        }
    }

    #[test]
    fn what_is_not_printable_is_not_handed_on() {
        assert_eq!(name(b"a\x1b[2J\x7f\xff\nb").as_deref(), Some("a?[2J???b"));
        assert_eq!(name(&[0xff; 20]).as_deref(), Some("????????????????????"));
        for byte in 0..=u8::MAX {
            let serial = Serial::new([byte; 20]);
            let is_fine = |serial: Serial| {
                serial
                    .as_str()
                    .bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte))
            };
            assert!(serial.is_none_or(is_fine));
        }
    }
}
