//! What driver crates ask of memory before they send a device there, and why a mapping has it.
//!
//! A driver crate cannot know this kernel's types. So it declares the duty as an unsafe trait, and
//! here a [`DmaMapping`] takes it on: in each direction the one duty, and not the other.

use super::{Direction, DmaMapping, FromDevice, ToDevice};
use phyr::DmaList;

/// A mapping with its ranges in a list.
pub(crate) struct Listed<D: Direction> {
    list: DmaList,
    mapping: DmaMapping<D>,
}

impl<D: Direction> Listed<D> {
    /// The same memory. `None` if there is no memory for a longer list.
    pub(crate) fn new(mapping: DmaMapping<D>) -> Result<Self, DmaMapping<D>> {
        let mut list = DmaList::new();
        let mut cursor = mapping.ranges().cursor();
        while let Some(range) = cursor.next(u64::MAX) {
            if list.push(range).is_err() {
                return Err(mapping);
            }
        }
        Ok(Self { list, mapping })
    }

    pub(crate) fn into_mapping(self) -> DmaMapping<D> {
        self.mapping
    }
}

// SAFETY: the ranges are those of the mapping beside them, which owns the memory, or stands for a
// borrow that outlasts it.
// - The memory is ordinary initialized bytes, which reading does not change.
// - Nothing in this kernel moves or unmaps memory that is owned by somebody.
unsafe impl nvme::Source for Listed<ToDevice> {
    fn ranges(&self) -> &DmaList {
        &self.list
    }
}

// SAFETY: as above.
// - Any byte is a valid `u8`, so the device may write what it likes.
// - A mapping gives no access to the bytes, and its owner has no other way to them. Memory that is
//   only lent to be read has never become a `Buffer<FromDevice>`.
unsafe impl nvme::Target for Listed<FromDevice> {
    fn ranges(&self) -> &DmaList {
        &self.list
    }
}
