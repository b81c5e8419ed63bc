//! What is mapped where in an address space: ranges of pages, each with its rights and its owner.
//!
//! One mapping is one area, however many pages it has. Only when a part of it is unmapped, or gets
//! other rights, are there several; then they share the owner, and the memory is free when the last
//! of them is gone.

use crate::memory::paging::Rights;
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::PAGE;
use alloc::vec::Vec;

/// Pages that were mapped together, or what is left of them.
#[derive(Clone, Debug)]
pub(super) struct Area<O> {
    pub(super) range: VirtRange,
    /// What the program may do.
    pub(super) rights: Rights,
    /// Others may show the same memory: it is copied before it is written.
    pub(super) shared: bool,
    pub(super) owner: O,
}

/// There is no memory for another area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// Areas, in the order of their addresses. None overlap.
#[derive(Debug)]
pub(super) struct Areas<O> {
    list: Vec<Area<O>>,
}

impl<O: Clone> Areas<O> {
    pub(super) const fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Area<O>> {
        self.list.iter()
    }

    /// Makes room for two areas more. No change of one range takes more.
    pub(super) fn reserve(&mut self) -> Result<(), NoRoom> {
        self.reserve_for(2)
    }

    /// Makes room for so many areas more.
    pub(super) fn reserve_for(&mut self, count: usize) -> Result<(), NoRoom> {
        self.list.try_reserve(count).map_err(|_| NoRoom)
    }

    /// The areas that have bytes in `range`, in order.
    pub(super) fn in_range(&self, range: VirtRange) -> impl Iterator<Item = &Area<O>> {
        self.list[self.position(range.start())..]
            .iter()
            .take_while(move |area| area.range.start() <= range.last())
    }

    /// The first address in `range` that no area has.
    pub(super) fn first_hole(&self, range: VirtRange) -> Option<VirtAddr> {
        let mut rest = range;
        for area in self.in_range(range) {
            if area.range.start() > rest.start() {
                break;
            }
            let covered = area.range.last().get() - rest.start().get() + 1;
            rest = rest.without_prefix(covered)?;
        }
        Some(rest.start())
    }

    /// The first free place in `within` for `len` bytes whose start is `offset` above a multiple of
    /// `align`. A page on both sides stays free.
    pub(super) fn place(
        &self,
        within: VirtRange,
        len: u64,
        align: u64,
        offset: u64,
    ) -> Option<VirtRange> {
        let fit = |from: u64, last: u64| {
            let place = from
                .saturating_sub(offset)
                .checked_next_multiple_of(align)?
                .checked_add(offset)?;
            let range = VirtRange::new(VirtAddr::new(place).ok()?, len).ok()?;
            (range.last().get() <= last).then_some(range)
        };
        let mut from = within.start().get();
        for area in self.in_range(within) {
            let last = area.range.start().get().saturating_sub(PAGE + 1);
            if let Some(found) = fit(from, last) {
                return Some(found);
            }
            from = area.range.last().get().checked_add(PAGE + 1)?;
        }
        fit(from, within.last().get())
    }

    /// Adds an area where there is none. There is [room](Self::reserve).
    pub(super) fn insert(&mut self, area: Area<O>) {
        let at = self.position(area.range.start());
        self.list.insert(at, area);
    }

    /// Removes all of `range`, and lets `each` have the owners, once for each area that is gone or
    /// shorter now. There is [room](Self::reserve).
    pub(super) fn remove(&mut self, range: VirtRange, each: impl FnMut(O)) {
        let inside = self.cut(range);
        self.list
            .drain(inside)
            .map(|area| area.owner)
            .for_each(each);
    }

    /// Gives all areas in `range` these rights. There is [room](Self::reserve).
    pub(super) fn set_rights(&mut self, range: VirtRange, rights: Rights) {
        let inside = self.cut(range);
        for area in &mut self.list[inside] {
            area.rights = rights;
        }
    }

    /// Says of all areas in `range` whether they are shared. There is [room](Self::reserve).
    pub(super) fn set_shared(&mut self, range: VirtRange, shared: bool) {
        let inside = self.cut(range);
        for area in &mut self.list[inside] {
            area.shared = shared;
        }
    }

    /// The area that has `addr`.
    pub(super) fn at_mut(&mut self, addr: VirtAddr) -> Option<&mut Area<O>> {
        let at = self.position(addr);
        let area = self.list.get_mut(at)?;
        (area.range.start() <= addr).then_some(area)
    }

    fn position(&self, addr: VirtAddr) -> usize {
        self.list.partition_point(|area| area.range.last() < addr)
    }

    /// Cuts areas, so that each lies in `range` or outside of it. Returns which lie in it.
    fn cut(&mut self, range: VirtRange) -> core::ops::Range<usize> {
        let first = self.cut_before(range.start());
        let end = match range.start().checked_add(range.len()) {
            Some(end) => self.cut_before(end),
            None => self.list.len(),
        };
        first..end
    }

