//! Protection information as bytes, and its guard (NVM command set specification 1.0,
//! sections 5.2.1 and 5.2.2).
//!
//! Everything in it is big-endian, as in SCSI, where it comes from.

use super::{Guard, Kind, Protection};
use core::fmt;
use crc::{CRC_16_T10_DIF, CRC_64_NVME, Crc, Digest, Table};

static CRC16: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_T10_DIF);
static CRC64: Crc<u64, Table<1>> = Crc::<u64, Table<1>>::new(&CRC_64_NVME);

/// The protection information of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// The checksum over data, and over metadata that comes before.
    pub guard: u64,
    /// The tag of the application. FFFFh turns all checks off (see [`Tuple::is_escape`]).
    pub application: u16,
    /// The reference tag: 32 or 48 bits.
    pub reference: u64,
}

/// What is wrong with a block, by its protection information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The data is not what the guard was computed over.
    Guard {
        /// In the protection information.
        stored: u64,
        /// Over the data that is there.
        computed: u64,
    },
    /// The application tag differs in a bit of the mask.
    Application {
        /// In the protection information.
        stored: u16,
        /// By the request.
        expected: u16,
    },
    /// The block is another one than was asked for.
    Reference {
        /// In the protection information.
        stored: u64,
        /// By the request.
        expected: u64,
    },
}

impl Tuple {
    /// Reads the information from the first bytes of `bytes`; `None` if they are too few.
    pub fn decode(guard: Guard, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..guard.tuple_bytes())?;
        let number = |range: core::ops::Range<usize>| {
            let digits = bytes[range].iter();
            digits.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        Some(match guard {
            Guard::Crc16 => Self {
                guard: number(0..2),
                application: number(2..4) as u16,
                reference: number(4..8),
            },
            Guard::Crc64 => Self {
                guard: number(0..8),
                application: number(8..10) as u16,
                reference: number(10..16),
            },
        })
    }

    /// The information as 16 bytes, of which a 16-bit guard uses the first 8.
    pub fn encode(&self, guard: Guard) -> [u8; 16] {
        let mut bytes = [0; 16];
        match guard {
            Guard::Crc16 => {
                bytes[..2].copy_from_slice(&(self.guard as u16).to_be_bytes());
                bytes[2..4].copy_from_slice(&self.application.to_be_bytes());
                bytes[4..8].copy_from_slice(&(self.reference as u32).to_be_bytes());
            }
            Guard::Crc64 => {
                bytes[..8].copy_from_slice(&self.guard.to_be_bytes());
                bytes[8..10].copy_from_slice(&self.application.to_be_bytes());
                bytes[10..].copy_from_slice(&self.reference.to_be_bytes()[2..]);
            }
        }
        bytes
    }

    /// True if the block says that it is not to be checked: its application tag has all bits
    /// set, and for type 3 also its reference tag.
    ///
    /// So says a block that was never written.
    pub const fn is_escape(&self, protection: &Protection) -> bool {
        let is_tag_full = match protection.kind {
            Kind::Type1 | Kind::Type2 => true,
            Kind::Type3 => self.reference == protection.guard.reference_mask(),
        };
        self.application == 0xffff && is_tag_full
    }
}

/// A guard that is being computed.
pub(super) enum Sum {
    Crc16(Digest<'static, u16, Table<1>>),
    Crc64(Digest<'static, u64, Table<1>>),
}

impl Sum {
    pub(super) fn new(guard: Guard) -> Self {
        match guard {
            Guard::Crc16 => Self::Crc16(CRC16.digest()),
            Guard::Crc64 => Self::Crc64(CRC64.digest()),
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc16(digest) => digest.update(bytes),
            Self::Crc64(digest) => digest.update(bytes),
        }
    }

    pub(super) fn finish(self) -> u64 {
        match self {
            Self::Crc16(digest) => u64::from(digest.finalize()),
            Self::Crc64(digest) => digest.finalize(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard { stored, computed } => {
                write!(f, "its guard is {stored:#x}, its data gives {computed:#x}")
            }
            Self::Application { stored, expected } => {
                write!(f, "its application tag is {stored:#x}, not {expected:#x}")
            }
            Self::Reference { stored, expected } => {
                write!(f, "its reference tag is {stored:#x}, not {expected:#x}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Position;
    use super::*;

    fn sum(guard: Guard, bytes: &[u8]) -> u64 {
        let mut sum = Sum::new(guard);
        sum.add(bytes);
        sum.finish()
    }

    /// The check values of the catalogue, and blocks whose sums others have published: 32
    /// bytes of zeros have no T10-DIF sum, 4096 bytes of zeros and of ones are the examples
    /// that the NVM command set specification gives for its CRC-64.
    #[test]
    fn guards_have_the_known_answers() {
        assert_eq!(sum(Guard::Crc16, b"123456789"), 0xd0db);
        assert_eq!(sum(Guard::Crc16, &[0; 32]), 0);
        assert_eq!(sum(Guard::Crc64, b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(sum(Guard::Crc64, &[0; 4096]), 0x6482_d367_eb22_b64e);
        assert_eq!(sum(Guard::Crc64, &[0xff; 4096]), 0xc0dd_ba73_02ec_a3ac);
    }

    #[test]
    fn sums_do_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..520_u32).map(|index| (index * 37) as u8).collect();
        for guard in [Guard::Crc16, Guard::Crc64] {
            let mut pieces = Sum::new(guard);
            bytes.chunks(7).for_each(|piece| pieces.add(piece));
            assert_eq!(pieces.finish(), sum(guard, &bytes));
        }
    }

    #[test]
    fn tuples_are_big_endian() {
        let tuple = Tuple {
            guard: 0x0102,
            application: 0x0304,
            reference: 0x0506_0708,
        };
        let bytes = tuple.encode(Guard::Crc16);
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Tuple::decode(Guard::Crc16, &bytes), Some(tuple));
        let tuple = Tuple {
            guard: 0x0102_0304_0506_0708,
            application: 0x090a,
            reference: 0x0b0c_0d0e_0f10,
        };
        let bytes = tuple.encode(Guard::Crc64);
        assert_eq!(
            bytes,
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
        );
        assert_eq!(Tuple::decode(Guard::Crc64, &bytes), Some(tuple));
        assert_eq!(Tuple::decode(Guard::Crc64, &bytes[1..]), None);
    }

    #[test]
    fn full_tags_are_the_escape() {
        let protection = |kind, guard| Protection {
            kind,
            guard,
            position: Position::First,
        };
        let mut tuple = Tuple {
            guard: 0,
            application: 0xffff,
            reference: 0xffff_ffff,
        };
        assert!(tuple.is_escape(&protection(Kind::Type1, Guard::Crc16)));
        assert!(tuple.is_escape(&protection(Kind::Type2, Guard::Crc64)));
        assert!(tuple.is_escape(&protection(Kind::Type3, Guard::Crc16)));
        assert!(!tuple.is_escape(&protection(Kind::Type3, Guard::Crc64)));
        tuple.application = 0xfffe;
        assert!(!tuple.is_escape(&protection(Kind::Type1, Guard::Crc16)));
    }
}
