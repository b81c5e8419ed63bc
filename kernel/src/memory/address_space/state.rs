//! What an address space knows: its page tables, what is mapped with which owner, and what is pinned. All
//! changes are made here, behind one lock.

use super::areas::{Area, Areas};
use super::sharing::{Aside, unwritten};
use super::{Backing, PinError, SpaceError, Usage};
use crate::memory::mapping::{self, Tables};
use crate::memory::paging::{Cache, LeafCount, MapError, Rights};
use crate::memory::pins::{Access, NoRoom, Pins};
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::PAGE;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::PhyrList;

pub(super) type Owner = Arc<dyn Backing>;

/// What is behind the lock of an address space.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) areas: Areas<Owner>,
    pub(super) pins: Pins,
    /// Memory that is pinned, and was shared, and has lost its addresses to a copy.
    pub(super) aside: Vec<Aside>,
    /// The address space is at its end, and waits for its pins.
    ended: bool,
}

/// Whose page tables.
pub(super) enum Tree {
    /// Those that all cores use while they are in the kernel.
    Kernel,
    /// A program's.
    Own(Box<Tables>),
}

impl Tree {
    pub(super) fn with<R>(&mut self, action: impl FnOnce(&mut Tables) -> R) -> R {
        match self {
            Self::Kernel => mapping::with_tables(action),
            Self::Own(tables) => {
                mapping::assert_may_change();
                action(tables)
            }
        }
    }
}

impl State {
    /// With nothing in it.
    pub(super) fn new(tree: Tree) -> Self {
        Self {
            tree,
            areas: Areas::new(),
            pins: Pins::new(),
            aside: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            mapped: self.areas.iter().map(|area| area.range.len()).sum(),
            shared: self.shared_bytes(),
            pinned: self.pins.bytes(),
            pins: self.pins.len(),
        }
    }

    fn shared_bytes(&self) -> u64 {
        let shared = self.areas.iter().filter(|area| area.shared);
        shared.map(|area| area.range.len()).sum()
    }

    pub(super) fn leaves(&mut self, range: VirtRange) -> LeafCount {
        self.tree.with(|tables| tables.leaves(range))
    }

    /// Maps a list, and keeps its owner; or gives that back.
    pub(super) fn map<B: Backing>(
        &mut self,
        bounds: VirtRange,
        start: Option<VirtAddr>,
        list: &PhyrList,
        owner: B,
        rights: Rights,
    ) -> Result<VirtRange, (SpaceError, B)> {
        match self.map_list(bounds, start, list, rights, owner.cache()) {
            Ok(range) => {
                let owner: Owner = Arc::new(owner);
                self.areas.insert(Area {
                    range,
                    rights,
                    shared: false,
                    owner,
                });
                Ok(range)
            }
            Err(error) => Err((error, owner)),
        }
    }

    /// Maps a list and makes room for its area.
    fn map_list(
        &mut self,
        bounds: VirtRange,
        start: Option<VirtAddr>,
        list: &PhyrList,
        rights: Rights,
        cache: Cache,
    ) -> Result<VirtRange, SpaceError> {
        if list.is_empty() || list.iter().any(|phyr| !phyr.is_aligned(PAGE)) {
            return Err(SpaceError::NotPages);
        }
        let range = match start {
            Some(start) => VirtRange::new(start, list.bytes()).map_err(SpaceError::Address)?,
            None => self.place(bounds, list).ok_or(SpaceError::NoAddresses)?,
        };
        if !bounds.contains(range) {
            return Err(SpaceError::Outside(range));
        }
        if !range.is_aligned(PAGE) {
            return Err(SpaceError::NotPages);
        }
        if let Some(area) = self.areas.in_range(range).next() {
            return Err(SpaceError::Taken(area.range));
        }
        self.areas.reserve().map_err(|_| SpaceError::OutOfMemory)?;
        let mapped = self.tree.with(|tables| {
            let mut mapped = 0;
            for phyr in list {
                let virt = range.start().checked_add(mapped);
                let virt = virt.expect("the list is as long as the range");
                // SAFETY: by the contract of `Backing`, and the owner stays until it is unmapped.
                if let Err(error) = unsafe { tables.map(virt, phyr, rights, cache) } {
                    if let Some(done) = range.prefix(mapped) {
                        // SAFETY: nobody has been told of the range yet.
                        let undone = unsafe { tables.discard(done) };
                        undone.expect("it was mapped just now");
                    }
                    return Err(error);
                }
                mapped += phyr.len();
            }
            Ok(())
        });
        mapped.map_err(SpaceError::Tables)?;
        Ok(range)
    }

