//! What the blocks of a namespace look like.

use super::protection::Protection;
use super::{Model, refused};
use nvme::Status;

/// The format in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of data in a block, as a power of two.
    pub(crate) shift: u8,
    /// Bytes of metadata of a block.
    pub(crate) metadata: usize,
    /// Metadata follows the data of each block in memory.
    pub(crate) is_interleaved: bool,
    pub(crate) protection: Option<Protection>,
    /// Blocks of the namespace.
    pub(crate) blocks: u64,
}

impl Model {
    /// The shape of a namespace, or the status of a command that names none.
    pub(crate) fn shape(&self, nsid: u32) -> Result<Shape, Status> {
        let namespace = self.namespace(nsid).ok_or(refused(0, 0x0b))?;
        let index = namespace.format_index();
        let format = namespace.lbaf[index];
        let nvm = self.config.extras.get(&nsid).map(|extra| &extra.nvm);
        let is_wide = nvm.is_some_and(|nvm| nvm.elbaf[index].pif() == 2);
        let protection = Protection {
            kind: namespace.dps & 7,
            is_wide,
            is_first: namespace.dps & 8 != 0,
        };
        let metadata = usize::from(format.ms());
        if !(9..=16).contains(&format.lbads()) {
            // The model has told a tale, and does not act on it.
            return Err(refused(0, 0x06));
        }
        let has_room = metadata >= protection.bytes();
        Ok(Shape {
            shift: format.lbads(),
            metadata,
            is_interleaved: namespace.is_metadata_interleaved(),
            protection: (protection.kind != 0 && has_room).then_some(protection),
            blocks: namespace.nsze,
        })
    }

    /// Checks that blocks are inside a namespace and none of them is bad.
    pub(crate) fn check_blocks(&self, shape: &Shape, first: u64, count: u64) -> Result<(), Status> {
        const OUT_OF_RANGE: u8 = 0x80;
        if first
            .checked_add(count)
            .is_none_or(|end| end > shape.blocks)
        {
            return Err(refused(0, OUT_OF_RANGE));
        }
        match self.bad_blocks.range(first..first + count).next() {
            Some((_, bad)) => Err(*bad),
            None => Ok(()),
        }
    }

    /// A status for writes to a namespace that is write-protected.
    pub(crate) fn check_protected(&self, nsid: u32) -> Result<(), Status> {
        match self.write_protected.get(&nsid) {
            Some(1..) => Err(refused(0, 0x20)),
            _ => Ok(()),
        }
    }
}
