//! Where in a list the entry of a waker is: a hash table of positions.
//!
//! The table holds no keys. The list has them, and the caller says which one is at a position.

use super::queue::Key;
use alloc::vec::Vec;

/// A slot without a position.
const FREE: u32 = u32::MAX;

/// Positions by key, in slots of which at most half are taken.
///
/// A position is in the slot that its key's hash names, or in the first free one after it when it
/// was inserted; between the two there is no free slot.
#[derive(Debug)]
pub(super) struct Index {
    slots: Vec<u32>,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    fn home(&self, key: Key) -> usize {
        key.hash() & (self.slots.len() - 1)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// The slot with the position of this key.
    pub(super) fn slot(&self, key: Key, key_at: impl Fn(usize) -> Key) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(key);
        while self.slots[slot] != FREE {
            if key_at(self.slots[slot] as usize) == key {
                return Some(slot);
            }
            slot = self.after(slot);
        }
        None
    }

    /// The position of this key.
    pub(super) fn find(&self, key: Key, key_at: impl Fn(usize) -> Key) -> Option<usize> {
        self.slot(key, key_at).map(|slot| self.slots[slot] as usize)
    }

    /// Changes the position in a slot.
    pub(super) fn set(&mut self, slot: usize, position: usize) {
        self.slots[slot] = position as u32;
    }

    /// Adds a position whose key is not in the table. With it there are `count`.
    pub(super) fn insert(&mut self, position: usize, count: usize, key_at: impl Fn(usize) -> Key) {
        if count * 2 > self.slots.len() {
            self.grow(count, &key_at);
        }
        self.place(position, key_at(position));
    }

    fn place(&mut self, position: usize, key: Key) {
        let mut slot = self.home(key);
        while self.slots[slot] != FREE {
            slot = self.after(slot);
        }
        self.set(slot, position);
    }

    fn grow(&mut self, count: usize, key_at: impl Fn(usize) -> Key) {
        let mut larger = Vec::new();
        larger.resize((count * 4).next_power_of_two(), FREE);
        for position in core::mem::replace(&mut self.slots, larger) {
            if position != FREE {
                self.place(position as usize, key_at(position as usize));
            }
        }
    }

    /// Removes the position of this key, and closes the gap.
    pub(super) fn remove(&mut self, key: Key, key_at: impl Fn(usize) -> Key) {
        let Some(mut gap) = self.slot(key, &key_at) else {
            return;
        };
        let mut slot = self.after(gap);
        while self.slots[slot] != FREE {
            let home = self.home(key_at(self.slots[slot] as usize));
            // May go to the gap unless its home lies behind the gap, up to where it is.
            let mask = self.slots.len() - 1;
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(gap) & mask {
                self.slots[gap] = self.slots[slot];
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.slots[gap] = FREE;
    }
}
