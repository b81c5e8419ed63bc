//! Frames: RAM that belongs to its holder alone.
//!
//! A [`Phyr`] only says where memory is. [`Frames`] says whose it is. Holding one tells you:
//!
//! - the range is RAM, allocated to you and to nobody else;
//! - it is in the direct map, so the CPU can read and write it;
//! - it goes back to the allocator when you drop it.
//!
//! It can be split and joined by value, which loses nothing: both halves, or the whole, come back.

use super::extents::{AllocError, ExtentAllocator, Request};
use super::window::{DirectMap, PAGE, Window};
use crate::lock::Mutex;
use core::ptr::NonNull;
use phyr::{Phyr, PhysAddr};
use spin::Once;

static WINDOW: Once<DirectMap> = Once::new();
static ALLOCATOR: Mutex<Option<ExtentAllocator<DirectMap>>> = Mutex::new(None);

/// Starts the allocator, without memory yet.
pub(super) fn init(window: DirectMap) {
    WINDOW.call_once(|| window);
    *ALLOCATOR.lock() = Some(ExtentAllocator::new(window));
}

/// Gives memory to the allocator for the first time.
///
/// # Safety
/// `range` is RAM that nobody uses.
pub(super) unsafe fn add(range: Phyr) {
    with_allocator(|allocator| {
        // SAFETY: the caller's promise.
        let added = unsafe { allocator.insert(range) };
        added.expect("the boot map is disjoint, page-aligned, and in the direct map");
    });
}

/// Looks at the allocator, or changes it.
///
/// `action` must not use the heap: the heap may ask this allocator for memory, which is locked.
///
/// # Panics
/// Before `memory::init`.
pub fn with_allocator<R>(action: impl FnOnce(&mut ExtentAllocator<DirectMap>) -> R) -> R {
    action(
        ALLOCATOR
            .lock()
            .as_mut()
            .expect("memory is initialised first"),
    )
}

/// Allocated RAM.
#[derive(Debug, PartialEq, Eq)]
pub struct Frames {
    phyr: Phyr,
}

impl Frames {
    /// Allocates `len` bytes, a multiple of 4096, in one piece. The content is what was there.
    pub fn allocate(len: u64) -> Result<Self, AllocError> {
        Self::request(Request {
            len,
            align: PAGE,
            below: None,
        })
    }

    /// Allocates with an alignment or an upper limit.
    pub fn request(request: Request) -> Result<Self, AllocError> {
        with_allocator(|allocator| allocator.allocate(request)).map(|phyr| Self { phyr })
    }

    /// Allocates exactly this range, if it is free.
    pub fn take(range: Phyr) -> Result<Self, AllocError> {
        with_allocator(|allocator| allocator.allocate_at(range)).map(|phyr| Self { phyr })
    }

    /// Allocates `len` bytes, filled with zeros.
    pub fn zeroed(len: u64) -> Result<Self, AllocError> {
        let mut frames = Self::allocate(len)?;
        frames.bytes_mut().fill(0);
        Ok(frames)
    }

    /// Where the memory is.
    pub fn phyr(&self) -> Phyr {
        self.phyr
    }

    /// The memory in the direct map. Valid for as long as the frames are held.
    pub fn pointer(&self) -> NonNull<u8> {
        window().pointer(self.phyr.addr())
    }

    /// The bytes. No device may be writing them meanwhile: a buffer that is on the bus is held by
    /// its request and cannot be read here.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the direct map covers the frames, which belong to `self` alone.
        unsafe { core::slice::from_raw_parts(self.pointer().as_ptr(), self.phyr.len() as usize) }
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe {
            core::slice::from_raw_parts_mut(self.pointer().as_ptr(), self.phyr.len() as usize)
        }
    }

    /// Divides the frames at `offset`, a multiple of 4096; or gives them back.
    pub fn split_at(self, offset: u64) -> Result<(Self, Self), Self> {
        match self.phyr.split_at(offset) {
            Some((front, back)) if offset.is_multiple_of(PAGE) => {
                leak(self);
                Ok((Self { phyr: front }, Self { phyr: back }))
            }
            _ => Err(self),
        }
    }

    /// Joins frames with those right behind them; or gives both back.
    pub fn try_merge(self, next: Self) -> Result<Self, (Self, Self)> {
        match self.phyr.try_merge(next.phyr) {
            Ok(phyr) => {
                leak(self);
                leak(next);
                Ok(Self { phyr })
            }
            Err(_) => Err((self, next)),
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        with_allocator(|allocator| {
            // SAFETY: the range was allocated to `self` alone, which is gone now.
            let freed = unsafe { allocator.insert(self.phyr) };
            freed.expect("frames are allocated once and freed once");
        });
    }
}

/// Gives up the frames' memory for ever and says where it is.
pub fn leak(frames: Frames) -> Phyr {
    let phyr = frames.phyr;
    core::mem::forget(frames);
    phyr
}

/// Makes an owner for memory that [`leak`] released from one, or that the loader handed over.
///
/// # Safety
/// The memory is RAM in the direct map, and belongs to the caller alone.
pub unsafe fn adopt(phyr: Phyr) -> Frames {
    Frames { phyr }
}

/// Where the CPU sees RAM.
///
/// # Panics
/// Before `memory::init`.
pub fn window() -> DirectMap {
    *WINDOW.get().expect("memory is initialised first")
}

/// An upper limit for devices that can only be given 32-bit addresses.
pub const BELOW_4_GIB: PhysAddr = PhysAddr::new(1 << 32);

/// RAM for tests on the host.
#[cfg(any(test, feature = "host-memory"))]
pub mod host {
    use super::*;
    use crate::memory::virt::{VirtAddr, VirtRange};
    use spin::MutexGuard;

    /// Where the memory is, as physical addresses go.
    const BASE: u64 = 1 << 20;
    const BYTES: u64 = 16 << 20;

    static READY: Once<()> = Once::new();
    static USER: Mutex<()> = Mutex::new(());

    /// The right to look at how much is free: there is one at a time.
    pub struct Arena {
        _only: MutexGuard<'static, ()>,
    }

    /// Starts the allocator, if it has not been, and keeps other tests from using it.
    pub fn arena() -> Arena {
        let _only = USER.lock();
        READY.call_once(|| {
            let layout = core::alloc::Layout::from_size_align(BYTES as usize, PAGE as usize);
            // SAFETY: the layout has bytes.
            let start = unsafe { std::alloc::alloc_zeroed(layout.expect("whole pages")) };
            let view = VirtAddr::of(start).get() - BASE;
            let view = VirtAddr::new(view).and_then(|at| VirtRange::new(at, BASE + BYTES));
            // SAFETY: the memory is never freed, and nobody is given anything below `BASE`.
            init(unsafe { DirectMap::new(view.expect("the host has such addresses")) });
            let range = Phyr::new(PhysAddr::new(BASE), BYTES).expect("it does not wrap");
            // SAFETY: it was allocated just now.
            unsafe { add(range) };
        });
        Arena { _only }
    }

    impl Arena {
        /// The bytes that nobody has at this moment.
        pub fn free_bytes(&self) -> u64 {
            with_allocator(|allocator| allocator.free_bytes())
        }
    }
}
