//! The header in front of each frame (section 5.1.6): a pure function each way.
//!
//! Offsets in it count from the first byte of the frame. What a card writes there is checked against the
//! frame and against what was agreed on before anybody uses it.

use super::config::Properties;
use crate::error::RequestError;
use virtio_spec::net::{HdrF, HdrGso};

/// Bytes of a header. Always with the number of buffers: no legacy device is driven.
pub const HEADER: usize = 12;

/// Bytes of an Ethernet header: no frame is shorter.
pub(super) const ETHERNET: u64 = 14;

/// In the type of segments: with explicit congestion notification.
const ECN: u8 = 0x80;

/// A checksum of all bytes from `start` to the end of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Where the sum starts.
    pub start: u16,
    /// Where it is stored, counted from `start`.
    pub field: u16,
}

/// What the segments of a long frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segments {
    /// TCP on IPv4.
    Tcp4,
    /// TCP on IPv6.
    Tcp6,
}

/// A frame that is several on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Of what.
    pub segments: Segments,
    /// Most bytes of payload in each.
    pub size: u16,
    /// Bytes of all headers. Of a frame that arrived it is a hint, and 0 if the card does not say.
    pub headers: u16,
}

/// What the card is to do with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Fill in a checksum.
    pub checksum: Option<Checksum>,
    /// Cut it into segments. Only with a checksum.
    pub joined: Option<Joined>,
}

/// What the card says of the checksum of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing.
    No,
    /// It is right.
    Yes,
    /// It is still to be filled in: the frame never was on a wire.
    Partial(Checksum),
}

/// What the card says of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Of its checksum.
    pub checked: Checked,
    /// Of the segments that it was made of.
    pub joined: Option<Joined>,
}

/// What the card says of a frame makes no sense. The frame is of no use; its memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Offload {
    /// Whether a card can do that with a frame of so many bytes.
    #[inline]
    pub(super) fn check(&self, properties: &Properties, bytes: u64) -> Result<(), RequestError> {
        let sum_fits = self.checksum.is_none_or(|sum| {
            let end = u64::from(sum.start) + u64::from(sum.field) + 2;
            properties.checksum && end <= bytes
        });
        let cut_fits = self.joined.is_none_or(|joined| {
            let has_sum = self.checksum.is_some();
            let can = match joined.segments {
                Segments::Tcp4 => properties.segment_tcp4,
                Segments::Tcp6 => properties.segment_tcp6,
            };
            can && has_sum && joined.size > 0 && u64::from(joined.headers) < bytes
        });
        match sum_fits && cut_fits {
            true => Ok(()),
            false => Err(RequestError::Unsupported),
        }
    }

    /// The header of a frame that is to be sent, as two words.
    #[inline]
    pub(super) fn words(&self) -> [u64; 2] {
        let mut word = 0;
        let mut tail = 0;
        if let Some(sum) = self.checksum {
            word |= u64::from(HdrF::NEEDS_CSUM.bits()) | u64::from(sum.start) << 48;
            tail |= u64::from(sum.field);
        }
        if let Some(joined) = self.joined {
            let kind: u8 = match joined.segments {
                Segments::Tcp4 => HdrGso::Tcpv4,
                Segments::Tcp6 => HdrGso::Tcpv6,
            }
            .into();
            word |= u64::from(kind) << 8
                | u64::from(joined.headers) << 16
                | u64::from(joined.size) << 32;
        }
        [word, tail]
    }
}