    /// Where a list goes that may go anywhere: to where large leaves fit.
    fn place(&self, bounds: VirtRange, list: &PhyrList) -> Option<VirtRange> {
        let len = list.bytes();
        let align = [1 << 30, 1 << 21]
            .into_iter()
            .find(|size| len >= *size)
            .unwrap_or(PAGE);
        let offset = list.first()?.addr().get() % align;
        self.areas.place(bounds, len, align, offset)
    }

    /// Whether all of `range` is mapped, in whole pages.
    pub(super) fn check(&self, range: VirtRange) -> Result<(), SpaceError> {
        if !range.is_aligned(PAGE) {
            return Err(SpaceError::NotPages);
        }
        match self.areas.first_hole(range) {
            Some(hole) => Err(SpaceError::NotMapped(hole)),
            None => Ok(()),
        }
    }

    // ANCHOR: unmap
    pub(super) fn unmap(
        &mut self,
        range: VirtRange,
        gone: &mut Vec<Owner>,
    ) -> Result<(), SpaceError> {
        self.check(range)?;
        if let Some(pinned) = self.pins.first_in(range) {
            return Err(SpaceError::Pinned(pinned.range));
        }
        self.forget(range, gone)
    }
    // ANCHOR_END: unmap

    /// Unmaps what may be unmapped.
    fn forget(&mut self, range: VirtRange, gone: &mut Vec<Owner>) -> Result<(), SpaceError> {
        self.areas.reserve().map_err(|_| SpaceError::OutOfMemory)?;
        let owners = self.areas.in_range(range).count();
        gone.try_reserve(owners)
            .map_err(|_| SpaceError::OutOfMemory)?;
        // SAFETY: it is not pinned, and who uses a virtual address of a program without a pin is the
        // program. (In the kernel's, who used it was told that it is mapped, not that it stays.)
        let unmapped = self.tree.with(|tables| unsafe { tables.discard(range) });
        unmapped.map_err(SpaceError::Tables)?;
        self.areas.remove(range, |owner| gone.push(owner));
        Ok(())
    }

    pub(super) fn protect(&mut self, range: VirtRange, rights: Rights) -> Result<(), SpaceError> {
        self.check(range)?;
        if rights != Rights::ReadWrite
            && let Some(written) = self.pins.first_written_in(range)
        {
            return Err(SpaceError::Pinned(written.range));
        }
        self.areas.reserve().map_err(|_| SpaceError::OutOfMemory)?;
        self.protect_tables(range, rights)?;
        self.areas.set_rights(range, rights);
        Ok(())
    }

    /// Lets the page tables say these rights, as far as what is shared has them.
    fn protect_tables(&mut self, range: VirtRange, rights: Rights) -> Result<(), SpaceError> {
        let Self { tree, areas, .. } = self;
        let part = |area: &Area<Owner>| range.intersect(area.range).unwrap_or(range);
        let mut change = |range, rights| {
            // SAFETY: as in `forget`; what the owner has may be used in any way, and what is shared is not
            // written.
            tree.with(|tables| unsafe { tables.protect(range, rights) })
        };
        let said = |area: &Area<Owner>, rights| match area.shared {
            true => unwritten(rights),
            false => rights,
        };
        if rights == unwritten(rights) || !areas.in_range(range).any(|area| area.shared) {
            return change(range, rights).map_err(SpaceError::Tables);
        }
        for (done, area) in areas.in_range(range).enumerate() {
            if let Err(error) = change(part(area), said(area, rights)) {
                for area in areas.in_range(range).take(done) {
                    let undone = change(part(area), said(area, area.rights));
                    undone.expect("its leaves end where it ends");
                }
                return Err(SpaceError::Tables(error));
            }
        }
        Ok(())
    }

    // ANCHOR: pin
    pub(super) fn pin(
        &mut self,
        range: VirtRange,
        access: Access,
        entries: usize,
        gone: &mut Vec<Owner>,
    ) -> Result<(PhyrList, VirtRange), PinError> {
        let mut phyrs = self.translate(range, entries)?;
        let mut front = range.prefix(phyrs.bytes()).unwrap_or(range);
        if access == Access::Write {
            let may = |area: &&Area<Owner>| area.rights == Rights::ReadWrite;
            if let Some(area) = self.areas.in_range(front).find(|area| !may(area)) {
                return Err(PinError::ReadOnly(area.range));
            }
            if self.areas.in_range(front).any(|area| area.shared) {
                // The memory that the device is told of is the copy.
                self.break_sharing(pages_of(front), gone)?;
                phyrs = self.translate(front, entries)?;
                front = front.prefix(phyrs.bytes()).unwrap_or(front);
            }
        }
        let added = self.pins.add(front, access);
        added.map_err(|NoRoom| PinError::OutOfMemory)?;
        Ok((phyrs, front))
    }
    // ANCHOR_END: pin

