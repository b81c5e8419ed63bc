//! What driver crates ask of memory before they send a device there, and why a mapping has it.
//!
//! A driver crate cannot know this kernel's types. So it declares the duty as an unsafe trait, and
//! here a [`Transfer`] takes it on: a mapping, in the direction that it says.

use super::Transfer;
use super::ranges::DmaRanges;

// SAFETY: the ranges are those of a mapping, which owns the memory, or stands for a borrow that
// outlasts it.
// - They are made once, by `map`, and never change; neither does the direction.
// - The memory is ordinary initialized bytes, which reading does not change, and of which any are
//   valid, so the device may write what it likes.
// - Nothing in this kernel moves or unmaps memory that is owned by somebody.
// - Pinned memory is its program's, too. In ring 3 a program is to the kernel what a device is: it may
//   use its memory at any time, no Rust code relies on what is there, and what the program does to a
//   transfer of its own is its own affair. Below, "nobody" is nobody in the kernel.
// - A mapping gives no access to the bytes, and its owner has no other way to them. Memory that is
//   only lent to be read never becomes a `Buffer<FromDevice>`, and what the device only reads is
//   not written meanwhile, for the same reason.
unsafe impl nvme::Memory for Transfer {
    #[inline]
    fn ranges(&self) -> nvme::Ranges<'_> {
        match Transfer::ranges(self) {
            DmaRanges::One(range) => nvme::Ranges::One(*range),
            DmaRanges::List(pieces) => nvme::Ranges::List(pieces.ranges()),
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

// SAFETY: as for `nvme::Memory`, whose duties are the same.
unsafe impl virtio::Memory for Transfer {
    #[inline]
    fn ranges(&self) -> virtio::Ranges<'_> {
        match Transfer::ranges(self) {
            DmaRanges::One(range) => virtio::Ranges::One(*range),
            DmaRanges::List(pieces) => virtio::Ranges::List(pieces.ranges()),
        }
    }

    #[inline]
    fn access(&self) -> virtio::Access {
        match self {
            Self::ToDevice(_) => virtio::Access::ToDevice,
            Self::FromDevice(_) => virtio::Access::FromDevice,
        }
    }
}
