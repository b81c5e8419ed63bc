//! A table in physical memory, seen through the window.
//!
//! The unsafe code of the page tables that touches memory is in this file. The argument for it:
//! a [`Table`] is made only from memory that someone vouches for ([`Table::vouch`]), or from an
//! entry of such a table; and only this module writes entries.

use core::sync::atomic::{AtomicU64, Ordering};

use phyr::{Phyr, PhysAddr};

use super::entry::Entry;
use super::level::ENTRIES;
use crate::memory::window::{PAGE, Window};

/// Where a table is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Table(PhysAddr);

impl Table {
    /// Vouches for the table at `addr`.
    ///
    /// # Safety
    ///
    /// `addr` is a multiple of 4096, the window covers the page, and it belongs to the page tables
    /// alone (and to the CPU, which reads entries and sets their accessed and dirty bits).
    /// If it is used as it is, each present entry in it refers to such a table, or is a leaf.
    pub(super) const unsafe fn vouch(addr: PhysAddr) -> Self {
        Self(addr)
    }

    /// The table that a present entry of another table refers to.
    pub(super) const fn of_entry(addr: PhysAddr) -> Self {
        Self(addr)
    }

    /// Where it is.
    pub(super) const fn addr(self) -> PhysAddr {
        self.0
    }

    /// The memory that it takes.
    pub(super) fn frame(self) -> Phyr {
        Phyr::new(self.0, PAGE).expect("a table lies in physical memory")
    }

    /// The entries. They are atomic because the CPU reads and writes them too.
    fn entries<W: Window>(self, window: &W) -> &[AtomicU64; ENTRIES] {
        let entries = window.pointer(self.0).cast::<[AtomicU64; ENTRIES]>();
        // SAFETY: whoever vouched for the table says that the window covers its page, so the
        // pointer is valid and aligned as long as the window is there; it is shared only with
        // those who access it atomically.
        unsafe { entries.as_ref() }
    }

    /// The entry number `index`, which is less than 512.
    pub(super) fn get<W: Window>(self, window: &W, index: usize) -> Entry {
        Entry::from_bits(self.entries(window)[index].load(Ordering::Relaxed))
    }

    /// Replaces the entry number `index`. What it refers to has been written before.
    pub(super) fn set<W: Window>(self, window: &W, index: usize, entry: Entry) {
        self.entries(window)[index].store(entry.bits(), Ordering::Release);
    }

    /// Fills the table.
    pub(super) fn fill<W: Window>(self, window: &W, entries: impl IntoIterator<Item = Entry>) {
        for (place, entry) in self.entries(window).iter().zip(entries) {
            place.store(entry.bits(), Ordering::Relaxed);
        }
    }

    /// Whether nothing is mapped below it.
    pub(super) fn is_empty<W: Window>(self, window: &W) -> bool {
        self.entries(window)
            .iter()
            .all(|entry| !Entry::from_bits(entry.load(Ordering::Relaxed)).is_present())
    }
}

/// Tables that are in no tree. The first entry of each refers to the next.
///
/// A CPU that still remembers the way to such a table must not take that for a mapping, so the
/// reference is not marked present.
pub(super) struct Chain(Option<Table>);

/// Marks a reference, so that a table at address 0 is not the end. A CPU ignores all bits of an
/// entry that is not present.
const NEXT: u64 = 1 << 1;

impl Chain {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn push<W: Window>(&mut self, window: &W, table: Table) {
        let next = self.0.map_or(0, |next| next.addr().get() | NEXT);
        table.set(window, 0, Entry::from_bits(next));
        self.0 = Some(table);
    }

    pub(super) fn pop<W: Window>(&mut self, window: &W) -> Option<Table> {
        let table = self.0?;
        let next = table.get(window, 0).bits();
        self.0 = (next & NEXT != 0).then(|| Table(PhysAddr::new(next & !NEXT)));
        Some(table)
    }
}