    /// What lies behind the front of `range`, in at most so many entries. Memory of two providers stays apart, even
    /// where it touches.
    fn translate(&mut self, range: VirtRange, entries: usize) -> Result<PhyrList, PinError> {
        let mut list = PhyrList::new();
        let mut rest = Some(range);
        while let Some(here) = rest
            && list.len() < entries
        {
            let run = self.run(here)?;
            let room = entries - list.len();
            let found = self.tree.with(|tables| tables.translate_up_to(run, room));
            let (phyrs, bytes) = found.map_err(|error| match error {
                MapError::NotMapped(virt) => PinError::NotMapped(virt),
                MapError::List(error) => PinError::List(error),
                _ => PinError::OutOfMemory,
            })?;
            if list.is_empty() {
                list = phyrs;
            } else {
                let pushed = phyrs.iter().try_for_each(|phyr| list.push_apart(phyr));
                pushed.map_err(PinError::List)?;
            }
            if bytes < run.len() {
                break;
            }
            rest = here.without_prefix(bytes);
        }
        Ok(list)
    }

    /// The front of `range` that is mapped and memory of one provider.
    fn run(&self, range: VirtRange) -> Result<VirtRange, PinError> {
        let mut areas = self.areas.in_range(range);
        let first = areas.next();
        let first = first.filter(|area| area.range.start() <= range.start());
        let first = first.ok_or(PinError::NotMapped(range.start()))?;
        let mut last = first.range.last();
        for area in areas {
            let touches = area.range.start().offset_from(last) == Some(1);
            if !touches || !is_one_provider(&first.owner, &area.owner) {
                break;
            }
            last = area.range.last();
        }
        let len = last.offset_from(range.start()).map(|len| len + 1);
        Ok(len.and_then(|len| range.prefix(len)).unwrap_or(range))
    }

    /// Whether what is mapped before this address, and from it on, is memory of one provider.
    pub(super) fn is_one_provider_at(&self, addr: VirtAddr) -> bool {
        let before = addr.get().checked_sub(1).map(VirtAddr::new);
        let Some(Ok(before)) = before else {
            return false;
        };
        let area = |addr| VirtRange::new(addr, 1).ok();
        let area = |addr| self.areas.in_range(area(addr)?).next();
        match (area(before), area(addr)) {
            (Some(before), Some(behind)) => is_one_provider(&before.owner, &behind.owner),
            _ => false,
        }
    }

    /// Ends a pin. What waits for it is unmapped.
    pub(super) fn unpin(&mut self, range: VirtRange, access: Access, gone: &mut Vec<Owner>) {
        self.pins.remove(range, access);
        if self.ended {
            self.sweep(gone);
        }
    }

    pub(super) fn divide_pin(&mut self) -> Result<(), NoRoom> {
        self.pins.divide()
    }

    pub(super) fn unite_pins(&mut self) {
        self.pins.unite();
    }

    /// The address space is at its end.
    pub(super) fn end(&mut self, gone: &mut Vec<Owner>) {
        self.ended = true;
        self.sweep(gone);
    }

    /// Unmaps all that has no pin: at the end, and then again whenever a pin ends.
    fn sweep(&mut self, gone: &mut Vec<Owner>) {
        let mut next = self.areas.iter().next().map(|area| area.range);
        while let Some(range) = next {
            if self.pins.first_in(range).is_none() {
                // Without memory it stays until the last pin ends, and then it is dropped whole.
                let _ = self.forget(range, gone);
            }
            let behind = self
                .areas
                .iter()
                .find(|area| area.range.start() > range.last());
            next = behind.map(|area| area.range);
        }
    }
}

/// The pages that `range` is in. All of it is mapped, so they exist.
fn pages_of(range: VirtRange) -> VirtRange {
    let before = range.start().get() % PAGE;
    let len = (before + range.len()).next_multiple_of(PAGE);
    let start = VirtAddr::new(range.start().get() - before);
    let pages = start.and_then(|start| VirtRange::new(start, len));
    pages.unwrap_or(range)
}

/// Whether two owners have memory of one provider. All RAM is.
fn is_one_provider(one: &Owner, other: &Owner) -> bool {
    match (one.provider(), other.provider()) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Nothing is pinned, or somebody would still hold the address space.
        let Self { tree, areas, .. } = self;
        for area in areas.iter() {
            // SAFETY: nobody can name the address space any more, and no core runs in it.
            let unmapped = tree.with(|tables| unsafe { tables.discard(area.range) });
            unmapped.expect("an area is mapped, and ends where its leaves end");
        }
    }
}
