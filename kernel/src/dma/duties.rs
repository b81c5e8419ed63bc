//! What driver crates ask of memory before they send a device there, and why a mapping has it.
//!
//! A driver crate cannot know this kernel's types. So it declares the duty as an unsafe trait, and
//! here a [`DmaMapping`] takes it on: in each direction the one duty, and not the other.

use super::{DmaMapping, FromDevice, ToDevice};
use phyr::DmaList;

// SAFETY: only `map` makes a mapping, of a `Buffer` that it consumes, and the ranges are the
// buffer's. `Buffer::to_device` takes them from a borrowed slice, and the borrow is the mapping's
// lifetime `'a`, so it lasts at least as long as any borrow of the mapping.
// - The slice is ordinary initialized bytes, which reading does not change.
// - Nothing in this kernel moves or unmaps memory that is borrowed, and its owner keeps it.
unsafe impl nvme::Source for DmaMapping<'_, ToDevice> {
    fn ranges(&self) -> &DmaList {
        &self.list
    }
}

// SAFETY: as above, but `Buffer::from_device` borrows the slice mutably, for the same `'a`.
// - Any byte is a valid `u8`, so the device may write what it likes.
// - Nothing in this kernel moves or unmaps memory that is borrowed, and its owner keeps it.
// - The mutable borrow is the only way to the bytes as long as it lasts, and neither the buffer
//   nor the mapping gives out a reference to them.
unsafe impl nvme::Target for DmaMapping<'_, FromDevice> {
    fn ranges(&self) -> &DmaList {
        &self.list
    }
}
