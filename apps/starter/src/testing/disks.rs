//! Disks for tests: one in memory, and one that is only looked at.

use crate::system::Volume;
use kernel::block::{
    BlockDevice, BlockError, Completion, Geometry, Limits, RamDisk, Refusal,
    Request as BlockRequest, Ticket,
};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A disk in memory. It has blocks of one byte, unless a test wants to see others, so that every
/// read is a number of whole blocks and needs no memory of the kernel's.
pub(crate) fn ram_disk(name: &str, bytes: Vec<u8>) -> Volume {
    Volume {
        device: Arc::new(RamDisk::new(name, 1, bytes).read_only()),
        model: String::new(),
        has_ext4: true,
    }
}

/// A disk that is only looked at.
struct Shown {
    name: String,
    geometry: Geometry,
}

/// A disk that is only looked at.
pub(crate) fn shown_disk(name: &str, block_size: u32, blocks: u64, model: &str) -> Volume {
    let geometry = Geometry {
        block_size,
        blocks,
        writable: true,
    };
    let name = name.into();
    Volume {
        device: Arc::new(Shown { name, geometry }),
        model: model.into(),
        has_ext4: false,
    }
}

impl BlockDevice for Shown {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn limits(&self) -> Limits {
        Limits::NONE
    }

    fn submit(&self, _: &mut BlockRequest, _: &mut Context<'_>) -> Result<Ticket, Refusal> {
        Err(BlockError::Removed.into())
    }

    fn poll(&self, _: &Ticket, _: &mut Context<'_>) -> Poll<Completion> {
        unreachable!("it accepts no request")
    }

    fn abandon(&self, _: Ticket) {
        unreachable!("it accepts no request")
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn outstanding(&self) -> usize {
        0
    }
}
