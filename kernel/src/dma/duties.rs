//! What driver crates ask of memory before they send a device there, and why a mapping has it.
//!
//! A driver crate cannot know this kernel's types. So it declares the duty as an unsafe trait, and
//! here a [`DmaMapping`] takes it on, in both directions.

use super::ranges::DmaRanges;
use super::{Direction, DmaMapping, FromDevice, ToDevice};

/// A mapping in either direction: what a driver's queue keeps for a request.
pub(crate) enum OnTheBus {
    /// The device reads it.
    ToDevice(DmaMapping<ToDevice>),
    /// The device writes it.
    FromDevice(DmaMapping<FromDevice>),
}

impl OnTheBus {
    /// Takes the memory off the bus.
    pub(crate) fn into_memory(self) -> super::Memory {
        match self {
            Self::ToDevice(mapping) => mapping.unmap().into_memory(),
            Self::FromDevice(mapping) => mapping.unmap().into_memory(),
        }
    }
}

fn ranges<D: Direction>(mapping: &DmaMapping<D>) -> nvme::Ranges<'_> {
    match mapping.ranges() {
        DmaRanges::One(range) => nvme::Ranges::One(*range),
        DmaRanges::List(list) => nvme::Ranges::List(&list[0]),
    }
}

// SAFETY: the ranges are those of the mapping, which owns the memory, or stands for a borrow that
// outlasts it.
// - The memory is ordinary initialized bytes, which reading does not change, and of which any are
//   valid, so the device may write what it likes.
// - Nothing in this kernel moves or unmaps memory that is owned by somebody.
// - A mapping gives no access to the bytes, and its owner has no other way to them. Memory that is
//   only lent to be read has never become a `Buffer<FromDevice>`.
unsafe impl nvme::Memory for OnTheBus {
    #[inline]
    fn ranges(&self) -> nvme::Ranges<'_> {
        match self {
            Self::ToDevice(mapping) => ranges(mapping),
            Self::FromDevice(mapping) => ranges(mapping),
        }
    }

    #[inline]
    fn access(&self) -> nvme::Access {
        match self {
            Self::ToDevice(_) => nvme::Access::TO_DEVICE,
            Self::FromDevice(_) => nvme::Access::FROM_DEVICE,
        }
    }
}
