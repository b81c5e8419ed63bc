//! Memory that a driver shares with its device for as long as it drives it: rings and lists.

use crate::memory::extents::AllocError;
use crate::memory::frames::Frames;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange};

/// Frames that the CPU and a device use at the same time.
///
/// No reference to the bytes is ever made, because the device may change them at any moment.
/// Every access is one relaxed atomic access of 64 bits; the drivers put fences where order matters.
#[derive(Debug)]
pub struct DmaMemory {
    frames: Frames,
}

impl DmaMemory {
    /// Takes zeroed memory, in one piece, of `bytes` rounded up to whole pages.
    pub fn allocate(bytes: u64) -> Result<Self, AllocError> {
        let len = bytes
            .max(1)
            .checked_next_multiple_of(4096)
            .ok_or(AllocError::Unaligned)?;
        Ok(Self {
            frames: Frames::zeroed(len)?,
        })
    }

    /// Where the device sees it: without an IOMMU, at its physical address.
    pub fn bus(&self) -> DmaRange {
        let phyr = self.frames.phyr();
        DmaRange::new(DmaAddr::new(phyr.addr().get()), phyr.len()).expect("a phyr is a range")
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
