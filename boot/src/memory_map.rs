//! The firmware's memory map, made trustworthy, and memory taken out of it.
//!
//! Virtual machine monitors pass maps that are unsorted, that end in empty entries (qboot), or
//! whose entries overlap. A kernel wants regions that are sorted, page-aligned and disjoint.
//!
//! - RAM is rounded inwards to whole pages, everything else outwards.
//! - Where RAM and something else overlap, it is something else.
//! - Neighbours of one kind that touch are one region.
//! - Memory that the loader takes becomes [`Kind::Loader`], at the front of its region, so that
//!   the rest stays as contiguous as it was.

use crate::PAGE;
use bootloader_api::info::MemoryRegionKind;
use core::fmt;
use phyr::{Phyr, PhysAddr};

/// As many regions as the loader can keep. QEMU reports about ten.
pub const CAPACITY: usize = 256;

/// The loader's own page tables map this much at its own address; it takes memory only below.
const REACHABLE: u64 = 1 << 32;

/// The first MiB is left alone: firmware tables, and the start-up code of further CPUs, live there.
const LOWEST: u64 = 1 << 20;

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free RAM.
    Ram,
    /// RAM that holds what the loader made or was given: kernel, stack, tables, ramdisk.
    Loader,
    /// Not RAM, or not free: the firmware's type number (1 would be RAM).
    Reserved(u32),
}

/// One region of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it is.
    pub range: Phyr,
    /// What it is.
    pub kind: Kind,
}

/// Why the map cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// The monitor passed more regions than [`CAPACITY`].
    TooManyRegions,
    /// No region of RAM below 4 GiB has this many bytes.
    OutOfMemory {
        /// The bytes that were needed, in one piece.
        needed: u64,
        /// The bytes of the largest region that was left.
        largest: u64,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRegions => write!(f, "the memory map has more than {CAPACITY} regions"),
            Self::OutOfMemory { needed, largest } => write!(
                f,
                "not enough memory: {} KiB are needed in one piece, the largest piece of RAM below 4 GiB has {} KiB: give the machine more memory",
                needed.div_ceil(1024),
                largest / 1024
            ),
        }
    }
}

impl core::error::Error for MapError {}

/// The regions: sorted, page-aligned, disjoint.
pub struct MemoryMap {
    regions: [Option<Region>; CAPACITY],
    count: usize,
}

impl MemoryMap {
    /// Makes a map of `(range, type)` entries as firmware reports them, type 1 being RAM.
    pub fn new(entries: impl Iterator<Item = (Phyr, u32)> + Clone) -> Result<Self, MapError> {
        const RAM: u32 = 1;
        let mut map = Self {
            regions: [None; CAPACITY],
            count: 0,
        };
        for (range, number) in entries.clone().filter(|entry| entry.1 != RAM) {
            if let Some(range) = range.align_outer(PAGE) {
                map.insert_uncovered(range, Kind::Reserved(number))?;
            }
        }
        for (range, _) in entries.filter(|entry| entry.1 == RAM) {
            if let Some(range) = range.align_inner(PAGE) {
                map.insert_uncovered(range, Kind::Ram)?;
            }
        }
        Ok(map)
    }

