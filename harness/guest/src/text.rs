//! A short text of fixed size.
//!
//! The host reads test records as plain bytes of a file.
//! A `&str` there would be an address to follow through the program headers;
//! a text inside the record needs nothing.

/// At most `N` bytes of UTF-8, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// The text without a byte in it.
    pub const EMPTY: Self = Self([0; N]);

    /// Copies `text`.
    ///
    /// # Panics
    /// If `text` is longer than `N` bytes or contains a zero byte.
    /// Test records are constants, so this is an error of the build.
    pub const fn new(text: &str) -> Self {
        assert!(text.len() <= N, "the text is too long for a test record");
        let (mut bytes, mut i) = ([0; N], 0);
        while i < text.len() {
            bytes[i] = text.as_bytes()[i];
            assert!(
                bytes[i] != 0,
                "a test record's text may not contain a zero byte"
            );
            i += 1;
        }
        Self(bytes)
    }

    /// The text. Bytes that are no UTF-8 give the empty text.
    pub fn as_str(&self) -> &str {
        text_in(&self.0).unwrap_or_default()
    }
}

/// The text in a padded field, or `None` if it is not UTF-8.
pub(crate) fn text_in(field: &[u8]) -> Option<&str> {
    let end = field
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(field.len());
    core::str::from_utf8(field.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_up_to_its_full_size() {
        assert_eq!(Text::<8>::new("größe").as_str(), "größe");
        assert_eq!(Text::<8>::new("12345678").as_str(), "12345678");
        assert_eq!(Text::<8>::EMPTY.as_str(), "");
    }

    #[test]
    #[should_panic(expected = "too long")]
    fn refuses_a_text_that_does_not_fit() {
        let _ = Text::<4>::new("12345");
    }

    #[test]
    fn a_field_that_is_no_text_is_none() {
        assert_eq!(text_in(&[0xff, 0xfe, 0]), None);
        assert_eq!(text_in(&[]), Some(""));
    }
}
