//! Who wants to be woken when.
//!
//! A task that waits for a time says so each time it is polled, and never says that it no longer
//! waits. So there is one entry for each waker, with the earliest of its times: a task that is
//! woken too early asks again. The queue is then as long as there are tasks that wait, however often
//! they are polled; and an entry goes when its time comes or its task ends.
//!
//! Entries are a binary heap, earliest first. Beside it lies an index of where each waker's entry
//! is, so that no operation looks at all of them.

use super::index::Index;
use alloc::vec::Vec;
use core::task::Waker;

/// What tells wakers apart, without holding one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    data: usize,
    table: usize,
}

impl Key {
    /// The key of a waker. All clones have the same.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            table: core::ptr::from_ref(waker.vtable()).addr(),
        }
    }

    /// A number for the index. Wakers of one kind lie at addresses of some alignment.
    pub(super) fn hash(self) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.data as u64 ^ (self.table as u64).rotate_left(32)).wrapping_mul(GOLDEN);
        (mixed >> 32) as usize
    }
}

#[derive(Debug)]
struct Entry {
    at: u64,
    key: Key,
    waker: Waker,
}

/// Wakers by time.
///
/// The invariants: no entry is earlier than its parent, at half its position; the index has the
/// position of each entry and no other; no two entries have the same key.
#[derive(Debug)]
pub(crate) struct Queue {
    heap: Vec<Entry>,
    index: Index,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            heap: Vec::new(),
            index: Index::new(),
        }
    }

    /// The earliest time, or [`u64::MAX`].
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.heap.first().map_or(u64::MAX, |entry| entry.at)
    }

    /// Wakes at this time at the latest. The last moment of all never comes.
    pub(crate) fn add(&mut self, at: u64, waker: &Waker) {
        let key = Key::of(waker);
        if at == u64::MAX {
            return;
        }
        let heap = &self.heap;
        let position = match self.index.find(key, |position| heap[position].key) {
            Some(position) if self.heap[position].at <= at => return,
            Some(position) => {
                self.heap[position].at = at;
                position
            }
            None => {
                let waker = waker.clone();
                self.heap.push(Entry { at, key, waker });
                let last = self.heap.len() - 1;
                let heap = &self.heap;
                self.index
                    .insert(last, heap.len(), |position| heap[position].key);
                last
            }
        };
        self.rise(position);
    }

    /// Takes a waker whose time has come. The caller wakes it when it no longer holds the queue.
    pub(crate) fn expired(&mut self, now: u64) -> Option<Waker> {
        (self.next() <= now).then(|| self.remove(0))
    }

    /// Forgets a waker. The caller drops it when it no longer holds the queue.
    pub(crate) fn forget(&mut self, key: Key) -> Option<Waker> {
        let heap = &self.heap;
        let position = self.index.find(key, |position| heap[position].key)?;
        Some(self.remove(position))
    }

    fn remove(&mut self, position: usize) -> Waker {
        let last = self.heap.len() - 1;
        self.swap(position, last);
        let heap = &self.heap;
        self.index
            .remove(heap[last].key, |position| heap[position].key);
        let removed = self.heap.swap_remove(last);
        if position < last {
            self.sink(position);
            self.rise(position);
        }
        removed.waker
    }

    fn swap(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        let heap = &self.heap;
        let key_at = |position: usize| heap[position].key;
        let slots = (
            self.index.slot(heap[one].key, key_at),
            self.index.slot(heap[other].key, key_at),
        );
        if let (Some(of_one), Some(of_other)) = slots {
            self.index.set(of_one, other);
            self.index.set(of_other, one);
        }
        self.heap.swap(one, other);
    }

    fn rise(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.heap[parent].at <= self.heap[position].at {
                return;
            }
            self.swap(position, parent);
            position = parent;
        }
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let children = [2 * position + 1, 2 * position + 2];
            let earliest = children
                .into_iter()
                .filter(|child| *child < self.heap.len())
                .min_by_key(|child| self.heap[*child].at);
            let Some(child) =
                earliest.filter(|child| self.heap[*child].at < self.heap[position].at)
            else {
                return;
            };
            self.swap(position, child);
            position = child;
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
