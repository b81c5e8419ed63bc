//! Page tables over phyrs.
//!
//! A page table is an array of small pieces, and the usual interface to it speaks in pieces, too:
//! this page to that frame, once more for each of 262 144 pages. Here one call maps one phyr. The
//! tables are a detail: [`map`](PageTables::map) takes the largest leaves that the addresses
//! allow, and [`translate`](PageTables::translate) joins what it finds to phyrs again, whatever
//! leaves they came from. So 1 GiB of memory is one phyr, one leaf, and one phyr again.
//!
//! **A change is planned, supplied, and only then made.** The plan walks the tables without
//! writing: it finds every obstacle (something is mapped there, something is not), and it counts
//! the tables that the change needs. They are all allocated before the first entry is written.
//! What follows cannot fail, so an error always means that nothing has changed, and there is no
//! half-way state to roll back from.
//!
//! **No rights that contradict each other.** [`Rights`] has no value for "writable and
//! executable", so W^X cannot be forgotten at a call.
//!
//! Invariants:
//! - a table that this module made and that maps nothing goes back to its [`FrameSource`];
//! - memory, mapped or used for a table, is handed back only after the [`Flush`] hook has settled,
//!   so no CPU can reach it through a translation that it remembers;
//! - entries above the leaves grant everything and restrict nothing; the leaf decides. For tables
//!   [of a program](PageTables::for_user) they and the leaves have the U/S bit (SDM §4.6), for the
//!   kernel's none has.
//!
//! The format of the tables is that of the Intel SDM, vol. 3, §4.5 (4-level paging). The nested
//! tables of a guest ([`NestedTables`]) have the same format, and are made by the same code.

mod change;
mod entry;
mod error;
mod features;
mod flush;
mod frames;
mod level;
mod nested;
mod plan;
mod rights;
mod table;
mod walk;

use phyr::{Phyr, PhyrList, PhysAddr};

pub use error::MapError;
pub use features::Features;
pub use flush::{FEW, Flush, LocalTlb};
pub use frames::FrameSource;
pub use nested::NestedTables;
pub use rights::{Cache, PAT, PAT_MSR, Rights};
pub use walk::{Leaf, LeafCount};

use self::change::Change;
use self::level::Level;
use self::plan::{Target, Walker};
use self::table::{Chain, Table};
use super::virt::{VirtAddr, VirtRange};
use super::window::{PAGE, PHYSICAL_BITS, Window};

/// One address space: a tree of page tables, and what it takes to change it.
pub struct PageTables<W, S, T> {
    root: Table,
    window: W,
    frames: S,
    flush: T,
    features: Features,
    walker: Walker,
}

impl<W: Window, S: FrameSource, T: Flush> PageTables<W, S, T> {
    /// Takes over the tables below the PML4 table at `root`: those that CR3 refers to, made by
    /// whoever ran before, or an empty table for a new address space.
    ///
    /// Tables that were there before are changed like those made here, and go to
    /// [`FrameSource::free`] when they become empty. The source knows whether it wants them.
    ///
    /// # Safety
    ///
    /// - `root` and all tables below it are valid, and `window` covers them.
    /// - From now on nobody else writes to them (but the CPU, its accessed and dirty bits).
    /// - There is only one way from the root to each table: none is shared, none is recursive.
    /// - No entry is global (G), as no [`Flush`] would make a CPU forget it.
    pub const unsafe fn adopt(
        root: PhysAddr,
        window: W,
        frames: S,
        flush: T,
        features: Features,
    ) -> Self {
        // SAFETY: the caller vouches for the table and those below.
        let root = unsafe { Table::vouch(root) };
        Self {
            root,
            window,
            frames,
            flush,
            features,
            walker: Walker::Kernel,
        }
    }

    /// The same, whose mappings from now on are for programs in ring 3.
    #[must_use]
    pub fn for_user(self) -> Self {
        Self {
            walker: Walker::User,
            ..self
        }
    }

