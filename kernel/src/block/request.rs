//! Requests: what a device is asked to do, and what it answers.

use super::{BlockError, Geometry, Limits};
use crate::dma::{Buffer, FromDevice, Memory, ToDevice};

/// One request. It owns its memory.
#[derive(Debug)]
pub struct Request {
    /// The first block. Means nothing for a flush.
    pub block: u64,
    /// What to do there.
    pub operation: Operation,
}

/// What to do.
#[derive(Debug)]
pub enum Operation {
    /// Read blocks into memory.
    Read(Buffer<FromDevice>),
    /// Write blocks from memory.
    Write(Buffer<ToDevice>, Durability),
    /// Compare blocks with memory.
    Compare(Buffer<ToDevice>),
    /// Make everything that was written and completed so far durable.
    Flush,
    /// Say that the content of blocks does not matter any more.
    Discard {
        /// How many.
        blocks: u64,
    },
    /// Make blocks read as zeros.
    WriteZeroes {
        /// How many.
        blocks: u64,
        /// What may become of the space.
        space: Space,
        /// When it is to last.
        durability: Durability,
    },
    /// Check that blocks can be read.
    Verify {
        /// How many.
        blocks: u64,
    },
}

/// When something written must outlast the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the next flush.
    Flushed,
    /// When the request completes (Force Unit Access).
    Now,
}

/// What may become of the space behind zeroed blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The device may give it up.
    Release,
    /// The device keeps it, for data that is to come.
    Keep,
}

/// What became of a request.
#[derive(Debug)]
pub struct Completion {
    /// The memory that came with the request. The device is done with it.
    ///
    /// `None` if none came, and in one more case: the request failed, and the device could not be
    /// stopped. Then nobody may ever use the memory again.
    pub memory: Option<Memory>,
    /// Whether all of it was done. If not, any part may have been.
    pub result: Result<(), BlockError>,
}

/// A request that was accepted. Only the core that submitted it may use it, and it ends by the
/// completion that [`poll`](super::BlockDevice::poll) returns, or by
/// [`abandon`](super::BlockDevice::abandon).
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// A ticket of a device that knows its requests by numbers.
    #[inline]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The device's number for it.
    #[inline]
    pub const fn number(&self) -> u64 {
        self.0
    }
}

/// Why a request was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room: [`poll_room`](super::BlockDevice::poll_room) tells when.
    Full,
    /// It will never be carried out.
    Error(BlockError),
}

impl Request {
    /// The bytes of the memory that came with it.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.operation {
            Operation::Read(buffer) => buffer.len(),
            Operation::Write(buffer, _) | Operation::Compare(buffer) => buffer.len(),
            _ => 0,
        }
    }

    /// Whether no memory came with it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many blocks it is about.
    #[inline]
    pub fn blocks(&self, geometry: &Geometry) -> Result<u64, BlockError> {
        let bytes = match &self.operation {
            Operation::Read(buffer) => buffer.len(),
            Operation::Write(buffer, _) | Operation::Compare(buffer) => buffer.len(),
            Operation::Flush => return Ok(0),
            Operation::Discard { blocks }
            | Operation::WriteZeroes { blocks, .. }
            | Operation::Verify { blocks } => return Ok(*blocks),
        };
        geometry.blocks_in(bytes).ok_or(BlockError::Length)
    }

    /// Whether a device of this geometry and these limits can be asked for it. Returns how many blocks it is about.
    #[inline]
    pub fn check(&self, geometry: &Geometry, limits: &Limits) -> Result<u64, BlockError> {
        let in_bytes = |bytes| geometry.blocks_in(bytes);
        // Whether it changes anything, whether the device can do it, and how many blocks it is about.
        let (changes, possible, blocks) = match &self.operation {
            Operation::Read(buffer) => (false, true, in_bytes(buffer.len())),
            Operation::Flush => return Ok(0),
            Operation::Write(buffer, durability) => {
                (true, limits.keeps(*durability), in_bytes(buffer.len()))
            }
            Operation::Compare(buffer) => (false, limits.compare, in_bytes(buffer.len())),
            Operation::Discard { blocks } => (true, limits.discard.is_some(), Some(*blocks)),
            Operation::WriteZeroes {
                blocks, durability, ..
            } => {
                let possible = limits.write_zeroes.is_some() && limits.keeps(*durability);
                (true, possible, Some(*blocks))
            }
            Operation::Verify { blocks } => (false, limits.verify, Some(*blocks)),
        };
        if !possible {
            return Err(BlockError::Unsupported);
        }
        if changes && !geometry.writable {
            return Err(BlockError::ReadOnly);
        }
        let blocks = blocks.ok_or(BlockError::Length)?;
        if geometry.holds(self.block, blocks) {
            Ok(blocks)
        } else {
            Err(BlockError::OutOfRange)
        }
    }

    /// The memory that came with it.
    pub fn into_memory(self) -> Option<Memory> {
        match self.operation {
            Operation::Read(buffer) => Some(buffer.into_memory()),
            Operation::Write(buffer, _) | Operation::Compare(buffer) => Some(buffer.into_memory()),
            _ => None,
        }
    }
}

impl From<BlockError> for Refusal {
    fn from(error: BlockError) -> Self {
        Self::Error(error)
    }
}

impl Limits {
    /// Whether a write can be made durable like this. Without a cache every write is.
    fn keeps(&self, durability: Durability) -> bool {
        durability == Durability::Flushed || self.durable_writes || !self.write_cache
    }
}
