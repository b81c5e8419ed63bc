//! What is in a block.
//!
//! | bytes | content, little-endian |
//! |---|---|
//! | 0–7 | `PHYRSTMP` |
//! | 8–15 | the seed of the run |
//! | 16–23 | the address of the block, in blocks |
//! | 24–27 | the generation, from 1 on |
//! | 28–31 | CRC-32C of all other bytes |
//! | 32– | words that follow from seed, address and generation |
//!
//! Generation 0 is a block of zeros: never written, or zeroed.

use core::fmt;
use crc::{CRC_32_ISCSI, Crc, Table};

const MAGIC: [u8; 8] = *b"PHYRSTMP";
/// Where the content begins.
const HEADER: usize = 32;
/// Where the checksum is.
const CHECKSUM: core::ops::Range<usize> = 28..32;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What a block says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The seed of the run that wrote it.
    pub seed: u64,
    /// Its address, in blocks.
    pub block: u64,
    /// Which write wrote it, from 1 on.
    pub generation: u32,
}

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is neither zero nor stamped.
    NoStamp,
    /// It was written by another run.
    OtherRun {
        /// The seed that it carries.
        seed: u64,
    },
    /// It belongs elsewhere.
    OtherPlace {
        /// The address that it carries.
        block: u64,
    },
    /// Its bytes are not those of one write.
    Torn {
        /// The generation that its stamp carries.
        generation: u32,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStamp => f.write_str("is neither zero nor stamped"),
            Self::OtherRun { seed } => write!(f, "was written by a run with seed {seed}"),
            Self::OtherPlace { block } => write!(f, "is the content of block {block}"),
            Self::Torn { generation } => {
                write!(
                    f,
                    "is torn, or damaged: its stamp says generation {generation}"
                )
            }
        }
    }
}

impl core::error::Error for Flaw {}

/// Fills a block: all of `bytes`, at least 512 and a multiple of 8.
pub fn write(bytes: &mut [u8], stamp: Stamp) {
    let (header, content) = bytes.split_at_mut(HEADER);
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&stamp.seed.to_le_bytes());
    header[16..24].copy_from_slice(&stamp.block.to_le_bytes());
    header[24..28].copy_from_slice(&stamp.generation.to_le_bytes());
    let mut words = Words::new(stamp);
    for word in content.as_chunks_mut::<8>().0 {
        *word = words.next();
    }
    let checksum = checksum(bytes);
    bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

/// Judges a block that was found at an address. Returns its generation; 0 for zeros.
///
/// # Errors
/// If it cannot be the content of this block in this run, whatever the generation.
pub fn read(bytes: &[u8], seed: u64, block: u64) -> Result<u32, Flaw> {
    if bytes.len() < HEADER || bytes[..8] != MAGIC {
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        return if is_zero { Ok(0) } else { Err(Flaw::NoStamp) };
    }
    let found = Stamp {
        seed: u64_at(bytes, 8),
        block: u64_at(bytes, 16),
        generation: u32_at(bytes, 24),
    };
    let mut words = Words::new(found);
    let content = bytes[HEADER..].as_chunks::<8>().0;
    let is_whole = u32_at(bytes, CHECKSUM.start) == checksum(bytes)
        && content.iter().all(|word| *word == words.next());
    if !is_whole || found.generation == 0 {
        return Err(Flaw::Torn {
            generation: found.generation,
        });
    }
    if found.seed != seed {
        return Err(Flaw::OtherRun { seed: found.seed });
    }
    if found.block != block {
        return Err(Flaw::OtherPlace { block: found.block });
    }
    Ok(found.generation)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&bytes[..CHECKSUM.start]);
    digest.update(&bytes[CHECKSUM.end..]);
    digest.finalize()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

/// The words of a block: xorshift64 from a start that every field of the stamp moves.
struct Words(u64);

impl Words {
    fn new(stamp: Stamp) -> Self {
        let mut start = stamp.seed ^ stamp.block.rotate_left(32);
        start ^= u64::from(stamp.generation).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(start | 1)
    }

    fn next(&mut self) -> [u8; 8] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: Stamp = Stamp {
        seed: 7,
        block: 42,
        generation: 3,
    };

    fn block(stamp: Stamp) -> Vec<u8> {
        let mut bytes = vec![0xaa; 512];
        write(&mut bytes, stamp);
        bytes
    }

    #[test]
    fn a_block_is_what_it_says() {
        assert_eq!(read(&block(STAMP), 7, 42), Ok(3));
        assert_eq!(read(&[0; 512], 7, 42), Ok(0));
    }

    #[test]
    fn another_place_another_run_and_no_stamp_are_told_apart() {
        let bytes = block(STAMP);
        assert_eq!(read(&bytes, 7, 43), Err(Flaw::OtherPlace { block: 42 }));
        assert_eq!(read(&bytes, 8, 42), Err(Flaw::OtherRun { seed: 7 }));
        assert_eq!(read(&[1; 512], 7, 42), Err(Flaw::NoStamp));
        assert_eq!(read(&[], 7, 42), Ok(0));
    }

    #[test]
    fn two_halves_of_two_writes_are_torn() {
        let new = block(Stamp {
            generation: 4,
            ..STAMP
        });
        // The two differ from the generation on.
        for cut in (28..512).step_by(4) {
            let mut bytes = block(STAMP);
            bytes[..cut].copy_from_slice(&new[..cut]);
            assert!(
                matches!(read(&bytes, 7, 42), Err(Flaw::Torn { .. })),
                "{cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_damaged_byte_is_overlooked(at in 0..512_usize, change in 1..=255_u8) {
            let mut bytes = block(STAMP);
            bytes[at] ^= change;
            prop_assert!(read(&bytes, 7, 42).is_err());
        }
    }
}