    /// The regions in ascending order.
    pub fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        self.regions[..self.count].iter().flatten().copied()
    }

    /// Turns the free RAM within `range` (rounded outwards to pages) into [`Kind::Loader`].
    pub fn claim(&mut self, range: Phyr) -> Result<(), MapError> {
        let Some(range) = range.align_outer(PAGE) else {
            return Ok(());
        };
        let mut index = 0;
        while index < self.count {
            let region = self.at(index);
            index += 1;
            if region.kind != Kind::Ram {
                continue;
            }
            let Some(part) = region.range.intersect(range) else {
                continue;
            };
            let before = part.addr().offset_from(region.range.addr()).unwrap_or(0);
            self.remove(index - 1);
            if let Some(front) = region.range.sub(0, before) {
                self.insert(Region {
                    range: front,
                    kind: Kind::Ram,
                })?;
            }
            let behind = before + part.len();
            if let Some(rest) = region
                .range
                .len()
                .checked_sub(behind)
                .and_then(|len| region.range.sub(behind, len))
            {
                self.insert(Region {
                    range: rest,
                    kind: Kind::Ram,
                })?;
            }
            self.insert(Region {
                range: part,
                kind: Kind::Loader,
            })?;
            // Positions have changed; what is claimed already is no longer RAM.
            index = 0;
        }
        Ok(())
    }

    /// Takes `bytes`, rounded up to pages, in one piece, below 4 GiB and not in the first MiB.
    pub fn allocate(&mut self, bytes: u64) -> Result<Phyr, MapError> {
        let needed = bytes
            .max(1)
            .checked_next_multiple_of(PAGE)
            .unwrap_or(u64::MAX);
        let free = || {
            self.regions()
                .filter(|region| region.kind == Kind::Ram)
                .filter_map(|region| allocatable(region.range))
        };
        let Some(range) = free().find_map(|piece| piece.sub(0, needed)) else {
            let largest = free().map(|piece| piece.len()).max().unwrap_or(0);
            return Err(MapError::OutOfMemory { needed, largest });
        };
        self.claim(range)?;
        Ok(range)
    }

    /// Inserts the parts of `range` that no region covers yet.
    fn insert_uncovered(&mut self, range: Phyr, kind: Kind) -> Result<(), MapError> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let covered = self
                .regions()
                .find_map(|region| region.range.intersect(range));
            let Some(covered) = covered else {
                return self.insert(Region { range, kind });
            };
            let before = covered.addr().offset_from(range.addr()).unwrap_or(0);
            if let Some(front) = range.sub(0, before) {
                self.insert(Region { range: front, kind })?;
            }
            let behind = before + covered.len();
            rest = range
                .len()
                .checked_sub(behind)
                .and_then(|len| range.sub(behind, len));
        }
        Ok(())
    }

    /// Inserts a region that overlaps none, joined with its neighbours of the same kind.
    fn insert(&mut self, mut region: Region) -> Result<(), MapError> {
        let mut place = self
            .regions()
            .take_while(|other| other.range.addr() < region.range.addr())
            .count();
        if place > 0
            && self.at(place - 1).kind == region.kind
            && let Ok(joined) = self.at(place - 1).range.try_merge(region.range)
        {
            region.range = joined;
            self.remove(place - 1);
            place -= 1;
        }
        if place < self.count
            && self.at(place).kind == region.kind
            && let Ok(joined) = region.range.try_merge(self.at(place).range)
        {
            region.range = joined;
            self.remove(place);
        }
        if self.count == CAPACITY {
            return Err(MapError::TooManyRegions);
        }
        self.regions.copy_within(place..self.count, place + 1);
        self.regions[place] = Some(region);
        self.count += 1;
        Ok(())
    }

    fn remove(&mut self, index: usize) {
        self.regions.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.regions[self.count] = None;
    }

    fn at(&self, index: usize) -> Region {
        self.regions[index].expect("every place below `count` is filled")
    }
}

/// The part of a region that the loader may take.
fn allocatable(range: Phyr) -> Option<Phyr> {
    let window = Phyr::new(PhysAddr::new(LOWEST), REACHABLE - LOWEST).ok()?;
    range.intersect(window)
}

