//! Physical memory, played by memory of the host.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use kernel::memory::window::{PAGE, Window};
use phyr::{Phyr, PhysAddr};

/// A range from numbers.
pub(crate) fn phyr(addr: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(addr), len).unwrap()
}

/// Zeroed memory of the host: whole pages.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(len: u64) -> Self {
        let layout = Layout::from_size_align(len as usize, PAGE as usize).unwrap();
        assert!(layout.size() > 0);
        // SAFETY: the layout has bytes.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// One physical range, all backed by the host.
pub(crate) struct Arena {
    range: Phyr,
    pages: Pages,
}

impl Arena {
    /// Memory for `range`.
    pub(crate) fn new(range: Phyr) -> Self {
        Self {
            range,
            pages: Pages::new(range.len()),
        }
    }

    /// The memory that it plays.
    pub(crate) fn range(&self) -> Phyr {
        self.range
    }
}

// SAFETY: the arena is one allocation, aligned to pages, that lives as long as the borrow.
unsafe impl Window for &Arena {
    fn covers(&self, range: Phyr) -> bool {
        self.range.contains(range)
    }

    fn pointer(&self, addr: PhysAddr) -> NonNull<u8> {
        assert!(
            self.range.contains_addr(addr),
            "{addr:?} is outside the arena {}",
            self.range
        );
        let offset = addr.offset_from(self.range.addr()).unwrap();
        // SAFETY: the offset is less than the length of the allocation.
        unsafe { self.pages.start.add(offset as usize) }
    }
}

/// All physical memory below 2^52. The host backs the pages that are used.
#[derive(Default)]
pub(crate) struct SparseArena {
    pages: RefCell<BTreeMap<u64, Pages>>,
}

impl SparseArena {
    /// How many pages were used up to now.
    pub(crate) fn touched(&self) -> usize {
        self.pages.borrow().len()
    }
}

// SAFETY: each page has an allocation of its own, which stays until the arena is dropped.
unsafe impl Window for &SparseArena {
    fn covers(&self, range: Phyr) -> bool {
        range.last().get() < 1 << 52
    }

    fn pointer(&self, addr: PhysAddr) -> NonNull<u8> {
        let mut pages = self.pages.borrow_mut();
        let page = pages
            .entry(addr.get() / PAGE)
            .or_insert_with(|| Pages::new(PAGE));
        // SAFETY: the offset is less than a page.
        unsafe { page.start.add((addr.get() % PAGE) as usize) }
    }
}

/// The 64-bit word at `addr`.
pub(crate) fn read(window: &impl Window, addr: u64) -> u64 {
    // SAFETY: the window's page is memory of the host; tests have one thread each and keep no
    // references into it.
    unsafe { window.pointer(PhysAddr::new(addr)).cast::<u64>().read() }
}

/// Sets the 64-bit word at `addr`.
pub(crate) fn write(window: &impl Window, addr: u64, value: u64) {
    // SAFETY: as in `read`.
    unsafe {
        window
            .pointer(PhysAddr::new(addr))
            .cast::<u64>()
            .write(value)
    }
}
