//! The bus addresses of one device that are not in use.
//!
//! They are kept as free ranges in the order of their addresses; neighbours that touch are one. Whoever
//! allocates pays for the room that freeing will need, so that freeing never fails: it must not, because
//! there is nobody to tell.
//!
//! The highest place is taken first. Registers of devices are placed from the bottom up, and RAM is at the bottom,
//! so a bus address is hardly ever the physical address of something else; and low addresses are left for
//! devices that reach no others.

use alloc::vec::Vec;
use phyr::{DmaAddr, DmaRange};

/// The smallest unit: a page of the IOMMU.
pub(super) const PAGE: u64 = 4096;

/// Free addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    free: Vec<DmaRange>,
    /// Ranges that are in use.
    used: usize,
}

/// Which place is wanted: `addr ≡ phase` modulo `align`, so that large pages fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    /// Bytes, whole pages.
    pub(super) len: u64,
    /// A power of two.
    pub(super) align: u64,
    /// Less than `align`, whole pages.
    pub(super) phase: u64,
    /// The highest address.
    pub(super) last: DmaAddr,
}

impl Addresses {
    /// All of a space, but for what is taken. `None` if there is no memory for the list.
    pub(super) fn new(space: DmaRange, taken: &[DmaRange]) -> Option<Self> {
        let mut free = Vec::new();
        free.try_reserve(taken.len() + 2).ok()?;
        free.push(space);
        let mut addresses = Self { free, used: 0 };
        for range in taken {
            addresses.take(range.align_outer(PAGE)?);
        }
        Some(addresses)
    }

    /// Takes what is free of a range for good. There is room for one more entry.
    fn take(&mut self, range: DmaRange) {
        let mut index = 0;
        while let Some(free) = self.free.get(index).copied() {
            let Some(common) = free.intersect(range) else {
                index += 1;
                continue;
            };
            self.free.remove(index);
            for rest in without(free, common).into_iter().flatten() {
                self.free.insert(index, rest);
                index += 1;
            }
        }
    }

    /// Takes the highest place that serves. `None` if there is none, or no memory to note it.
    pub(super) fn allocate(&mut self, want: Want) -> Option<DmaRange> {
        // Each range in use parts two free ones at most.
        let room = (self.used + 3).saturating_sub(self.free.len());
        self.free.try_reserve(room).ok()?;
        let (index, place) = (0..self.free.len())
            .rev()
            .find_map(|index| Some((index, want.highest_in(self.free[index])?)))?;
        let free = self.free.remove(index);
        for rest in without(free, place).into_iter().flatten().rev() {
            self.free.insert(index, rest);
        }
        self.used += 1;
        Some(place)
    }

    /// Gives back what [`allocate`](Self::allocate) returned.
    pub(super) fn free(&mut self, range: DmaRange) {
        let index = self.free.partition_point(|free| free.addr() < range.addr());
        let mut joined = range;
        if let Some(Ok(both)) = self.free.get(index).map(|next| joined.try_merge(*next)) {
            joined = both;
            self.free.remove(index);
        }
        let before = index.checked_sub(1).map(|before| self.free[before]);
        if let Some(Ok(both)) = before.map(|before| before.try_merge(joined)) {
            self.free[index - 1] = both;
        } else {
            self.free.insert(index, joined);
        }
        self.used -= 1;
    }

    /// How many bytes are free.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.free.iter().map(|range| range.len()).sum()
    }
}

impl Want {
    fn highest_in(&self, free: DmaRange) -> Option<DmaRange> {
        let last = free.last().get().min(self.last.get());
        // The highest start from which `len` bytes end there, or before.
        let start = last.checked_sub(self.len - 1)?;
        let low = self.align - 1;
        let start = match (start & !low).checked_add(self.phase) {
            Some(place) if place <= start => place,
            _ => (start & !low)
                .checked_sub(self.align)?
                .checked_add(self.phase)?,
        };
        let place = DmaRange::new(DmaAddr::new(start), self.len).ok()?;
        free.contains(place).then_some(place)
    }
}

/// What is left of a range on both sides of a part of it.
fn without(range: DmaRange, part: DmaRange) -> [Option<DmaRange>; 2] {
    let before = part.addr().offset_from(range.addr());
    let behind = range.last().offset_from(part.last());
    [
        before.and_then(|len| range.sub(0, len)),
        behind.and_then(|len| range.sub(range.len() - len, len)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u64, len: u64) -> DmaRange {
        DmaRange::new(DmaAddr::new(first), len).unwrap()
    }

    const PAGES: usize = 64;

    fn space() -> Addresses {
        let taken = [
            range(0, 1),
            range(40 * PAGE, 2 * PAGE),
            range(41 * PAGE, 3 * PAGE),
        ];
        Addresses::new(range(0, PAGES as u64 * PAGE), &taken).unwrap()
    }

    #[test]
    fn the_highest_place_is_taken_and_what_is_reserved_is_not() {
        let mut space = space();
        assert_eq!(space.bytes(), (PAGES as u64 - 5) * PAGE);
        let want = |len, last| Want {
            len: len * PAGE,
            align: PAGE,
            phase: 0,
            last: DmaAddr::new(last * PAGE - 1),
        };
        assert_eq!(
            space.allocate(want(4, 64)),
            Some(range(60 * PAGE, 4 * PAGE))
        );
        assert_eq!(
            space.allocate(want(20, 64)),
            Some(range(20 * PAGE, 20 * PAGE))
        );
        assert_eq!(space.allocate(want(20, 64)), None);
        assert_eq!(space.allocate(want(1, 2)), Some(range(PAGE, PAGE)));
        assert_eq!(space.allocate(want(1, 1)), None, "page 0 is reserved");
    }

    proptest! {
        /// Against one byte for each page, and a search from the top.
        #[test]
        fn as_the_model_has_it(
            steps in prop::collection::vec((any::<bool>(), 1u64..9, 0u32..4, 0u64..8, 1u64..65), 1..120),
        ) {
            let mut space = space();
            let mut model = [false; PAGES];
            for page in [0, 40, 41, 42, 43] {
                model[page] = true;
            }
            let mut held: Vec<DmaRange> = Vec::new();
            for (free, pages, bits, phase, last) in steps {
                if free && !held.is_empty() {
                    let given = held.remove(phase as usize % held.len());
                    for page in given.pages(PAGE) {
                        model[(page.addr().get() / PAGE) as usize] = false;
                    }
                    space.free(given);
                } else {
                    let phase = phase % (1 << bits);
                    let expected = (0..last.saturating_sub(pages - 1)).rev().find(|start| {
                        start % (1 << bits) == phase
                            && (*start..start + pages).all(|page| !model[page as usize])
                    });
                    let found = space.allocate(Want {
                        len: pages * PAGE,
                        align: PAGE << bits,
                        phase: phase * PAGE,
                        last: DmaAddr::new(last * PAGE - 1),
                    });
                    prop_assert_eq!(found, expected.map(|start| range(start * PAGE, pages * PAGE)));
                    if let Some(found) = found {
                        for page in found.pages(PAGE) {
                            model[(page.addr().get() / PAGE) as usize] = true;
                        }
                        held.push(found);
                    }
                }
                let expected = model.iter().filter(|used| !**used).count() as u64 * PAGE;
                prop_assert_eq!(space.bytes(), expected);
                for pair in space.free.windows(2) {
                    prop_assert!(pair[0].last().get() + 1 < pair[1].addr().get());
                }
            }
        }
    }
}
