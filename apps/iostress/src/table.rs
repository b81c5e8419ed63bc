//! The ledger on the disk, and the check of an image by it.
//!
//! An area of a disk has blocks, then one block that describes it, then the generation of each
//! block, as 32-bit little-endian numbers:
//!
//! | bytes of the describing block | content, little-endian |
//! |---|---|
//! | 0–7 | `PHYRTABL` |
//! | 8–15 | the seed of the run |
//! | 16–23 | the number of stamped blocks |
//! | 24–27 | the size of a block in bytes |
//! | 28–31 | CRC-32C of the generations |
//! | 32–35 | CRC-32C of the 32 bytes before |

use crate::stamp::{self, Flaw};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use crc::{CRC_32_ISCSI, Crc, Table};

const MAGIC: [u8; 8] = *b"PHYRTABL";
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// How an area is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Blocks that are stamped, from the beginning of the area on.
    pub stamped: u64,
    /// Blocks behind them that hold the generations, with the one that describes.
    pub table: u64,
}

impl Layout {
    /// Divides an area of so many blocks. `None` if it is too small.
    pub fn of(blocks: u64, block_size: u32) -> Option<Self> {
        let entries = u64::from(block_size) / 4;
        // Each block of the table serves `entries` stamped ones.
        let table = 1 + blocks.div_ceil(entries + 1);
        let stamped = blocks.checked_sub(table).filter(|stamped| *stamped > 0)?;
        Some(Self { stamped, table })
    }
}

/// The blocks of a table.
pub fn write(seed: u64, block_size: u32, generations: &[u32]) -> Vec<u8> {
    let size = block_size as usize;
    let mut bytes = vec![0; size];
    let numbers = generations.iter().flat_map(|number| number.to_le_bytes());
    bytes.extend(numbers);
    let checksum = CRC.checksum(&bytes[size..]);
    bytes.resize(bytes.len().next_multiple_of(size), 0);
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    bytes[16..24].copy_from_slice(&(generations.len() as u64).to_le_bytes());
    bytes[24..28].copy_from_slice(&block_size.to_le_bytes());
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    let checksum = CRC.checksum(&bytes[..32]);
    bytes[32..36].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Why an image is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage<E> {
    /// It cannot be read.
    Unreadable(E),
    /// There is no table where one should be.
    NoTable,
    /// A block is not right in itself.
    Block(u64, Flaw),
    /// A block is of the wrong write.
    Generation {
        /// Its address, in blocks.
        block: u64,
        /// The generation that was found.
        found: u32,
        /// The generation in the table.
        expected: u32,
    },
}

impl<E: fmt::Display> fmt::Display for Damage<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::NoTable => {
                f.write_str("there is no table behind the blocks: the run did not end")
            }
            Self::Block(block, flaw) => write!(f, "block {block} {flaw}"),
            Self::Generation {
                block,
                found,
                expected,
            } => {
                write!(
                    f,
                    "block {block} holds generation {found} and not {expected}"
                )
            }
        }
    }
}

/// What a sound image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// The seed of the run.
    pub seed: u64,
    /// Stamped blocks, all of them right.
    pub blocks: u64,
    /// Those among them that are not zero.
    pub written: u64,
}

/// Checks an image of `blocks` blocks. `read` fills a block from its address.
///
/// # Errors
/// With the first thing that is wrong.
pub fn check<E>(
    blocks: u64,
    block_size: u32,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Sound, Damage<E>> {
    let layout = Layout::of(blocks, block_size).ok_or(Damage::NoTable)?;
    let mut bytes = vec![0; block_size as usize];
    read(layout.stamped, &mut bytes).map_err(Damage::Unreadable)?;
    let number = |at: usize| u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]));
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]));
    let (seed, stamped, checksum) = (number(8), number(16), word(28));
    let is_table = bytes[..8] == MAGIC
        && word(32) == CRC.checksum(&bytes[..32])
        && stamped == layout.stamped
        && word(24) == block_size;
    if !is_table {
        return Err(Damage::NoTable);
    }
    let mut generations = Vec::new();
    for block in layout.stamped + 1..blocks {
        read(block, &mut bytes).map_err(Damage::Unreadable)?;
        generations.extend(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| u32::from_le_bytes(*word)),
        );
    }
    generations.truncate(stamped as usize);
    let numbers: Vec<u8> = generations
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    if generations.len() as u64 != stamped || CRC.checksum(&numbers) != checksum {
        return Err(Damage::NoTable);
    }
    let mut written = 0;
    for (block, expected) in (0..).zip(generations) {
        read(block, &mut bytes).map_err(Damage::Unreadable)?;
        let found = stamp::read(&bytes, seed, block).map_err(|flaw| Damage::Block(block, flaw))?;
        if found != expected {
            return Err(Damage::Generation {
                block,
                found,
                expected,
            });
        }
        written += u64::from(found != 0);
    }
    Ok(Sound {
        seed,
        blocks: stamped,
        written,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    const SIZE: usize = 512;

    fn image(blocks: u64) -> Vec<u8> {
        let layout = Layout::of(blocks, SIZE as u32).unwrap();
        let mut bytes = vec![0; SIZE * blocks as usize];
        let generations: Vec<u32> = (0..layout.stamped as u32).map(|n| n % 5).collect();
        for (block, generation) in (0..).zip(&generations) {
            if *generation > 0 {
                let stamp = Stamp {
                    seed: 9,
                    block,
                    generation: *generation,
                };
                stamp::write(&mut bytes[block as usize * SIZE..][..SIZE], stamp);
            }
        }
        let table = write(9, SIZE as u32, &generations);
        bytes[layout.stamped as usize * SIZE..][..table.len()].copy_from_slice(&table);
        bytes
    }

    fn check_bytes(bytes: &[u8]) -> Result<Sound, Damage<()>> {
        check((bytes.len() / SIZE) as u64, SIZE as u32, |block, into| {
            into.copy_from_slice(&bytes[block as usize * SIZE..][..SIZE]);
            Ok(())
        })
    }

    #[test]
    fn areas_of_all_sizes_have_room_for_their_table() {
        assert_eq!(Layout::of(0, 512), None);
        assert_eq!(Layout::of(2, 512), None);
        for blocks in 3..2000 {
            let layout = Layout::of(blocks, 512).unwrap();
            assert_eq!(layout.stamped + layout.table, blocks);
            assert!((layout.table - 1) * 128 >= layout.stamped, "{blocks}");
            let table = write(0, 512, &vec![0; layout.stamped as usize]);
            assert!(table.len() as u64 <= layout.table * 512);
        }
    }

    #[test]
    fn a_sound_image_passes_and_damage_is_named() {
        let good = image(300);
        let sound = check_bytes(&good).unwrap();
        assert_eq!((sound.seed, sound.blocks), (9, 296));
        assert_eq!(sound.written, 296 - 60);

        let mut lost = good.clone();
        lost[SIZE..2 * SIZE].fill(0);
        let damage = Damage::Generation {
            block: 1,
            found: 0,
            expected: 1,
        };
        assert_eq!(check_bytes(&lost), Err(damage));

        let mut misplaced = good.clone();
        misplaced.copy_within(SIZE..2 * SIZE, 6 * SIZE);
        assert_eq!(
            check_bytes(&misplaced),
            Err(Damage::Block(6, Flaw::OtherPlace { block: 1 }))
        );

        for at in [296 * SIZE + 9, 296 * SIZE + 33, 297 * SIZE + 5] {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            assert_eq!(check_bytes(&bytes), Err(Damage::NoTable), "{at}");
        }
    }
}