    /// Cuts the area around `addr`, and returns the number of the first one that begins there or
    /// behind it.
    fn cut_before(&mut self, addr: VirtAddr) -> usize {
        let at = self.position(addr);
        let Some(found) = self.list.get(at) else {
            return at;
        };
        let len = addr.offset_from(found.range.start()).unwrap_or(0);
        match (found.range.prefix(len), found.range.without_prefix(len)) {
            (Some(front), Some(back)) => {
                let front = Area {
                    range: front,
                    ..found.clone()
                };
                self.list[at].range = back;
                self.list.insert(at, front);
                at + 1
            }
            _ => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    /// How many pages the model has, and where they start.
    const PAGES: u64 = 24;
    const BASE: u64 = 0x1_0000;

    fn pages(start: u64, len: u64) -> VirtRange {
        VirtRange::new(VirtAddr::new(BASE + start * PAGE).unwrap(), len * PAGE).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Map(u64, u64),
        Place(u64),
        Unmap(u64, u64),
        Protect(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let range =
            || (0..PAGES, 1..8_u64).prop_map(|(start, len)| (start, len.min(PAGES - start)));
        prop_oneof![
            3 => range().prop_map(|(start, len)| Step::Map(start, len)),
            1 => (1..8_u64).prop_map(Step::Place),
            2 => range().prop_map(|(start, len)| Step::Unmap(start, len)),
            1 => range().prop_map(|(start, len)| Step::Protect(start, len)),
        ]
    }

    proptest! {
        #[test]
        fn areas_are_an_array_of_pages(steps in prop::collection::vec(step(), 1..60)) {
            let mut areas = Areas::new();
            let mut model: [Option<(usize, Rights)>; PAGES as usize] = [None; PAGES as usize];
            for (number, step) in steps.into_iter().enumerate() {
                areas.reserve().unwrap();
                let room = areas.list.capacity();
                let slots = |start: u64, len: u64| start as usize..(start + len) as usize;
                match step {
                    Step::Map(start, len) => {
                        let free = model[slots(start, len)].iter().all(Option::is_none);
                        prop_assert_eq!(areas.in_range(pages(start, len)).next().is_none(), free);
                        if free {
                            let (range, rights) = (pages(start, len), Rights::ReadWrite);
                            areas.insert(Area { range, rights, shared: false, owner: number });
                            model[slots(start, len)].fill(Some((number, rights)));
                        }
                    }
                    Step::Place(len) => {
                        let free = |page: u64| page >= PAGES || model[page as usize].is_none();
                        let fits = |at: &u64| {
                            let guarded = at.saturating_sub(1)..at + len + 1;
                            at + len <= PAGES && guarded.into_iter().all(free)
                        };
                        let expected = (0..PAGES).find(fits).map(|at| pages(at, len));
                        let within = pages(0, PAGES);
                        prop_assert_eq!(areas.place(within, len * PAGE, PAGE, 0), expected);
                    }
                    Step::Unmap(start, len) => {
                        let mut owners = vec![];
                        areas.remove(pages(start, len), |owner| owners.push(owner));
                        let mut gone: Vec<_> = model[slots(start, len)]
                            .iter()
                            .flatten()
                            .map(|page| page.0)
                            .collect();
                        model[slots(start, len)].fill(None);
                        gone.dedup();
                        owners.dedup();
                        prop_assert_eq!(owners, gone);
                    }
                    Step::Protect(start, len) => {
                        areas.set_rights(pages(start, len), Rights::ReadOnly);
                        for page in model[slots(start, len)].iter_mut().flatten() {
                            page.1 = Rights::ReadOnly;
                        }
                    }
                }
                prop_assert_eq!(areas.list.capacity(), room, "there was room");
                let mut found = [None; PAGES as usize];
                for area in areas.iter() {
                    let start = (area.range.start().get() - BASE) / PAGE;
                    for slot in &mut found[slots(start, area.range.len() / PAGE)] {
                        prop_assert!(slot.replace((area.owner, area.rights)).is_none());
                    }
                }
                prop_assert_eq!(found, model);
                for (start, len) in [(0, PAGES), (3, 5), (PAGES - 1, 1)] {
                    let hole = (start..start + len).find(|page| model[*page as usize].is_none());
                    let hole = hole.map(|page| pages(page, 1).start());
                    prop_assert_eq!(areas.first_hole(pages(start, len)), hole);
                }
            }
        }
    }

    #[test]
    fn a_place_is_congruent_to_a_physical_address() {
        let mut areas = Areas::new();
        let within = VirtRange::LOWER_HALF;
        let place = |areas: &Areas<()>, offset| {
            let found = areas.place(within, 1 << 30, 1 << 30, offset);
            found.unwrap().start().get()
        };
        assert_eq!(place(&areas, 0x20_0000), 0x20_0000);
        let (range, rights) = (pages(0, 4), Rights::ReadOnly);
        areas.reserve().unwrap();
        areas.insert(Area {
            range,
            rights,
            shared: false,
            owner: (),
        });
        assert_eq!(place(&areas, 0x20_0000), 0x20_0000);
        assert_eq!(place(&areas, 0x1_0000), 0x4001_0000);
        assert_eq!(areas.place(within, 1 << 47, PAGE, 0), None);
    }
}
