//! The page tables of one device (Intel VT-d specification, section 3.7 and table 9.8 ff., "second stage").
//!
//! They are like those of the CPU: tables of 512 entries, leaves of 4 KiB, 2 MiB and 1 GiB. An entry
//! without rights means nothing.
//!
//! A table stays until all of them go. It could be freed when its last entry is, but then every unmapping would
//! have to look; and since bus addresses are used again before new ones are, there are few.

use super::PAGE;
use super::hardware::Capabilities;
use crate::dma::{Access, DmaError};
use crate::iommu::translation::Translation;
use crate::memory::frames::{Frames, window};
use crate::memory::window::Window;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaRange, Phyr, PhysAddr};

/// Entries of a table.
const ENTRIES: u64 = 512;

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
/// Above the lowest tables: this is a leaf.
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Why a page was not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMemory;

/// The tables, from the root on.
#[derive(Debug)]
pub(super) struct Tables {
    root: Frames,
    others: Vec<Frames>,
    capabilities: Capabilities,
    /// Levels of tables: 3 or 4.
    levels: u32,
}

/// The bytes that an entry of a table stands for, `height` levels above the lowest.
const fn span(height: u32) -> u64 {
    PAGE << (9 * height)
}

impl Tables {
    pub(super) fn new(capabilities: Capabilities) -> Result<Self, NoMemory> {
        let root = Frames::zeroed(PAGE).map_err(|_| NoMemory)?;
        capabilities.write_back(&root);
        Ok(Self {
            root,
            others: Vec::new(),
            capabilities,
            levels: capabilities.levels(),
        })
    }

    pub(super) fn root(&self) -> Phyr {
        self.root.phyr()
    }

    /// The entry for `addr` in a table whose entries are `height` above the lowest.
    fn entry(&self, table: PhysAddr, addr: u64, height: u32) -> &AtomicU64 {
        let index = addr / span(height) % ENTRIES;
        let place = window()
            .pointer(table)
            .as_ptr()
            .wrapping_add(index as usize * 8);
        // SAFETY: `table` is one of ours: a page of frames that live as long as `self`, in the direct map.
        // Both the IOMMU and the CPU only make whole accesses.
        unsafe { &*place.cast::<AtomicU64>() }
    }

    fn set(&self, entry: &AtomicU64, value: u64) {
        entry.store(value, Ordering::Release);
        self.capabilities.write_back_entry(entry);
    }

    /// Lets the device see a phyr at a range of the same length, both whole pages, in leaves as large as can be.
    ///
    /// What is there already is not looked at: bus addresses are given to one mapping at a time.
    ///
    /// # Errors
    /// If there is no memory for a table. Some pages may be mapped then; [`clear`](Translation::clear) undoes that.
    pub(super) fn map_pages(
        &mut self,
        bus: DmaRange,
        memory: Phyr,
        access: Access,
    ) -> Result<(), NoMemory> {
        let rights = match access {
            Access::Read => READ,
            Access::Write => WRITE,
            Access::Both => READ | WRITE,
        };
        let mut done = 0;
        while done < memory.len() {
            let (at, phys) = (bus.addr().get() + done, memory.addr().get() + done);
            let largest = (0..=self.capabilities.largest_leaf())
                .rev()
                .find(|height| {
                    (at | phys) & (span(*height) - 1) == 0 && memory.len() - done >= span(*height)
                })
                .unwrap_or(0);
            done += self.map_leaf(at, phys | rights, largest)?;
        }
        Ok(())
    }

    /// Makes one leaf, no larger than `largest` says, and returns how many bytes it has. Where a table hangs
    /// already, the leaf is made in that.
    fn map_leaf(&mut self, at: u64, leaf: u64, largest: u32) -> Result<u64, NoMemory> {
        let mut table = self.root.phyr().addr();
        let mut height = self.levels - 1;
        loop {
            let entry = self.entry(table, at, height);
            let content = entry.load(Ordering::Relaxed);
            let is_table = height > 0 && content & (READ | WRITE) != 0 && content & LARGE == 0;
            if height <= largest && !is_table {
                let large = if height > 0 { LARGE } else { 0 };
                self.set(entry, leaf | large);
                return Ok(span(height));
            }
            table = match is_table {
                true => PhysAddr::new(content & ADDRESS),
                false => self.hang_table(table, at, height)?,
            };
            height -= 1;
        }
    }

    /// A new table below an entry that has none.
    fn hang_table(&mut self, table: PhysAddr, at: u64, height: u32) -> Result<PhysAddr, NoMemory> {
        self.others.try_reserve(1).map_err(|_| NoMemory)?;
        let frames = Frames::zeroed(PAGE).map_err(|_| NoMemory)?;
        self.capabilities.write_back(&frames);
        let below = frames.phyr().addr();
        self.others.push(frames);
        let entry = self.entry(table, at, height);
        self.set(entry, below.get() | READ | WRITE);
        Ok(below)
    }

    /// Where the device sees memory, by a walk, and in a leaf of how many bytes.
    #[cfg(test)]
    pub(super) fn look(&self, at: u64) -> Option<(u64, u64, u64)> {
        let mut table = self.root.phyr().addr();
        for height in (0..self.levels).rev() {
            let content = self.entry(table, at, height).load(Ordering::Relaxed);
            let rights = content & (READ | WRITE);
            if rights == 0 {
                return None;
            }
            if height == 0 || content & LARGE != 0 {
                let offset = at & (span(height) - 1);
                return Some(((content & ADDRESS) + offset, rights, span(height)));
            }
            table = PhysAddr::new(content & ADDRESS);
        }
        None
    }

    /// How many tables there are besides the root.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.others.len()
    }
}

impl Translation for Tables {
    fn map(&mut self, bus: DmaRange, memory: Phyr, access: Access) -> Result<(), DmaError> {
        let mapped = self.map_pages(bus, memory, access);
        mapped.map_err(|NoMemory| DmaError::OutOfMemory)
    }

    /// What is in the tables is read from there.
    fn commit(&mut self) -> Result<(), DmaError> {
        Ok(())
    }

    /// Takes every leaf in a range away. What the IOMMU remembers is another matter.
    fn clear(&mut self, bus: DmaRange) {
        let (mut at, last) = (bus.addr().get(), bus.last().get());
        while at <= last {
            let mut table = self.root.phyr().addr();
            let mut height = self.levels - 1;
            let entry = loop {
                let entry = self.entry(table, at, height);
                let content = entry.load(Ordering::Relaxed);
                let is_table = content & (READ | WRITE) != 0 && content & LARGE == 0;
                if height == 0 || !is_table {
                    break (content != 0).then_some(entry);
                }
                table = PhysAddr::new(content & ADDRESS);
                height -= 1;
            };
            if let Some(entry) = entry {
                self.set(entry, 0);
            }
            // Also past what has never been mapped, all of it at once.
            match (at & !(span(height) - 1)).checked_add(span(height)) {
                Some(next) => at = next,
                None => break,
            }
        }
    }
}