/// The number of buffers that a frame lies in, by the header in the first.
pub(super) fn buffers(header: &[u8; HEADER]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

/// What a card says of a frame of so many bytes.
pub(super) fn content(
    header: &[u8; HEADER],
    properties: &Properties,
    bytes: u64,
) -> Result<Content, Malformed> {
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let flags = HdrF::from_bits_retain(header[0]);
    if bytes < ETHERNET {
        return Err(Malformed);
    }
    let checked = if flags.contains(HdrF::NEEDS_CSUM) {
        let (start, field) = (half(6), half(8));
        if !properties.checked || u64::from(start) + u64::from(field) + 2 > bytes {
            return Err(Malformed);
        }
        Checked::Partial(Checksum { start, field })
    } else if flags.contains(HdrF::DATA_VALID) && properties.checked {
        Checked::Yes
    } else {
        Checked::No
    };
    let segments = match HdrGso::try_from(header[1] & !ECN) {
        Ok(HdrGso::None) => None,
        Ok(HdrGso::Tcpv4) if properties.joined_tcp4 => Some(Segments::Tcp4),
        Ok(HdrGso::Tcpv6) if properties.joined_tcp6 => Some(Segments::Tcp6),
        _ => return Err(Malformed),
    };
    let joined = match (segments, half(4)) {
        (None, _) => None,
        (Some(_), 0) => return Err(Malformed),
        (Some(segments), size) => Some(Joined {
            segments,
            size,
            headers: match half(2) {
                headers if u64::from(headers) < bytes => headers,
                _ => 0,
            },
        }),
    };
    Ok(Content { checked, joined })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Properties {
        Properties {
            checksum: true,
            segment_tcp4: true,
            segment_tcp6: true,
            checked: true,
            joined_tcp4: true,
            joined_tcp6: true,
            ..Properties::plain()
        }
    }

    fn bytes(words: [u64; 2]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&words[0].to_le_bytes());
        bytes[8..].copy_from_slice(&words[1].to_le_bytes()[..4]);
        bytes
    }

    #[test]
    fn what_is_asked_for_on_one_side_is_what_is_said_on_the_other() {
        let checksum = Some(Checksum {
            start: 0x1234,
            field: 0x56,
        });
        let joined = Some(Joined {
            segments: Segments::Tcp6,
            size: 1440,
            headers: 74,
        });
        let header = bytes(Offload { checksum, joined }.words());
        // By hand, from section 5.1.6.
        let expected = [1, 4, 74, 0, 0xa0, 5, 0x34, 0x12, 0x56, 0, 0, 0];
        assert_eq!(header, expected);
        let content = content(&header, &able(), 60_000).expect("it makes sense");
        assert_eq!(content.joined, joined);
        assert_eq!(Some(content.checked), checksum.map(Checked::Partial));
        assert_eq!(bytes(Offload::default().words()), [0; HEADER]);
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        let good = [0; HEADER];
        let with = |at: usize, byte: u8| {
            let mut header = good;
            header[at] = byte;
            header
        };
        assert!(content(&good, &able(), 14).is_ok());
        assert_eq!(content(&good, &able(), 13), Err(Malformed));
        // A sum that would be stored behind the end.
        let mut sum = with(0, 1);
        (sum[6], sum[8]) = (34, 16);
        assert!(content(&sum, &able(), 52).is_ok());
        assert_eq!(content(&sum, &able(), 51), Err(Malformed));
        (sum[6], sum[7], sum[8], sum[9]) = (0xff, 0xff, 0xff, 0xff);
        assert_eq!(content(&sum, &able(), 65_549), Err(Malformed));
        // Segments of no bytes, or that nobody knows.
        assert_eq!(content(&with(1, 1), &able(), 99), Err(Malformed));
        for kind in [2, 3, 5, 6, 0x7f] {
            let mut header = with(1, kind);
            header[4] = 100;
            assert_eq!(content(&header, &able(), 99), Err(Malformed), "{kind}");
        }
        let mut header = with(1, 1 | ECN);
        header[4] = 100;
        assert!(content(&header, &able(), 99).is_ok());
    }

    #[test]
    fn what_was_not_agreed_on_is_malformed_or_not_believed() {
        let plain = Properties::plain();
        let mut header = [0; HEADER];
        header[0] = 2;
        let said = content(&header, &plain, 99).expect("a hint");
        assert_eq!(said.checked, Checked::No);
        let said = content(&header, &able(), 99).expect("a hint");
        assert_eq!(said.checked, Checked::Yes);
        header[0] = 1;
        assert_eq!(content(&header, &plain, 99), Err(Malformed));
        (header[0], header[1], header[4]) = (0, 1, 100);
        assert_eq!(content(&header, &plain, 99), Err(Malformed));
        assert!(content(&header, &able(), 99).is_ok());
    }

    #[test]
    fn a_card_is_asked_only_for_what_it_can_do() {
        let sum = Some(Checksum {
            start: 34,
            field: 16,
        });
        let joined = Some(Joined {
            segments: Segments::Tcp4,
            size: 1460,
            headers: 54,
        });
        let ask = |checksum, joined, properties: &Properties, bytes| {
            Offload { checksum, joined }
                .check(properties, bytes)
                .is_ok()
        };
        let plain = Properties::plain();
        assert!(ask(None, None, &plain, 14));
        assert!(!ask(sum, None, &plain, 60) && ask(sum, None, &able(), 60));
        assert!(ask(sum, None, &able(), 52) && !ask(sum, None, &able(), 51));
        assert!(ask(sum, joined, &able(), 60_000) && !ask(None, joined, &able(), 60_000));
        assert!(!ask(sum, joined, &able(), 54));
        let only6 = Properties {
            segment_tcp4: false,
            ..able()
        };
        assert!(!ask(sum, joined, &only6, 60_000));
    }
}