impl Kind {
    /// How the kernel is told.
    pub fn for_kernel(self) -> MemoryRegionKind {
        match self {
            Self::Ram => MemoryRegionKind::Usable,
            Self::Loader => MemoryRegionKind::Bootloader,
            Self::Reserved(number) => MemoryRegionKind::UnknownBios(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn phyr(addr: u64, len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(addr), len).unwrap()
    }

    fn map(entries: &[(u64, u64, u32)]) -> MemoryMap {
        MemoryMap::new(
            entries
                .iter()
                .map(|&(addr, len, number)| (phyr(addr, len), number)),
        )
        .unwrap()
    }

    fn listed(map: &MemoryMap) -> Vec<(u64, u64, Kind)> {
        map.regions()
            .map(|r| (r.range.addr().get(), r.range.last().get(), r.kind))
            .collect()
    }

    #[test]
    fn unsorted_entries_are_sorted_and_neighbours_joined() {
        let map = map(&[
            (0x20_0000, 0x10_0000, 1),
            (0x8000, 0x1000, 2),
            (0x10_0000, 0x10_0000, 1),
        ]);
        assert_eq!(
            listed(&map),
            [
                (0x8000, 0x8fff, Kind::Reserved(2)),
                (0x10_0000, 0x2f_ffff, Kind::Ram)
            ]
        );
    }

    #[test]
    fn ram_shrinks_to_pages_and_the_rest_grows() {
        let map = map(&[(0x100, 0x9fb00, 1), (0x9fc00, 0x400, 2)]);
        assert_eq!(
            listed(&map),
            [
                (0x1000, 0x9efff, Kind::Ram),
                (0x9f000, 0x9ffff, Kind::Reserved(2))
            ]
        );
    }

    #[test]
    fn a_reservation_inside_ram_wins_whatever_the_order() {
        for entries in [
            [(0, 0x10000, 1), (0x4000, 0x2000, 4)],
            [(0x4000, 0x2000, 4), (0, 0x10000, 1)],
        ] {
            assert_eq!(
                listed(&map(&entries)),
                [
                    (0, 0x3fff, Kind::Ram),
                    (0x4000, 0x5fff, Kind::Reserved(4)),
                    (0x6000, 0xffff, Kind::Ram)
                ]
            );
        }
    }

    #[test]
    fn doubly_reported_ram_counts_once() {
        let map = map(&[(0x10_0000, 0x10_0000, 1), (0x18_0000, 0x10_0000, 1)]);
        assert_eq!(listed(&map), [(0x10_0000, 0x27_ffff, Kind::Ram)]);
    }

    #[test]
    fn allocations_come_from_the_front_in_one_piece_and_join() {
        let mut map = map(&[(0, 0xa_0000, 1), (0x10_0000, 0x10_0000, 1)]);
        assert_eq!(map.allocate(5000), Ok(phyr(0x10_0000, 0x2000)));
        assert_eq!(map.allocate(1), Ok(phyr(0x10_2000, 0x1000)));
        assert_eq!(
            listed(&map),
            [
                (0, 0x9_ffff, Kind::Ram),
                (0x10_0000, 0x10_2fff, Kind::Loader),
                (0x10_3000, 0x1f_ffff, Kind::Ram)
            ]
        );
    }

    #[test]
    fn claims_split_ram_and_leave_reservations() {
        let mut map = map(&[(0x10_0000, 0x10_0000, 1), (0x20_0000, 0x1000, 2)]);
        map.claim(phyr(0x1f_f800, 0x1000)).unwrap();
        map.claim(phyr(0x18_0010, 1)).unwrap();
        assert_eq!(
            listed(&map),
            [
                (0x10_0000, 0x17_ffff, Kind::Ram),
                (0x18_0000, 0x18_0fff, Kind::Loader),
                (0x18_1000, 0x1f_efff, Kind::Ram),
                (0x1f_f000, 0x1f_ffff, Kind::Loader),
                (0x20_0000, 0x20_0fff, Kind::Reserved(2)),
            ]
        );
    }

    #[test]
    fn memory_is_taken_neither_low_nor_above_4_gib() {
        let mut map = map(&[(0, 0xa_0000, 1), (1 << 32, 1 << 30, 1)]);
        assert_eq!(
            map.allocate(1),
            Err(MapError::OutOfMemory {
                needed: 4096,
                largest: 0
            })
        );
    }

    #[test]
    fn too_little_memory_says_how_much_is_missing() {
        let mut map = map(&[(0x10_0000, 0x10_0000, 1)]);
        let error = map.allocate(0x20_0000).unwrap_err();
        assert_eq!(
            error,
            MapError::OutOfMemory {
                needed: 0x20_0000,
                largest: 0x10_0000
            }
        );
        assert!(std::format!("{error}").contains("2048 KiB are needed"));
        assert!(map.allocate(u64::MAX).is_err());
    }

    #[test]
    fn too_many_regions_are_an_error() {
        let entries = (0..300).map(|index| (phyr(index * 0x2000, 0x1000), 1));
        assert_eq!(
            MemoryMap::new(entries).err(),
            Some(MapError::TooManyRegions)
        );
    }

    #[test]
    fn the_top_of_the_address_space_is_no_trap() {
        let map = map(&[(u64::MAX - 0xfff, 0x1000, 2), (0x10_0000, 0x1000, 1)]);
        assert_eq!(map.regions().count(), 2);
    }
}
