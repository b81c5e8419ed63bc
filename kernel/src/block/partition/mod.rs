//! Partitions: devices within a device.
//!
//! A partition adds a number to every block, and refuses what is not inside. Everything else is the
//! disk's: its limits, its tickets, its queues. So a request costs an addition more, and there is
//! nothing that a partition would have to keep.

mod table;

pub use table::{Extent, Table, TableError, find};

use super::{BlockDevice, BlockError, Completion, Geometry, Limits, Operation, Request};
use super::{Refusal, Ticket};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::task::{Context, Poll};

/// A run of blocks of another device.
pub struct Partition {
    disk: Arc<dyn BlockDevice>,
    name: String,
    extent: Extent,
}

impl Partition {
    /// A partition of a disk, named after it.
    pub fn new(disk: Arc<dyn BlockDevice>, extent: Extent) -> Self {
        let name = format!("{}p{}", disk.name(), extent.number);
        Self { disk, name, extent }
    }

    /// The disk's number of the request's first block, if the request stays inside.
    #[inline]
    fn place(&self, request: &Request) -> Result<u64, BlockError> {
        if matches!(request.operation, Operation::Flush) {
            // It has no place.
            return Ok(request.block);
        }
        let blocks = request.blocks(&self.disk.geometry())?;
        self.extent
            .place(request.block, blocks)
            .ok_or(BlockError::OutOfRange)
    }
}

impl BlockDevice for Partition {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            blocks: self.extent.blocks,
            ..self.disk.geometry()
        }
    }

    fn limits(&self) -> Limits {
        self.disk.limits()
    }

    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        let place = self.place(request)?;
        let block = core::mem::replace(&mut request.block, place);
        let submitted = self.disk.submit(request, cx);
        request.block = block;
        submitted
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        self.disk.poll(ticket, cx)
    }

    fn abandon(&self, ticket: Ticket) {
        self.disk.abandon(ticket);
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.disk.poll_room(cx)
    }

    fn outstanding(&self) -> usize {
        self.disk.outstanding()
    }
}

impl Extent {
    /// The disk's number of block `block` of the partition, if `blocks` blocks from there are inside.
    fn place(&self, block: u64, blocks: u64) -> Option<u64> {
        let end = block.checked_add(blocks)?;
        (end <= self.blocks).then_some(self.first + block)
    }
}
