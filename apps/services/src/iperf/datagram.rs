//! The head of a datagram, and what becomes of many.
//!
//! ```text
//! 0        4        8             12 or 16
//! │ seconds│ micros │ number, from 1│ nothing of interest …
//! ```
//!
//! The number has four bytes, or eight if the client says so beforehand. Numbers that are left out were lost,
//! until they come after all.

use super::wire::Count;
use core::time::Duration;

/// What a client says to begin a lane is so long; what it is does not matter.
pub const GREETING: usize = 4;

/// What a server answers: "9876", as a little-endian machine writes that number.
pub const REPLY: [u8; GREETING] = 0x3938_3736_u32.to_le_bytes();

/// Bytes of the head.
pub const fn head(wide: bool) -> usize {
    if wide { 16 } else { 12 }
}

/// What the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was sent, by the clock of who has sent it.
    pub sent: Duration,
    /// The how-manieth it is.
    pub number: u64,
}

impl Stamp {
    /// Reads a head. `None`: it is too short.
    pub fn read(bytes: &[u8], wide: bool) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let seconds = Duration::from_secs(u64::from(word(0)?));
        let sent = seconds + Duration::from_micros(u64::from(word(4)?));
        let mut number = u64::from(word(8)?);
        if wide {
            number = number << 32 | u64::from(word(12)?);
        }
        Some(Self { sent, number })
    }

    /// Writes a head into a datagram that has room for it.
    pub fn write(&self, bytes: &mut [u8], wide: bool) {
        let seconds = self.sent.as_secs() as u32;
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.sent.subsec_micros().to_be_bytes());
        match wide {
            true => bytes[8..16].copy_from_slice(&self.number.to_be_bytes()),
            false => bytes[8..12].copy_from_slice(&(self.number as u32).to_be_bytes()),
        }
    }
}

/// What became of the datagrams of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// The highest number.
    highest: u64,
    /// How many below it have not come.
    lost: u64,
    /// Seconds by which the time on the way varies (RFC 1889, 6.3.1).
    jitter: f64,
    /// Seconds that the last one took, but for how the clocks differ.
    transit: Option<f64>,
}

impl Tally {
    /// Whether none has come.
    pub const fn is_empty(&self) -> bool {
        self.transit.is_none()
    }

    /// One has come.
    pub fn add(&mut self, stamp: Stamp, now: Duration) {
        match stamp.number.checked_sub(self.highest) {
            Some(ahead @ 1..) => {
                self.lost = self.lost.saturating_add(ahead - 1);
                self.highest = stamp.number;
            }
            // It was taken for lost, or comes twice.
            _ => self.lost = self.lost.saturating_sub(1),
        }
        let transit = now.as_secs_f64() - stamp.sent.as_secs_f64();
        let change = self.transit.map_or(0.0, |last| transit - last);
        let change = if change < 0.0 { -change } else { change };
        self.jitter += (change - self.jitter) / 16.0;
        self.transit = Some(transit);
    }

    /// For the client, with so many bytes that came.
    pub(super) const fn count(&self, bytes: u64) -> Count {
        Count {
            bytes,
            packets: self.highest,
            lost: self.lost,
            jitter: self.jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(number: u64, sent: u64) -> Stamp {
        let sent = Duration::from_millis(sent);
        Stamp { sent, number }
    }

    #[test]
    fn heads_are_as_a_client_writes_them() {
        let stamp = Stamp {
            sent: Duration::new(0x0102, 5_000_000),
            number: 0x0a,
        };
        let mut bytes = [0xff; 16];
        stamp.write(&mut bytes, false);
        assert_eq!(
            bytes,
            [
                0, 0, 1, 2, 0, 0, 0x13, 0x88, 0, 0, 0, 10, 0xff, 0xff, 0xff, 0xff
            ]
        );
        assert_eq!(Stamp::read(&bytes, false), Some(stamp));
        assert_eq!(Stamp::read(&bytes[..11], false), None);
        let wide = Stamp {
            number: 0x1234_5678_9abc,
            ..stamp
        };
        wide.write(&mut bytes, true);
        assert_eq!(bytes[8..], [0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
        assert_eq!(Stamp::read(&bytes, true), Some(wide));
        assert_eq!(REPLY, *b"6789");
    }

    #[test]
    fn what_is_left_out_is_lost_until_it_comes() {
        let mut tally = Tally::default();
        for (number, lost) in [(1, 0), (2, 0), (5, 2), (4, 1), (6, 1), (3, 0), (9, 2)] {
            tally.add(at(number, number), Duration::from_secs(1));
            assert_eq!(tally.lost, lost, "after {number}");
        }
        assert_eq!(tally.count(77).packets, 9);
    }

    #[test]
    fn jitter_is_how_the_time_on_the_way_varies() {
        let mut even = Tally::default();
        for number in 1..100 {
            even.add(
                at(number, number * 10),
                Duration::from_millis(number * 10 + 3),
            );
        }
        assert!(even.jitter < 1e-9);
        let mut uneven = Tally::default();
        for number in 1..1000 {
            let arrived = number * 10 + number % 2 * 8;
            uneven.add(at(number, number * 10), Duration::from_millis(arrived));
        }
        assert!((uneven.jitter - 0.008).abs() < 1e-6, "{}", uneven.jitter);
    }

    proptest! {
        #[test]
        fn no_numbers_panic(heads in prop::collection::vec(any::<[u8; 16]>(), 0..20), wide: bool) {
            let mut tally = Tally::default();
            for head in heads {
                let stamp = Stamp::read(&head, wide).unwrap();
                tally.add(stamp, Duration::from_secs(5));
            }
            prop_assert!(tally.lost <= tally.highest);
        }
    }
}
