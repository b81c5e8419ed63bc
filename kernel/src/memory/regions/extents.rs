//! Which parts of a provider's memory are free: a disjoint set.

use alloc::collections::BTreeMap;
use phyr::{Phyr, PhysAddr};

/// Free memory. Neighbours never touch.
#[derive(Debug)]
pub(super) struct Extents {
    by_start: BTreeMap<PhysAddr, Phyr>,
}

impl Extents {
    pub(super) fn new(all: Phyr) -> Self {
        Self {
            by_start: BTreeMap::from([(all.addr(), all)]),
        }
    }

    /// Takes a range out. Returns whether all of it was free; if not, nothing has changed.
    pub(super) fn take(&mut self, range: Phyr) -> bool {
        let below = self.by_start.range(..=range.addr()).next_back();
        let Some((&start, &around)) = below.filter(|(_, free)| free.contains(range)) else {
            return false;
        };
        self.by_start.remove(&start);
        let before = range.addr().offset_from(around.addr()).unwrap_or(0);
        let rest = [
            around.sub(0, before),
            around.sub(before + range.len(), around.len() - before - range.len()),
        ];
        for rest in rest.into_iter().flatten() {
            self.by_start.insert(rest.addr(), rest);
        }
        true
    }

    /// The first free range of this length at a multiple of `align`, a power of two.
    pub(super) fn find(&self, len: u64, align: u64) -> Option<Phyr> {
        self.iter().find_map(|free| {
            let start = free.addr().align_up(align)?;
            let range = Phyr::new(start, len).ok()?;
            free.contains(range).then_some(range)
        })
    }

    /// Puts back what was taken out.
    pub(super) fn put(&mut self, mut range: Phyr) {
        let below = self.by_start.range(..range.addr()).next_back();
        if let Some((&start, &before)) = below
            && let Ok(joined) = before.try_merge(range)
        {
            self.by_start.remove(&start);
            range = joined;
        }
        let behind = range.last().checked_add(1);
        if let Some(behind) = behind.and_then(|start| self.by_start.remove(&start))
            && let Ok(joined) = range.try_merge(behind)
        {
            range = joined;
        }
        self.by_start.insert(range.addr(), range);
    }

    /// In the order of their addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = Phyr> + '_ {
        self.by_start.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phyr(start: u64, len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(start), len).unwrap()
    }

    #[test]
    fn what_is_taken_is_not_free_and_joins_when_it_is_put_back() {
        let all = phyr(0x1000, 100);
        let mut free = Extents::new(all);
        assert!(free.take(phyr(0x1000 + 10, 20)));
        assert!(!free.take(phyr(0x1000 + 29, 2)), "its first byte is taken");
        assert!(!free.take(phyr(0x1000 + 9, 2)), "its last byte is taken");
        assert!(!free.take(phyr(0xfff, 2)) && !free.take(phyr(0x1000 + 99, 2)));
        assert!(free.take(phyr(0x1000 + 30, 70)));
        assert!(free.iter().eq([phyr(0x1000, 10)]));
        free.put(phyr(0x1000 + 50, 50));
        free.put(phyr(0x1000 + 10, 20));
        assert!(free.iter().eq([phyr(0x1000, 30), phyr(0x1000 + 50, 50)]));
        free.put(phyr(0x1000 + 30, 20));
        assert!(free.iter().eq([all]));
    }

    #[test]
    fn the_first_place_that_is_large_and_aligned_enough_is_found() {
        let mut free = Extents::new(phyr(0x1010, 0x5000));
        assert_eq!(free.find(0x1000, 0x1000), Some(phyr(0x2000, 0x1000)));
        assert_eq!(free.find(0x4011, 0x1000), None);
        assert!(free.take(phyr(0x2fff, 1)));
        assert_eq!(free.find(0x1000, 0x1000), Some(phyr(0x3000, 0x1000)));
        assert_eq!(free.find(0, 1), None);
        assert_eq!(free.find(u64::MAX, 1), None);
    }

    /// Against an array of bytes, in many orders.
    #[test]
    fn it_is_a_set_of_bytes() {
        let mut free = Extents::new(phyr(0x4000, 16));
        let mut model = [true; 16];
        let mut number = 1_u32;
        for _ in 0..20_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (start, len) = ((number >> 8) % 16, 1 + (number >> 16) % 6);
            let bytes = start as usize..(start + len).min(16) as usize;
            let range = phyr(0x4000 + u64::from(start), bytes.len() as u64);
            if model[bytes.clone()].iter().all(|free| *free) {
                assert!(free.take(range));
                model[bytes].fill(false);
            } else {
                assert!(!free.take(range));
                if model[bytes.clone()].iter().all(|free| !*free) {
                    free.put(range);
                    model[bytes].fill(true);
                }
            }
            let total: u64 = free.iter().map(|free| free.len()).sum();
            assert_eq!(total as usize, model.iter().filter(|free| **free).count());
        }
    }
}
