//! The two rings of a queue pair (NVMe base specification 2.0, section 3.3.1).
//!
//! A submission ring is written by the driver: `push` entries, then `commit` once and ring
//! the doorbell with what it returns. A completion ring is written by the device: `peek`,
//! `pop`, and `commit` once for all that were popped. Both are plain arithmetic over
//! trusted, private indices; only entries are in shared memory.
//!
//! - An index is always below the number of entries. A ring of `n` entries holds `n - 1`.
//! - Entries between head and tail of the submission ring belong to the device.
//! - The phase of the completion ring turns with each wrap. An entry is new only if its
//!   phase tag has that value; memory is zeroed and the phase is 1 at the start.

use crate::atomics::{Ordering, fence};
use crate::error::Violation;
use crate::platform::SharedMemory;
use crate::wire::{CompletionEntry, SubmissionEntry};

/// Driver's side of a submission queue.
#[derive(Debug)]
pub(crate) struct SubmissionRing {
    /// Number of entries, at least 2.
    entries: u16,
    /// First entry that the device may not have fetched yet, as far as it told us.
    head: u16,
    /// Where the next entry goes.
    tail: u16,
    /// The tail that the device knows of.
    committed: u16,
}

impl SubmissionRing {
    /// An empty ring of `entries` entries.
    pub(crate) fn new(entries: u16) -> Self {
        debug_assert!(entries >= 2);
        Self {
            entries,
            head: 0,
            tail: 0,
            committed: 0,
        }
    }

    /// Bytes that the ring takes from the start of its memory.
    pub(crate) const fn bytes(entries: u16) -> usize {
        entries as usize * SubmissionEntry::BYTES
    }

    /// True if no entry can be pushed before the device fetches one.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        following(self.tail, self.entries) == self.head
    }

    /// Puts an entry behind the others. The caller has seen that there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, memory: &impl SharedMemory, entry: &SubmissionEntry) {
        debug_assert!(!self.is_full());
        let offset = usize::from(self.tail) * SubmissionEntry::BYTES;
        memory.store_line(offset, &entry.words());
        self.tail = following(self.tail, self.entries);
    }

    /// Whether the device was not told of all entries.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.tail != self.committed
    }

    /// The new tail for the doorbell, if anything was pushed since the last commit.
    ///
    /// The entries are visible to the device before a doorbell write that follows.
    #[inline]
    pub(crate) fn commit(&mut self) -> Option<u16> {
        if !self.has_news() {
            return None;
        }
        self.committed = self.tail;
        fence(Ordering::Release);
        Some(self.tail)
    }

    /// The tail that the device was told of.
    pub(crate) fn committed(&self) -> u16 {
        self.committed
    }

    /// Takes back the entries before `sq_head`, the SQ Head Pointer of a completion.
    ///
    /// The device can only have fetched what it was told of: `sq_head` must be somewhere
    /// from the last head to the committed tail.
    #[inline(always)]
    pub(crate) fn retire(&mut self, sq_head: u16) -> Result<(), Violation> {
        let fetched = distance(self.head, sq_head, self.entries);
        let fetchable = distance(self.head, self.committed, self.entries);
        if sq_head >= self.entries || fetched > fetchable {
            return Err(Violation::SubmissionHead { sq_head });
        }
        self.head = sq_head;
        Ok(())
    }
}

/// Driver's side of a completion queue.
#[derive(Debug)]
pub(crate) struct CompletionRing {
    /// Number of entries, at least 2.
    entries: u16,
    /// Where the next completion will be.
    head: u16,
    /// Phase tag of a new entry.
    phase: bool,
    /// The head that the device knows of.
    committed: u16,
}

impl CompletionRing {
    /// An empty ring of `entries` entries, over zeroed memory.
    pub(crate) fn new(entries: u16) -> Self {
        debug_assert!(entries >= 2);
        Self {
            entries,
            head: 0,
            phase: true,
            committed: 0,
        }
    }

    /// Bytes that the ring takes from the start of its memory.
    pub(crate) const fn bytes(entries: u16) -> usize {
        entries as usize * CompletionEntry::BYTES
    }

    /// The next completion, if the device has written it.
    ///
    /// The word with the phase tag is read first and only once. The rest of the entry is
    /// read only if that word is new. The tag has no meaning beyond that; it is cleared.
    // ANCHOR: peek
    #[inline(always)]
    pub(crate) fn peek(&self, memory: &impl SharedMemory, base: usize) -> Option<CompletionEntry> {
        let offset = base + usize::from(self.head) * CompletionEntry::BYTES;
        let upper = memory.load64(offset + 8);
        let mut entry = CompletionEntry::from_words([0, upper]);
        if entry.status.phase() != self.phase {
            return None;
        }
        fence(Ordering::Acquire);
        entry.result = memory.load64(offset);
        entry.status.set_phase(false);
        Some(entry)
    }
    // ANCHOR_END: peek

    /// Steps over the completion that [`peek`](Self::peek) showed.
    #[inline(always)]
    pub(crate) fn pop(&mut self) {
        self.head = following(self.head, self.entries);
        if self.head == 0 {
            self.phase = !self.phase;
        }
    }

    /// Whether the device was not told of all that were popped.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.head != self.committed
    }

    /// The new head for the doorbell, if anything was popped since the last commit.
    #[inline]
    pub(crate) fn commit(&mut self) -> Option<u16> {
        if !self.has_news() {
            return None;
        }
        self.committed = self.head;
        Some(self.head)
    }

    /// The head that the device was told of.
    pub(crate) fn committed(&self) -> u16 {
        self.committed
    }
}

/// The index after `index` in a ring. Below `entries`, so it does not wrap by itself.
#[inline]
fn following(index: u16, entries: u16) -> u16 {
    match index.wrapping_add(1) {
        next if next == entries => 0,
        next => next,
    }
}

/// Steps forward from `from` to `to` in a ring. Both are below `entries` if the result is
/// to mean anything.
#[inline]
fn distance(from: u16, to: u16, entries: u16) -> u16 {
    if to >= from {
        to - from
    } else {
        entries - from + to
    }
}
