//! End-to-end protection (NVM command set specification 1.0, section 5.2).
//!
//! # The problem
//!
//! A disk can lose a write, send it to the wrong place, or hand out a block that decayed on
//! the way. Its own checksums do not see what happens outside of it.
//!
//! # The idea
//!
//! Each block carries a few bytes more, its *protection information*: a checksum over the
//! block (the guard), a tag of the application, and a tag that says which block this is (the
//! reference tag). Whoever passes the block on can check them: the host, the controller, or
//! both. There are three types, which differ in the reference tag only, and guards of 16 and
//! 64 bits.
//!
//! - [`Protection`] is what a namespace is formatted with.
//! - [`Tuple`] is the information itself, from and to bytes.
//! - [`Checks`] and [`Tags`] are what a command says about it.
//! - [`generate`] and [`verify`] do on the host what the controller does with PRACT and
//!   PRCHK, over memory that lists of ranges describe. They copy no block.

mod memory;
mod tags;
mod tuple;

pub use memory::{Mismatch, View, generate, verify};
pub use tags::{Checks, Tags};
pub use tuple::{Broken, Tuple};

/// What kind of protection the blocks of a namespace have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The type: what the reference tag means.
    pub kind: Kind,
    /// The checksum.
    pub guard: Guard,
    /// Where in the metadata the information lies.
    pub position: Position,
}

/// The protection information type (DPS bits 2:0): what the reference tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The tag is the low part of the block's number, so it goes up by one with each block.
    Type1,
    /// The tag starts with any number, and goes up by one with each block.
    Type2,
    /// The tag is the application's, and nobody checks it.
    Type3,
}

/// The checksum over a block (Protection Information Format, PIF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// CRC-16 of T10-DIF, with a reference tag of 32 bits: 8 bytes in all.
    Crc16,
    /// The NVM Express CRC-64, with a reference tag of 48 bits: 16 bytes in all.
    Crc64,
}

/// Where in the metadata of a block the protection information lies (DPS bit 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// First. Metadata behind it is not protected.
    First,
    /// Last. Metadata before it is protected like data.
    Last,
}

impl Kind {
    /// The type with this number; `None` if it is none of the three.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Type1),
            2 => Some(Self::Type2),
            3 => Some(Self::Type3),
            _ => None,
        }
    }

    /// The number, as DPS and Format NVM have it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Type1 => 1,
            Self::Type2 => 2,
            Self::Type3 => 3,
        }
    }
}

impl Guard {
    /// Bytes of the protection information.
    pub const fn tuple_bytes(self) -> usize {
        match self {
            Self::Crc16 => 8,
            Self::Crc64 => 16,
        }
    }

    /// Bits of the guard.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Crc16 => 16,
            Self::Crc64 => 64,
        }
    }

    /// The bits of a reference tag.
    pub const fn reference_mask(self) -> u64 {
        match self {
            Self::Crc16 => 0xffff_ffff,
            Self::Crc64 => 0xffff_ffff_ffff,
        }
    }
}

impl Protection {
    /// Bytes of metadata that the guard covers, if there are `metadata` bytes.
    pub const fn protected_metadata(&self, metadata: usize) -> usize {
        match self.position {
            Position::First => 0,
            Position::Last => metadata.saturating_sub(self.guard.tuple_bytes()),
        }
    }

    /// Where in `metadata` bytes of metadata the information starts.
    pub const fn offset(&self, metadata: usize) -> usize {
        // The position is that of what comes before it, protected or not.
        self.protected_metadata(metadata)
    }

    /// The reference tag that the block at `index` of a request has, whose first has `first`.
    pub const fn reference(&self, first: u64, index: u64) -> u64 {
        match self.kind {
            Kind::Type1 | Kind::Type2 => first.wrapping_add(index) & self.guard.reference_mask(),
            Kind::Type3 => first & self.guard.reference_mask(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_tags_count_and_wrap_at_their_width() {
        let mut protection = Protection {
            kind: Kind::Type1,
            guard: Guard::Crc16,
            position: Position::First,
        };
        assert_eq!(protection.reference(5, 3), 8);
        assert_eq!(protection.reference(0x1_ffff_ffff, 1), 0);
        protection.guard = Guard::Crc64;
        assert_eq!(protection.reference(0x1_ffff_ffff, 1), 0x2_0000_0000);
        assert_eq!(protection.reference(0xffff_ffff_ffff, 1), 0);
        protection.kind = Kind::Type3;
        assert_eq!(protection.reference(7, 100), 7);
    }

    #[test]
    fn information_lies_at_either_end() {
        let at = |position| Protection {
            kind: Kind::Type1,
            guard: Guard::Crc16,
            position,
        };
        assert_eq!(at(Position::First).offset(64), 0);
        assert_eq!(at(Position::Last).offset(64), 56);
        assert_eq!(at(Position::Last).offset(8), 0);
        assert_eq!(at(Position::First).protected_metadata(64), 0);
        assert_eq!(at(Position::Last).protected_metadata(64), 56);
    }
}
