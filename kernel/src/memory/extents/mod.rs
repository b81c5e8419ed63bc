//! The allocator of physical memory: free memory as extents.
//!
//! A page allocator keeps a record for each page, free or not, so it pays for memory by the
//! amount. This allocator keeps a record for each *free extent*: a maximal run of free pages.
//! Nobody needs the memory of a free extent, so the record lies there, at its start. Free memory
//! describes itself, as phyrs; allocated memory is described by nobody but its owner. A machine
//! with 900 GiB starts with one extent and one record, like a machine with 64 MiB.
//!
//! Two questions are asked about free memory, and each has its balanced tree through the records:
//! - *What touches this address?* The tree ordered by address answers it. Freed memory finds the
//!   neighbours that it joins, and a range that is freed twice finds itself.
//! - *What is the smallest extent that can serve this request?* The tree ordered by length, then
//!   address, answers it. It also knows of every subtree the longest aligned range inside
//!   and the lowest address, so a search enters only subtrees that can serve.
//!
//! Both are AVL trees: they are balanced by a rule and not by chance, so their height, and with
//! it the recursion depth, is at most 1.44 log2(n).
//!
//! Invariants, which [`check`](ExtentAllocator::check) verifies:
//! - every free byte lies in exactly one extent, and each extent is in both trees;
//! - two extents never touch: what could be one phyr is one phyr;
//! - a record lies in the first page of its extent, and no other memory is written;
//! - outside free memory there is nothing but the [`ExtentAllocator`] itself.
//!
//! Cost, with n free extents: freeing takes O(log n). So does an allocation that asks for an
//! alignment up to 1 GiB *or* for a limit. One that asks for both, or for more than 1 GiB of
//! alignment, may look at each extent that is long enough only if it were better aligned or lower;
//! what it finds is the best fit nevertheless. The amount of memory occurs in no cost.

mod check;
mod error;
mod fit;
mod node;
mod order;
mod tree;

use phyr::{Phyr, PhysAddr};

pub use check::Flaw;
pub use error::{AllocError, FreeError};
pub use fit::Request;

use self::node::{Free, Nodes};
use self::order::{ByAddress, BySize};
use self::tree::Tree;
use super::window::{PAGE, Window};

/// All free memory of a machine, or of one region of it.
pub struct ExtentAllocator<W> {
    nodes: Nodes<W>,
    by_address: Tree<ByAddress>,
    by_size: Tree<BySize>,
    free_bytes: u64,
}

impl<W: Window> ExtentAllocator<W> {
    /// An allocator that has no memory yet and will reach what it gets through `window`.
    pub const fn new(window: W) -> Self {
        Self {
            nodes: Nodes::new(window),
            by_address: Tree::new(),
            by_size: Tree::new(),
            free_bytes: 0,
        }
    }

    /// Frees `range`: memory that is new, or that was allocated. Any part of an allocation may be
    /// freed, and several that touch may be freed as one.
    ///
    /// # Errors
    ///
    /// See [`FreeError`]; nothing is changed then.
    ///
    /// # Safety
    ///
    /// `range` is RAM. From now on nobody reads or writes it, neither a CPU nor a device, until it
    /// is allocated again.
    // ANCHOR: insert
    pub unsafe fn insert(&mut self, range: Phyr) -> Result<(), FreeError> {
        if !range.is_aligned(PAGE) {
            return Err(FreeError::Unaligned(range));
        }
        if !self.nodes.window().covers(range) {
            return Err(FreeError::OutOfView(range));
        }
        let below = self.by_address.last_at_or_below(&self.nodes, range.addr());
        let above = self.by_address.first_at_or_above(&self.nodes, range.addr());
        for neighbour in [below, above].into_iter().flatten() {
            let free = self.nodes.extent(neighbour);
            if free.overlaps(range) {
                return Err(FreeError::AlreadyFree { range, free });
            }
        }

        // SAFETY: the caller gives the memory up; it is covered, aligned and not free already.
        let mut freed = unsafe { Free::vouch(range) };
        if let Some(below) = below.filter(|&at| self.nodes.extent(at).try_merge(range).is_ok()) {
            freed = self.uproot(below).join(freed);
        }
        if let Some(above) = above.filter(|&at| range.try_merge(self.nodes.extent(at)).is_ok()) {
            freed = freed.join(self.uproot(above));
        }
        self.plant(freed);
        Ok(())
    }
    // ANCHOR_END: insert

    /// Allocates from the smallest extent that can serve `request`, of several the lowest, at the
    /// lowest suitable address in it. (So a series of allocations ascends, and joins to one phyr.)
    ///
    /// # Errors
    ///
    /// See [`AllocError`]; nothing is changed then.
    pub fn allocate(&mut self, request: Request) -> Result<Phyr, AllocError> {
        let want = request.check()?;
        let (at, place) = self
            .by_size
            .best_fit(&self.nodes, &want)
            .ok_or(AllocError::Exhausted(request))?;
        Ok(self.carve(at, place))
    }

    /// Allocates exactly `range`.
    ///
    /// # Errors
    ///
    /// See [`AllocError`]; nothing is changed then.
    pub fn allocate_at(&mut self, range: Phyr) -> Result<Phyr, AllocError> {
        if !range.is_aligned(PAGE) {
            return Err(AllocError::Unaligned);
        }
        let below = self.by_address.last_at_or_below(&self.nodes, range.addr());
        let at = below
            .filter(|&at| self.nodes.extent(at).contains(range))
            .ok_or(AllocError::NotFree(range))?;
        Ok(self.carve(at, range))
    }

    /// How many bytes are free.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    /// The longest free extent (of several the highest); nothing if no memory is free.
    #[must_use]
    pub fn largest(&self) -> Option<Phyr> {
        self.by_size
            .last(&self.nodes)
            .map(|at| self.nodes.extent(at))
    }

    /// The free extents, in the order of their addresses.
    pub fn extents(&self) -> impl Iterator<Item = Phyr> {
        // A step looks its successor up, in O(log n), so that no stack is needed.
        let mut from = Some(PhysAddr::new(0));
        core::iter::from_fn(move || {
            let extent = self
                .nodes
                .extent(self.by_address.first_at_or_above(&self.nodes, from?)?);
            from = extent.last().checked_add(1);
            Some(extent)
        })
    }

    /// Makes `free` an extent.
    fn plant(&mut self, free: Free) {
        self.free_bytes += free.range().len();
        let at = self.nodes.sow(free);
        self.by_address.insert(&mut self.nodes, at);
        self.by_size.insert(&mut self.nodes, at);
    }

    /// Takes the extent at `at` out of the trees.
    fn uproot(&mut self, at: node::NodeAt) -> Free {
        self.by_address.remove(&mut self.nodes, at);
        self.by_size.remove(&mut self.nodes, at);
        let free = self.nodes.reap(at);
        self.free_bytes -= free.range().len();
        free
    }

    /// Hands out `place`, which lies in the extent at `at`; what remains on both sides stays free.
    fn carve(&mut self, at: node::NodeAt, place: Phyr) -> Phyr {
        let (before, after) = self.uproot(at).without(place);
        for rest in [before, after].into_iter().flatten() {
            self.plant(rest);
        }
        place
    }
}

impl<W: Window> core::fmt::Debug for ExtentAllocator<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.extents()).finish()
    }
}
