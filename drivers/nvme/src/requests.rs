//! The requests of a namespace: which blocks, and what is done with them.
//!
//! A request is checked here against what is known of the namespace, before it goes to a
//! queue. The controller checks again, of course; but a number of blocks that is wrong here
//! would be an amount of memory that is wrong there.

use crate::command::Command;
use crate::error::RequestError;
use crate::limits::Limits;
use crate::namespace::Namespace;
use crate::operation::{Cut, MAX_RANGES, Operation, Shape};
use phyr::Gaps;

impl Namespace {
    /// Reads `blocks` blocks from `first` on.
    #[inline]
    pub fn read(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.transfer(Command::Read, first, blocks)
    }

    /// Writes `blocks` blocks from `first` on.
    ///
    /// What is written may be lost with the power until a [`flush`](Self::flush), or with
    /// [`with_fua`](Operation::with_fua).
    #[inline]
    pub fn write(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        self.transfer(Command::Write, first, blocks)
    }

    /// Makes blocks read as zeros, without sending zeros.
    pub fn write_zeroes(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        self.check(first, blocks)?;
        let cut = Cut {
            max_blocks: 1 << 16,
            ..Cut::NO_DATA
        };
        let command = Command::WriteZeroes;
        Ok(Operation::of_blocks(command, self.id, first, blocks, cut))
    }

    /// Says that nobody needs the contents of blocks any more (Dataset Management).
    pub fn deallocate(&self, first: u64, blocks: u64) -> Result<Operation, RequestError> {
        self.writable()?;
        self.check(first, blocks)?;
        let cut = Cut {
            max_blocks: u32::MAX,
            max_pages: MAX_RANGES as u32,
            ..Cut::NO_DATA
        };
        let command = Command::DatasetManagement;
        Ok(Operation {
            shape: Shape::Ranges,
            ..Operation::of_blocks(command, self.id, first, blocks, cut)
        })
    }

    /// Makes everything durable that was written before.
    ///
    /// `None` if the controller has no volatile write cache: everything is durable then, and
    /// no command must be sent.
    pub fn flush(&self) -> Option<Operation> {
        let operation = Operation::whole(Command::Flush, self.id).with_idempotence();
        self.has_write_cache.then_some(operation)
    }

    /// What one command may transfer.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What one command may transfer, as a device-independent caller sees it.
    pub fn command_limits(&self) -> phyr::Limits {
        phyr::Limits {
            max_bytes: self.limits.max_transfer_bytes,
            max_pages: self.limits.max_pages,
            alignment: self.limits.alignment,
            gaps: Gaps::AtPages,
            ..phyr::Limits::of_blocks(u64::from(self.block_size))
        }
    }

    #[inline]
    fn transfer(
        &self,
        command: Command,
        first: u64,
        blocks: u64,
    ) -> Result<Operation, RequestError> {
        self.check(first, blocks)?;
        let cut = Cut {
            block_bytes: self.block_size,
            metadata_bytes: 0,
            max_blocks: (self.limits.max_transfer_bytes >> self.block_shift()) as u32,
            max_pages: self.limits.max_pages as u32,
        };
        Ok(Operation::of_blocks(command, self.id, first, blocks, cut))
    }

    fn writable(&self) -> Result<(), RequestError> {
        match self.write_protected {
            true => Err(RequestError::WriteProtected { nsid: self.id }),
            false => Ok(()),
        }
    }

    /// Whether the namespace can be used, and has these blocks.
    #[inline]
    fn check(&self, first: u64, blocks: u64) -> Result<(), RequestError> {
        if let Some(reason) = self.unusable {
            let nsid = self.id;
            return Err(RequestError::UnusableNamespace { nsid, reason });
        }
        if blocks == 0 {
            return Err(RequestError::Length {
                bytes: 0,
                block_size: self.block_size,
            });
        }
        let capacity = self.blocks;
        if first.checked_add(blocks).is_none_or(|end| end > capacity) {
            return Err(RequestError::OutOfRange {
                block: first,
                blocks,
                capacity,
            });
        }
        Ok(())
    }
}
