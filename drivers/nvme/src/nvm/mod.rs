//! Commands of the NVM and the zoned namespace command set, as values (NVM command set
//! specification 1.0, section 3; ZNS command set specification 1.1, section 3).
//!
//! A builder fills in everything but the command identifier and the memory, which a queue
//! gives. Nothing here is a capability: an entry does nothing until a queue takes it, and a
//! queue takes only what comes with memory that somebody vouches for.

mod copy;
mod dataset;
mod zone;

pub use copy::{CopyLimits, CopyRange, copy};
pub use dataset::{DatasetLimits, DatasetRange, dataset_management};
pub use zone::{Filter, ZoneAction, report_zones, zone_append, zone_management_send};

use crate::command::Command;
use crate::wire::SubmissionEntry;

/// Most blocks in one command: their number is 16 bits wide, less one.
pub const MAX_BLOCKS: u32 = 1 << 16;

/// A command over `blocks` blocks from `block` on: Read, Write, Compare, Verify, Write Zeroes.
///
/// `blocks` is 1 to [`MAX_BLOCKS`].
// Not memory: blocks of a disk.
pub const fn over_blocks(command: Command, nsid: u32, block: u64, blocks: u32) -> SubmissionEntry {
    debug_assert!(blocks >= 1 && blocks <= MAX_BLOCKS);
    SubmissionEntry {
        nsid,
        cdw10_11: block,
        cdw12_13: (blocks.wrapping_sub(1) & 0xffff) as u64,
        ..command.entry()
    }
}

impl SubmissionEntry {
    /// Force Unit Access (FUA): the command is complete only when its blocks are durable, or
    /// reads what is durable.
    pub const fn with_fua(self) -> Self {
        const FUA: u64 = 1 << 30;
        Self {
            cdw12_13: self.cdw12_13 | FUA,
            ..self
        }
    }

    /// Limited Retry (LR): the controller gives up early, because there is another copy.
    pub const fn with_limited_retry(self) -> Self {
        const LR: u64 = 1 << 31;
        Self {
            cdw12_13: self.cdw12_13 | LR,
            ..self
        }
    }

    /// Deallocate (DEAC) of Write Zeroes: the blocks may be deallocated, if they read as zeros
    /// then.
    pub const fn with_deallocate(self) -> Self {
        const DEAC: u64 = 1 << 25;
        Self {
            cdw12_13: self.cdw12_13 | DEAC,
            ..self
        }
    }

    /// The number of blocks of a command over blocks.
    pub const fn blocks(&self) -> u32 {
        (self.cdw12_13 & 0xffff) as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_over_blocks_are_laid_out_as_specified() {
        let entry = over_blocks(Command::Compare, 3, 0x1_0000_0002, MAX_BLOCKS);
        assert_eq!(entry.cdw0.opcode(), 5);
        assert_eq!((entry.nsid, entry.cdw10_11), (3, 0x1_0000_0002));
        assert_eq!(entry.cdw12_13, 0xffff);
        assert_eq!(entry.blocks(), MAX_BLOCKS);
        let entry = over_blocks(Command::WriteZeroes, 1, 8, 1);
        assert_eq!(entry.cdw0.opcode(), 8);
        assert_eq!(entry.with_deallocate().cdw12_13, 0x0200_0000);
        assert_eq!(entry.with_fua().cdw12_13, 0x4000_0000);
        assert_eq!(entry.with_limited_retry().cdw12_13, 0x8000_0000);
        let verify = over_blocks(Command::Verify, 1, 0, 8).with_fua();
        assert_eq!((verify.cdw0.opcode(), verify.blocks()), (0x0c, 8));
    }
}
