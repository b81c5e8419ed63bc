//! Memory that a driver shares with its device for as long as it drives it: rings and lists.

use super::domain::{Access, Domain};
use super::limits::DmaLimits;
use super::mapping::DmaError;
use super::ranges::DmaRanges;
use crate::memory::extents::Request;
use crate::memory::frames::Frames;
use crate::memory::window::PAGE;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange};

/// Frames that the CPU and a device use at the same time.
///
/// No reference to the bytes is ever made, because the device may change them at any moment.
/// Every access is one relaxed atomic access of 64 bits; the drivers put fences where order matters.
#[derive(Debug)]
pub struct DmaMemory {
    // Off the bus before it is freed: fields are dropped in this order.
    ranges: DmaRanges,
    frames: Frames,
}

impl DmaMemory {
    /// Takes zeroed memory, in one piece, of `bytes` rounded up to whole pages, for a device that is
    /// behind `domain` and reaches addresses up to `last`.
    pub fn allocate(bytes: u64, domain: &Domain, last: DmaAddr) -> Result<Self, DmaError> {
        let len = bytes.max(1).checked_next_multiple_of(PAGE);
        let mut request = Request::bytes(len.ok_or(DmaError::OutOfMemory)?);
        request.below = domain.below(last);
        let mut frames = Frames::request(request).map_err(|_| DmaError::OutOfMemory)?;
        frames.bytes_mut().fill(0);
        let limits = DmaLimits {
            last,
            entries: 1,
            ..DmaLimits::NONE
        };
        let phyr = frames.phyr();
        // SAFETY: the frames belong to the result, which takes them off the bus first. All that is done
        // with them from here on is as the type says.
        let ranges = unsafe { DmaRanges::of(phyr, domain, &limits, Access::Both) }?;
        Ok(Self { ranges, frames })
    }

    /// Where the device sees it.
    pub fn bus(&self) -> DmaRange {
        let only = self.ranges.cursor().peek();
        only.expect("one piece of memory is one range")
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        let words = self.frames.phyr().len() as usize / 8;
        assert!(
            offset.is_multiple_of(8) && offset / 8 < words,
            "offset {offset:#x} in shared memory of {words} words"
        );
        let word = self
            .frames
            .pointer()
            .as_ptr()
            .wrapping_add(offset)
            .cast::<AtomicU64>();
        // SAFETY: in bounds and aligned by the assertion; the frames belong to `self`, and both
        // sides only make whole accesses.
        unsafe { &*word }
    }

    /// Loads the word at `offset`, a multiple of 8.
    ///
    /// # Panics
    /// If the offset is not within the memory.
    #[inline]
    pub fn load64(&self, offset: usize) -> u64 {
        self.word(offset).load(Ordering::Relaxed)
    }

    /// Stores the word at `offset`, a multiple of 8.
    ///
    /// # Panics
    /// If the offset is not within the memory.
    #[inline]
    pub fn store64(&self, offset: usize, value: u64) {
        self.word(offset).store(value, Ordering::Relaxed);
    }
}
