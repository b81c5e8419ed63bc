//! Where the CPU sees physical memory.
//!
//! Two parts of the kernel touch memory that has no owner with a virtual address of its own:
//! the extent allocator keeps its nodes in free memory, and the page tables are themselves
//! physical memory. Both reach it through one seam, the [`Window`]. In the kernel the window is
//! the [`DirectMap`]; on the host it is an arena, so that both are tested as ordinary programs.

use core::fmt;
use core::ptr::{self, NonNull};

use phyr::{Phyr, PhysAddr};

use super::virt::VirtRange;

/// What the allocator and the page tables count in: the smallest page of x86-64.
pub const PAGE: u64 = 4096;

/// No physical address of x86-64 has more bits (Intel SDM vol. 3, §4.1.4).
pub const PHYSICAL_BITS: u32 = 52;

/// A view of physical memory that needs no page-table change to be used.
///
/// # Safety
///
/// The holder of a range dereferences what [`pointer`](Self::pointer) returns. The implementer
/// promises, for every range that it [`covers`](Self::covers):
///
/// 1. *Valid*: the pointer may be read and written up to the end of its page, for as long as
///    the window exists. (Two pages that touch in physical memory may lie apart in the view.)
/// 2. *Faithful*: different bytes of physical memory are different bytes of the view, and the
///    answer for an address never changes, even if the window itself is moved.
/// 3. *Aligned*: the pointer is as aligned as the address, up to [`PAGE`].
/// 4. *Bounded*: the range ends below 2^[`PHYSICAL_BITS`], so its end is computed without overflow.
///
/// The window says nothing about who may use the memory. That is the caller's duty.
pub unsafe trait Window {
    /// Whether all of `range` can be reached.
    fn covers(&self, range: Phyr) -> bool;

    /// The byte at `addr`. Means something only for covered addresses, but never panics for them.
    fn pointer(&self, addr: PhysAddr) -> NonNull<u8>;
}

/// All memory from physical address 0 on, mapped linearly at a fixed virtual address.
#[derive(Clone, Copy)]
pub struct DirectMap {
    view: VirtRange,
}

impl DirectMap {
    /// The direct map whose byte `n` is the byte at physical address `n`.
    ///
    /// # Safety
    ///
    /// `view` starts at a page boundary and is not at virtual address 0. All RAM below
    /// `view.len()` is mapped there, writable and write-back, for the rest of the kernel's life;
    /// no other kind of memory is reached through it.
    #[must_use]
    pub const unsafe fn new(view: VirtRange) -> Self {
        Self { view }
    }

    /// The virtual addresses that the map occupies.
    #[must_use]
    pub const fn view(&self) -> VirtRange {
        self.view
    }

    /// What lies behind a range of virtual addresses, if all of it is in the map.
    #[must_use]
    pub fn phyr(&self, range: VirtRange) -> Option<Phyr> {
        let offset = range.start().offset_from(self.view.start())?;
        let inside = range.last().get() <= self.view.last().get();
        let phyr = Phyr::new(PhysAddr::new(offset), range.len());
        phyr.ok().filter(|_| inside)
    }
}

// SAFETY: 1 and 2 hold because the map is linear and permanent, as `DirectMap::new` was promised;
// 3 because it starts at a page boundary; 4 because half an address space is only 2^47 bytes.
unsafe impl Window for DirectMap {
    fn covers(&self, range: Phyr) -> bool {
        range.last().get() < self.view.len()
    }

    fn pointer(&self, addr: PhysAddr) -> NonNull<u8> {
        let virt = self.view.start().get().wrapping_add(addr.get());
        NonNull::new(ptr::with_exposed_provenance_mut(virt as usize)).unwrap_or(NonNull::dangling())
    }
}

impl fmt::Debug for DirectMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectMap at {:?}", self.view)
    }
}