    /// The address for CR3.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root.addr()
    }

    /// Where the tables come from and go to.
    pub const fn frames(&mut self) -> &mut S {
        &mut self.frames
    }

    /// Who forgets stale translations.
    pub const fn flush(&mut self) -> &mut T {
        &mut self.flush
    }

    /// Maps `phyr` at `virt` and the addresses that follow, with the largest leaves that fit: of
    /// 1 GiB (if the CPU has them), 2 MiB and 4 KiB. A leaf fits where the virtual and the
    /// physical address are both multiples of its size. Returns the virtual range.
    ///
    /// # Errors
    ///
    /// [`Misaligned`](MapError::Misaligned), [`Address`](MapError::Address) (the range would leave
    /// its half of the address space), [`BeyondPhysical`](MapError::BeyondPhysical),
    /// [`AlreadyMapped`](MapError::AlreadyMapped), [`Restricted`](MapError::Restricted),
    /// [`OutOfTableMemory`](MapError::OutOfTableMemory). Nothing is changed then.
    ///
    /// # Safety
    ///
    /// The caller may give access to the memory in this way. If it is mapped elsewhere too, both
    /// have the same cache mode (SDM vol. 3, §12.12.4), and the references that are made from
    /// both respect each other.
    pub unsafe fn map(
        &mut self,
        virt: VirtAddr,
        phyr: Phyr,
        rights: Rights,
        cache: Cache,
    ) -> Result<VirtRange, MapError> {
        let range = VirtRange::new(virt, phyr.len()).map_err(MapError::Address)?;
        self.can_map(range, phyr)?;
        let target = self.target(phyr, rights, cache);
        let tables =
            plan::tables_to_map(&self.window, Some(self.root), Level::Pml4, range, target)?;
        self.change(tables, |change, root| {
            change.map(root, Level::Pml4, range, target)
        })?;
        Ok(range)
    }

    /// Unmaps all of `range` and returns what was mapped there, in the order of the virtual
    /// addresses. A larger leaf that the range cuts is split first.
    ///
    /// # Errors
    ///
    /// [`Misaligned`](MapError::Misaligned), [`NotMapped`](MapError::NotMapped) (a part of the
    /// range is not), [`OutOfTableMemory`](MapError::OutOfTableMemory) (for the split),
    /// [`List`](MapError::List). Nothing is changed then.
    ///
    /// # Safety
    ///
    /// Nothing uses the range any more.
    pub unsafe fn unmap(&mut self, range: VirtRange) -> Result<PhyrList, MapError> {
        let phyrs = self.translate(range)?;
        // SAFETY: the caller's promise.
        unsafe { self.discard(range) }?;
        Ok(phyrs)
    }

    /// Unmaps all of `range` without a list of what was there. Where the range cuts no leaf, this
    /// needs no memory.
    ///
    /// # Errors
    ///
    /// [`Misaligned`](MapError::Misaligned), [`NotMapped`](MapError::NotMapped) (a part of the
    /// range is not), [`OutOfTableMemory`](MapError::OutOfTableMemory) (for a split). Nothing is
    /// changed then.
    ///
    /// # Safety
    ///
    /// Nothing uses the range any more.
    pub unsafe fn discard(&mut self, range: VirtRange) -> Result<(), MapError> {
        if !range.is_aligned(PAGE) {
            return Err(MapError::Misaligned);
        }
        walk::leaves(
            &self.window,
            self.root,
            range,
            &mut |virt, leaf| match leaf {
                Some(_) => Ok(()),
                None => Err(MapError::NotMapped(virt.start())),
            },
        )?;
        let tables = plan::tables_to_cut(&self.window, self.root, range, |_| true);
        self.change(tables, |change, root| {
            change.unmap(root, Level::Pml4, range)
        })
    }

    /// Gives all of `range` the rights `rights`. A larger leaf that the range cuts is split first,
    /// unless it has these rights already. (Split leaves are not joined again; to have large
    /// leaves, unmap and map.)
    ///
    /// # Errors
    ///
    /// [`Misaligned`](MapError::Misaligned), [`NotMapped`](MapError::NotMapped) (a part of the
    /// range is not), [`Restricted`](MapError::Restricted),
    /// [`OutOfTableMemory`](MapError::OutOfTableMemory) (for the split). Nothing is changed then.
    ///
    /// # Safety
    ///
    /// No reference into the range needs a right that this takes away, and the caller may give
    /// the rights that this adds.
    pub unsafe fn protect(&mut self, range: VirtRange, rights: Rights) -> Result<(), MapError> {
        if !range.is_aligned(PAGE) {
            return Err(MapError::Misaligned);
        }
        plan::may_protect(&self.window, self.root, range, rights)?;
        let tables = plan::tables_to_cut(&self.window, self.root, range, |entry| {
            entry.rights() != Some(rights)
        });
        self.change(tables, |change, root| {
            change.protect(root, Level::Pml4, range, rights)
        })
    }

    /// Puts `phyr` behind `range`, where other memory was, with these rights. Whoever uses the range meanwhile
    /// finds the one or the other, and when this returns nobody finds the old one any more.
    ///
    /// The largest leaves are taken that fit, but none that is larger than what was there.
    ///
    /// # Errors
    ///
    /// [`Misaligned`](MapError::Misaligned) (also if the two are not equally long),
    /// [`BeyondPhysical`](MapError::BeyondPhysical), [`NotMapped`](MapError::NotMapped) (a part of the range is
    /// not), [`Restricted`](MapError::Restricted), [`OutOfTableMemory`](MapError::OutOfTableMemory) (for a
    /// split). Nothing is changed then.
    ///
    /// # Safety
    ///
    /// As for [`map`](Self::map), and no reference into the range is used after that.
    pub unsafe fn replace(
        &mut self,
        range: VirtRange,
        phyr: Phyr,
        rights: Rights,
        cache: Cache,
    ) -> Result<(), MapError> {
        if range.len() != phyr.len() {
            return Err(MapError::Misaligned);
        }
        self.can_map(range, phyr)?;
        plan::may_protect(&self.window, self.root, range, rights)?;
        let target = self.target(phyr, rights, cache);
        let tables = plan::tables_to_replace(&self.window, self.root, range, target);
        self.change(tables, |change, root| {
            change.replace(root, Level::Pml4, range, target)
        })
    }

    /// Whether both are pages, and the memory can be said in an entry.
    fn can_map(&self, range: VirtRange, phyr: Phyr) -> Result<(), MapError> {
        if !range.is_aligned(PAGE) || !phyr.is_aligned(PAGE) {
            return Err(MapError::Misaligned);
        }
        if phyr.last().get() >> self.features.physical_bits.min(PHYSICAL_BITS) != 0 {
            return Err(MapError::BeyondPhysical(phyr));
        }
        Ok(())
    }

    const fn target(&self, phyr: Phyr, rights: Rights, cache: Cache) -> Target {
        Target {
            start: phyr.addr(),
            rights,
            cache,
            largest: self.features.largest_leaf(),
            walker: self.walker,
        }
    }

    /// The memory behind `range`, which need not be made of pages, in the order of the virtual
    /// addresses. What touches is joined.
    ///
    /// # Errors
    ///
    /// [`NotMapped`](MapError::NotMapped) (a part of the range is not), [`List`](MapError::List).
    // ANCHOR: translate
    pub fn translate(&self, range: VirtRange) -> Result<PhyrList, MapError> {
        let mut phyrs = PhyrList::new();
        walk::leaves(&self.window, self.root, range, &mut |virt, leaf| {
            let leaf = leaf.ok_or(MapError::NotMapped(virt.start()))?;
            phyrs.push(leaf.phyr).map_err(MapError::List)
        })?;
        Ok(phyrs)
    }
    // ANCHOR_END: translate

    /// As [`translate`](Self::translate), with at most `entries` phyrs: as much of the front of
    /// `range` as they can say, and how many bytes that is. What touches the last one still joins it.
    ///
    /// # Errors
    ///
    /// As [`translate`](Self::translate), for the part that was looked at.
    pub fn translate_up_to(
        &self,
        range: VirtRange,
        entries: usize,
    ) -> Result<(PhyrList, u64), MapError> {
        let mut phyrs = PhyrList::new();
        let walked = walk::leaves(&self.window, self.root, range, &mut |virt, leaf| {
            let leaf = leaf.ok_or(Stop::Error(MapError::NotMapped(virt.start())))?;
            let last = phyrs.last();
            let joins = last.is_some_and(|last| last.try_merge(leaf.phyr).is_ok());
            if !joins && phyrs.len() >= entries {
                return Err(Stop::Full);
            }
            let pushed = phyrs.push(leaf.phyr);
            pushed.map_err(|error| Stop::Error(MapError::List(error)))
        });
        match walked {
            Err(Stop::Error(error)) => Err(error),
            Ok(()) | Err(Stop::Full) => {
                let bytes = phyrs.bytes();
                Ok((phyrs, bytes))
            }
        }
    }

    /// Shows each leaf in `range` to `see`, in the order of the addresses. Of a leaf that the range
    /// cuts, only the part inside is shown.
    pub fn visit(&self, range: VirtRange, mut see: impl FnMut(Leaf)) {
        let seen: Result<(), core::convert::Infallible> =
            walk::leaves(&self.window, self.root, range, &mut |_, leaf| {
                leaf.into_iter().for_each(&mut see);
                Ok(())
            });
        let Ok(()) = seen;
    }

    /// How many leaves of each size lie in `range`, or reach into it.
    #[must_use]
    pub fn leaves(&self, range: VirtRange) -> LeafCount {
        let mut count = LeafCount::default();
        self.visit(range, |leaf| count.add(leaf));
        count
    }

    /// Gets `tables` tables for `make`, lets it change the tree, and when no CPU remembers
    /// the old state, gives the tables back that it retired.
    fn change(
        &mut self,
        tables: u64,
        make: impl FnOnce(&mut Change<'_, W, T>, Table),
    ) -> Result<(), MapError> {
        let mut spare = Chain::new();
        for _ in 0..tables {
            let Some(frame) = self.frames.allocate() else {
                self.give_back(spare);
                return Err(MapError::OutOfTableMemory);
            };
            // SAFETY: the source vouches for what it hands out.
            let table = unsafe { Table::vouch(frame.addr()) };
            spare.push(&self.window, table);
        }
        let mut change = Change::new(&self.window, &mut self.flush, spare);
        make(&mut change, self.root);
        let (unused, retired) = change.settle();
        self.give_back(unused);
        self.give_back(retired);
        Ok(())
    }

    /// Gives tables that are in no tree back to the source.
    fn give_back(&mut self, mut tables: Chain) {
        while let Some(table) = tables.pop(&self.window) {
            self.frames.free(table.frame());
        }
    }
}

/// Why a walk ended early.
enum Stop {
    /// The list has all the entries that it may have.
    Full,
    Error(MapError),
}
