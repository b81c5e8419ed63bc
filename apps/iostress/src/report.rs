//! What was done, and what was found to be wrong.

use crate::ledger::Wrong;
use crate::stamp::Flaw;
use alloc::string::String;
use core::fmt;
use core::ops::AddAssign;

/// How much was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that were checked.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Blocks zeroed or deallocated: operations of both kinds.
    pub trims: u64,
    /// Flushes.
    pub flushes: u64,
    /// Operations that nobody waited for.
    pub cancelled: u64,
    /// Operations that ended with an error.
    pub failed: u64,
    /// Blocks whose content was checked.
    pub checked: u64,
}

impl Counts {
    /// All operations.
    pub fn operations(&self) -> u64 {
        self.reads + self.writes + self.trims + self.flushes + self.cancelled + self.failed
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.trims += other.trims;
        self.flushes += other.flushes;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.checked += other.checked;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations: {} reads, {} writes, {} trims, {} flushes, {} cancelled, {} failed; {} blocks checked",
            self.operations(),
            self.reads,
            self.writes,
            self.trims,
            self.flushes,
            self.cancelled,
            self.failed,
            self.checked
        )
    }
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A block does not hold what it must.
    Wrong(Wrong),
    /// A block is damaged.
    Damaged(u64, Flaw),
    /// A transfer wrote beside its memory.
    Margins {
        /// The first block of the transfer.
        block: u64,
    },
    /// An operation failed on a disk that was to have no errors.
    Failed {
        /// The first block of the operation.
        block: u64,
        /// What the disk says.
        error: String,
    },
    /// Too little memory, or too few blocks.
    NoRoom(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(wrong) => write!(f, "{wrong}"),
            Self::Damaged(block, flaw) => write!(f, "block {block} {flaw}"),
            Self::Margins { block } => {
                write!(f, "a transfer at block {block} wrote beside its memory")
            }
            Self::Failed { block, error } => write!(f, "at block {block}: {error}"),
            Self::NoRoom(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for Trouble {}
