//! Dataset Management (NVM command set specification 1.0, section 3.2.3): deallocate, which
//! others call discard or trim.
//!
//! A command takes up to 256 ranges of blocks, through memory. A controller may allow fewer
//! ranges, shorter ranges, and fewer blocks altogether; beyond its limits it may do nothing and
//! report success, since deallocation is advice. So the limits are kept here.

use crate::command::Command;
use crate::wire::{NvmController, SubmissionEntry};

/// Most ranges in a command: their number is 8 bits wide, less one.
const MAX_RANGES: u16 = 256;

/// Consecutive blocks of a Dataset Management command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetRange {
    /// The first block.
    pub block: u64,
    /// The number of blocks.
    pub blocks: u32,
}

impl DatasetRange {
    /// Bytes of a range in the command's memory.
    pub const BYTES: usize = 16;

    /// The range as it lies in the command's memory, without context attributes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[4..8].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[8..].copy_from_slice(&self.block.to_le_bytes());
        bytes
    }

    /// The range that lies in memory as `bytes`.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [_, _, _, _, n0, n1, n2, n3, block @ ..] = *bytes;
        Self {
            block: u64::from_le_bytes(block),
            blocks: u32::from_le_bytes([n0, n1, n2, n3]),
        }
    }
}

/// What one Dataset Management command may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetLimits {
    /// Ranges in a command, 1 to 256.
    pub ranges: u16,
    /// Blocks in a range, at least 1.
    pub range_blocks: u32,
    /// Blocks in a command, at least 1.
    pub blocks: u64,
}

impl DatasetLimits {
    /// The limits of a controller; those that it does not state are those of the command.
    pub fn new(identify: Option<&NvmController>) -> Self {
        let stated = |limit: u64| (limit != 0).then_some(limit);
        let (ranges, range_blocks, blocks) = match identify {
            None => (None, None, None),
            Some(identify) => (
                stated(u64::from(identify.dmrl)),
                stated(u64::from(identify.dmrsl)),
                stated(identify.dmsl),
            ),
        };
        Self {
            ranges: ranges.map_or(MAX_RANGES, |ranges| ranges as u16),
            range_blocks: range_blocks.map_or(u32::MAX, |blocks| blocks as u32),
            blocks: blocks.unwrap_or(u64::MAX),
        }
    }

    /// The ranges of the next command for `blocks` blocks from `block` on.
    ///
    /// Calls `put` with each, and returns how many blocks they have: not 0 unless `blocks` is.
    // Not memory: blocks of a disk.
    pub fn next_command(&self, block: u64, blocks: u64, mut put: impl FnMut(DatasetRange)) -> u64 {
        let all = blocks.min(self.blocks.max(1));
        let mut done = 0;
        for _ in 0..self.ranges.clamp(1, MAX_RANGES) {
            if done == all {
                break;
            }
            let blocks = (all - done).min(u64::from(self.range_blocks.max(1)));
            put(DatasetRange {
                block: block + done,
                // At most `range_blocks`, which are 32 bits.
                blocks: blocks as u32,
            });
            done += blocks;
        }
        done
    }
}

/// Deallocates the blocks of `ranges` ranges, 1 to 256, which the command's memory has.
pub const fn dataset_management(nsid: u32, ranges: u16) -> SubmissionEntry {
    const DEALLOCATE: u64 = 1 << 2;
    debug_assert!(ranges >= 1 && ranges <= MAX_RANGES);
    SubmissionEntry {
        nsid,
        cdw10_11: (ranges.wrapping_sub(1) & 0xff) as u64 | DEALLOCATE << 32,
        ..Command::DatasetManagement.entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_command_counts_from_zero() {
        let entry = dataset_management(2, 256);
        assert_eq!(entry.cdw0.opcode(), 0x09);
        assert_eq!(entry.cdw10_11, 0x0000_0004_0000_00ff);
        assert_eq!(dataset_management(2, 1).cdw10_11, 4 << 32);
    }

    #[test]
    fn a_range_is_laid_out_as_specified() {
        let range = DatasetRange {
            block: 0x0102_0304_0506_0708,
            blocks: 0x0a0b_0c0d,
        };
        let bytes = range.encode();
        assert_eq!(bytes[..8], [0, 0, 0, 0, 0xd, 0xc, 0xb, 0xa]);
        assert_eq!(bytes[8..], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(DatasetRange::decode(&bytes), range);
    }

    #[test]
    fn limits_that_are_not_stated_are_the_commands() {
        let commands = DatasetLimits {
            ranges: 256,
            range_blocks: u32::MAX,
            blocks: u64::MAX,
        };
        assert_eq!(DatasetLimits::new(None), commands);
        let mut identify = NvmController::default();
        assert_eq!(DatasetLimits::new(Some(&identify)), commands);
        identify.dmrl = 3;
        identify.dmrsl = 100;
        identify.dmsl = 250;
        let limits = DatasetLimits::new(Some(&identify));
        let mut ranges = Vec::new();
        let done = limits.next_command(7, 1000, |range| ranges.push((range.block, range.blocks)));
        assert_eq!(done, 250);
        assert_eq!(ranges, [(7, 100), (107, 100), (207, 50)]);
    }

    proptest! {
        /// Every block once, within all limits, and in the end.
        #[test]
        fn every_block_is_named_once(
            ranges in 1_u16..=256, range_blocks in 1_u32..5000, blocks in 1_u64..100_000,
            wanted in 0_u64..200_000, first in 0_u64..1 << 40,
        ) {
            let limits = DatasetLimits { ranges, range_blocks, blocks };
            let mut next = first;
            while next < first + wanted {
                let (mut count, before) = (0, next);
                let done = limits.next_command(next, first + wanted - next, |range| {
                    assert_eq!(range.block, next);
                    assert!((1..=range_blocks).contains(&range.blocks));
                    next += u64::from(range.blocks);
                    count += 1;
                });
                prop_assert!(done > 0 && done <= blocks && count <= ranges);
                prop_assert_eq!(next, before + done);
            }
            prop_assert_eq!(next, first + wanted);
        }
    }
}
