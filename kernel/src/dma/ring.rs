//! Memory that a driver shares with its device for as long as it drives it: rings and lists.

use super::domain::{Access, Domain};
use super::limits::DmaLimits;
use super::mapping::DmaError;
use super::ranges::DmaRanges;
use crate::memory::extents::Request;
use crate::memory::frames::Frames;
use crate::memory::window::PAGE;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange};

/// Frames that the CPU and a device use at the same time.
///
/// No reference to the bytes is ever made, because the device may change them at any moment.
/// Every access is one relaxed atomic access of 16 or 64 bits, at a place always the same of both;
/// the drivers put fences where order matters.
#[derive(Debug)]
pub struct DmaMemory {
    // Off the bus before it is freed: fields are dropped in this order.
    ranges: DmaRanges,
    #[expect(dead_code, reason = "they are only held")]
    frames: Frames,
    /// Where the CPU finds the frames, and how many bytes they have: asked for once, not at each access.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: `start` points into the frames, which belong to the value wherever it goes.
unsafe impl Send for DmaMemory {}
// SAFETY: through a shared reference there are only atomic accesses.
unsafe impl Sync for DmaMemory {}

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
        Ok(Self {
            ranges,
            start: frames.pointer(),
            len: phyr.len() as usize,
            frames,
        })
    }

    /// Where the CPU sees it, for as long as it is held. Whoever uses that makes whole, atomic accesses of 64
    /// bits, too.
    pub(crate) fn pointer(&self) -> NonNull<u8> {
        self.start
    }

    /// Where the device sees it.
    pub fn bus(&self) -> DmaRange {
        let only = self.ranges.cursor().peek();
        only.expect("one piece of memory is one range")
    }

    /// Where a value of type `T` lies.
    #[inline(always)]
    fn place<T>(&self, offset: usize) -> *const T {
        // The length is whole pages, so a value that starts inside at a multiple of its size ends inside.
        if !offset.is_multiple_of(size_of::<T>()) || offset >= self.len {
            self.is_outside(offset);
        }
        self.start.as_ptr().wrapping_add(offset).cast()
    }

    #[cold]
    fn is_outside(&self, offset: usize) -> ! {
        panic!(
            "offset {offset:#x} in shared memory of {:#x} bytes",
            self.len
        );
    }

    #[inline(always)]
    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: `place` checked bounds and alignment; the frames belong to `self`, and both
        // sides only make whole accesses.
        unsafe { &*self.place::<AtomicU64>(offset) }
    }

    #[inline(always)]
    fn half(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as in `word`.
        unsafe { &*self.place::<AtomicU16>(offset) }
    }

    /// Loads 16 bits at `offset`, a multiple of 2.
    ///
    /// # Panics
    /// If the offset is not within the memory.
    #[inline]
    pub fn load16(&self, offset: usize) -> u16 {
        self.half(offset).load(Ordering::Relaxed)
    }

    /// Stores 16 bits at `offset`, a multiple of 2.
    ///
    /// # Panics
    /// If the offset is not within the memory.
    #[inline]
    pub fn store16(&self, offset: usize, value: u16) {
        self.half(offset).store(value, Ordering::Relaxed);
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
