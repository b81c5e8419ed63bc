//! The heap: `alloc` on top of frames.
//!
//! The talc allocator divides what it is given; whenever it runs dry it asks its source, which
//! takes more frames. They are used through the direct map, so the heap needs no mappings of its own.
//! Frames that became heap stay heap.

use super::frames::{self, Frames};
use super::window::PAGE;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU64, Ordering};
use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

/// What the heap takes at once, where memory allows: few, large pieces.
const PIECE: u64 = 1 << 20;

/// Room for talc's own bookkeeping within a piece.
const OVERHEAD: u64 = 64 << 10;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Bytes that the heap has taken from the frames so far.
///
/// Together with the free memory they stay the same as long as nobody keeps frames.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Frames, whenever the heap runs dry.
#[derive(Debug)]
pub struct FrameSource;

// SAFETY: `acquire` takes frames through the extent allocator, which allocates nothing on the heap.
unsafe impl Source for FrameSource {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let needed = (layout.size() as u64)
            .checked_add(layout.align() as u64)
            .and_then(|len| len.checked_add(OVERHEAD))
            .and_then(|len| len.checked_next_multiple_of(PAGE))
            .ok_or(())?;
        let frames = Frames::allocate(needed.max(PIECE))
            .or_else(|_| Frames::allocate(needed))
            .map_err(|_| ())?;
        let (start, len) = (frames.pointer(), frames.phyr().len() as usize);
        // The memory is the heap's for ever.
        frames::leak(frames);
        TAKEN.fetch_add(len as u64, Ordering::Relaxed);
        // SAFETY: the frames were allocated to nobody else, are mapped for good by the direct map,
        // and are given to this heap once.
        unsafe { talc.claim(start.as_ptr(), len) }
            .map(drop)
            .ok_or(())
    }
}

/// The heap, which counts what is asked of it: a path that must not allocate can be shown not to.
struct Heap(TalcLock<spin::Mutex<()>, FrameSource>);

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Bytes asked for, less those given back; it wraps.
static USED: AtomicU64 = AtomicU64::new(0);

/// How often memory was asked for, made longer, or given back, since boot.
pub fn requests() -> u64 {
    REQUESTS.load(Ordering::Relaxed)
}

/// Bytes that somebody has, at this moment, as they were asked for. What nobody leaks comes back to the same number.
pub fn used() -> u64 {
    USED.load(Ordering::Relaxed)
}

/// Counts a request that was granted.
fn count(memory: *mut u8, more: usize, less: usize) -> *mut u8 {
    if !memory.is_null() {
        USED.fetch_add((more as u64).wrapping_sub(less as u64), Ordering::Relaxed);
    }
    memory
}

// SAFETY: all calls go to talc's heap as they are.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty is the same.
        count(unsafe { self.0.alloc(layout) }, layout.size(), 0)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        count(memory, 0, layout.size());
        // SAFETY: the caller's duty is the same.
        unsafe { self.0.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty is the same.
        count(unsafe { self.0.alloc_zeroed(layout) }, layout.size(), 0)
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty is the same.
        let longer = unsafe { self.0.realloc(memory, layout, len) };
        count(longer, len, layout.size())
    }
}

#[cfg_attr(phyros, global_allocator)]
static HEAP: Heap = Heap(TalcLock::new(FrameSource));
