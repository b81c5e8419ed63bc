//! Copy (NVM command set specification 1.0, section 3.2.2): blocks from here to there, and
//! none of them over the bus.
//!
//! The sources are up to 256 ranges, which the command's memory describes; the blocks arrive
//! one behind the other. There are two formats of a description. The second has room for the
//! tags of a 64-bit guard, and belongs to it.

use crate::command::Command;
use crate::protection::{Checks, Guard, Tags};
use crate::wire::{IdentifyNamespace, SubmissionEntry};

/// Most sources in a command: their number is 8 bits wide, less one.
const MAX_SOURCES: u16 = 256;

/// Consecutive blocks that are a source of a Copy command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// The first block.
    pub block: u64,
    /// The number of blocks, 1 to 65536.
    pub blocks: u32,
    /// What the protection information of the blocks has to be, if it is checked.
    pub tags: Option<Tags>,
}

impl CopyRange {
    /// Bytes of a description for a namespace with this guard.
    pub const fn bytes(guard: Guard) -> usize {
        match guard {
            Guard::Crc16 => 32,
            Guard::Crc64 => 40,
        }
    }

    /// The description as 40 bytes, of which [`bytes`](Self::bytes) count. A namespace without
    /// protection takes that of a 16-bit guard.
    pub fn encode(&self, guard: Guard) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[8..16].copy_from_slice(&self.block.to_le_bytes());
        bytes[16..18].copy_from_slice(&(self.blocks.wrapping_sub(1) as u16).to_le_bytes());
        if let Some(tags) = &self.tags {
            let at = match guard {
                Guard::Crc16 => {
                    bytes[24..28].copy_from_slice(&(tags.reference as u32).to_le_bytes());
                    28
                }
                Guard::Crc64 => {
                    // The tag is a number of 80 bits here, of which 48 are the reference tag's;
                    // unlike everything else in a command, it is big-endian.
                    bytes[30..36].copy_from_slice(&tags.reference.to_be_bytes()[2..]);
                    36
                }
            };
            bytes[at..at + 2].copy_from_slice(&tags.application.to_le_bytes());
            bytes[at + 2..at + 4].copy_from_slice(&tags.application_mask.to_le_bytes());
        }
        bytes
    }
}

/// What one Copy command to a namespace may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyLimits {
    /// Source ranges, 1 to 256 (MSRC).
    pub ranges: u16,
    /// Blocks in a range (MSSRL).
    pub range_blocks: u32,
    /// Blocks in a command (MCL).
    pub blocks: u32,
}

impl CopyLimits {
    /// The limits of a namespace; `None` if it states none and so takes no Copy.
    pub const fn new(identify: &IdentifyNamespace) -> Option<Self> {
        if identify.mssrl == 0 || identify.mcl == 0 {
            return None;
        }
        Some(Self {
            ranges: identify.msrc as u16 + 1,
            range_blocks: identify.mssrl as u32,
            blocks: identify.mcl,
        })
    }

    /// The ranges of the next command for `blocks` blocks from `block` on.
    ///
    /// Calls `put` with each, and returns how many blocks they have: not 0 unless `blocks` is.
    // Not memory: blocks of a disk.
    pub fn next_command(&self, block: u64, blocks: u64, mut put: impl FnMut(CopyRange)) -> u64 {
        let all = blocks.min(u64::from(self.blocks));
        let mut done = 0;
        for _ in 0..self.ranges {
            if done == all {
                break;
            }
            let blocks = (all - done).min(u64::from(self.range_blocks));
            put(CopyRange {
                block: block + done,
                blocks: blocks as u32,
                tags: None,
            });
            done += blocks;
        }
        done
    }
}

/// Copies `ranges` ranges, 1 to 256, which the command's memory describes, to `to` on.
///
/// `read` is what is checked of the sources. What is checked of, or inserted into, the copy is
/// added by [`SubmissionEntry::with_protection`].
pub const fn copy(nsid: u32, to: u64, ranges: u16, guard: Guard, read: Checks) -> SubmissionEntry {
    debug_assert!(ranges >= 1 && ranges <= MAX_SOURCES);
    let format = match guard {
        Guard::Crc16 => 0,
        Guard::Crc64 => 1,
    };
    let count = (ranges.wrapping_sub(1) & 0xff) as u64;
    SubmissionEntry {
        nsid,
        cdw10_11: to,
        cdw12_13: count | format << 8 | (read.into_bits() as u64 & 0xf) << 12,
        ..Command::Copy.entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_laid_out_as_specified() {
        let entry = copy(1, 0x1_0000_0007, 128, Guard::Crc16, Checks::new());
        assert_eq!(entry.cdw0.opcode(), 0x19);
        assert_eq!((entry.cdw10_11, entry.cdw12_13), (0x1_0000_0007, 127));
        let entry = copy(1, 0, 1, Guard::Crc64, Checks::new().with_guard(true));
        assert_eq!(entry.cdw12_13, 0x4100);
    }

    #[test]
    fn descriptions_have_two_formats() {
        let range = CopyRange {
            block: 0x11,
            blocks: 65536,
            tags: Some(Tags {
                application: 0x0102,
                application_mask: 0x0304,
                reference: 0x0506_0708_090a,
            }),
        };
        let bytes = range.encode(Guard::Crc16);
        assert_eq!(CopyRange::bytes(Guard::Crc16), 32);
        assert_eq!(bytes[8], 0x11);
        assert_eq!(bytes[16..18], [0xff, 0xff]);
        assert_eq!(bytes[24..32], [0x0a, 9, 8, 7, 2, 1, 4, 3]);
        let bytes = range.encode(Guard::Crc64);
        assert_eq!(bytes[26..40], [0, 0, 0, 0, 5, 6, 7, 8, 9, 0x0a, 2, 1, 4, 3]);
    }

    #[test]
    fn limits_are_kept() {
        let identify = IdentifyNamespace {
            mssrl: 8,
            mcl: 20,
            msrc: 1,
            ..IdentifyNamespace::default()
        };
        let limits = CopyLimits::new(&identify).expect("a copy");
        let mut ranges = Vec::new();
        let done = limits.next_command(100, 50, |range| ranges.push((range.block, range.blocks)));
        assert_eq!(done, 16, "two ranges of eight");
        assert_eq!(ranges, [(100, 8), (108, 8)]);
        let many = CopyLimits {
            ranges: 9,
            ..limits
        };
        assert_eq!(many.next_command(0, 50, |_| ()), 20);
        assert_eq!(many.next_command(0, 3, |_| ()), 3);
        assert_eq!(CopyLimits::new(&IdentifyNamespace::default()), None);
    }
}
