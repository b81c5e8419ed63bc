//! Nested tables: from a guest's physical addresses to phyrs (AMD APM vol. 2, §15.25).
//!
//! To a CPU that runs a guest, what the guest calls a physical address is one more virtual address.
//! The tables for it have the format of all others, so they are planned, supplied and made by the
//! same code. Three things differ:
//!
//! - Every access of a guest is a user's, so each entry on the way has the U/S bit.
//! - A leaf allows everything. A guest that wants W^X has tables of its own for it.
//! - A CPU forgets all translations when it enters a guest, so there is nothing to flush.
//!
//! Such tables are only made and given up: a guest's memory does not change while the guest exists.

use core::fmt;

use phyr::{Phyr, PhysAddr};

use super::entry::Entry;
use super::plan::Walker;
use super::table::Table;
use super::{Cache, Features, Flush, FrameSource, LeafCount, MapError, PageTables, Rights};
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::Window;

/// The nested tables of one guest.
pub struct NestedTables<W: Window, S: FrameSource> {
    tables: PageTables<W, S, NothingRemembered>,
    /// The addresses that were mapped, as far as they go from 0 on.
    end: u64,
}

/// Every entry into a guest flushes.
struct NothingRemembered;

impl Flush for NothingRemembered {
    fn leaf(&mut self, _: VirtRange) {}

    fn settle(&mut self) {}
}

impl<W: Window, S: FrameSource> NestedTables<W, S> {
    /// Tables that map nothing.
    ///
    /// # Errors
    ///
    /// [`OutOfTableMemory`](MapError::OutOfTableMemory).
    pub fn new(window: W, mut frames: S, features: Features) -> Result<Self, MapError> {
        let frame = frames.allocate().ok_or(MapError::OutOfTableMemory)?;
        // SAFETY: the source vouches for what it hands out.
        let root = unsafe { Table::vouch(frame.addr()) };
        root.fill(&window, core::iter::repeat(Entry::EMPTY));
        let flush = NothingRemembered;
        // SAFETY: the table belongs to this alone, and there is none below it.
        let mut tables = unsafe { PageTables::adopt(root.addr(), window, frames, flush, features) };
        tables.walker = Walker::Guest;
        Ok(Self { tables, end: 0 })
    }

    /// Maps `phyr` behind what was mapped before, at first at address 0, with the largest leaves that
    /// fit.
    ///
    /// # Errors
    ///
    /// As [`PageTables::map`]. Nothing is changed then.
    ///
    /// # Safety
    ///
    /// A guest that uses the tables may do with the memory what it likes, for as long as they exist.
    pub unsafe fn append(&mut self, phyr: Phyr) -> Result<(), MapError> {
        let start = VirtAddr::new(self.end).map_err(MapError::Address)?;
        let (rights, cache) = (Rights::ReadWrite, Cache::WriteBack);
        // SAFETY: the caller's promise.
        let range = unsafe { self.tables.map(start, phyr, rights, cache) }?;
        self.end += range.len();
        Ok(())
    }

    /// The address for the guest's control block (nCR3).
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.tables.root()
    }

    /// How many leaves of each size there are.
    #[must_use]
    pub fn leaves(&self) -> LeafCount {
        self.mapped()
            .map_or(LeafCount::default(), |range| self.tables.leaves(range))
    }

    fn mapped(&self) -> Option<VirtRange> {
        VirtRange::LOWER_HALF.prefix(self.end)
    }
}

impl<W: Window, S: FrameSource> fmt::Debug for NestedTables<W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NestedTables at {}", self.root())
    }
}

impl<W: Window, S: FrameSource> Drop for NestedTables<W, S> {
    fn drop(&mut self) {
        if let Some(range) = self.mapped() {
            // SAFETY: no guest uses the tables any more.
            let unmapped = unsafe { self.tables.discard(range) };
            unmapped.expect("it was mapped, and is unmapped whole");
        }
        let root = self.tables.root.frame();
        self.tables.frames.free(root);
    }
}
