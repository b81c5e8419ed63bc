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
    // ANCHOR: new
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
    // ANCHOR_END: new

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
#[path = "memory_map_tests.rs"]
mod tests;
