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

use crate::error::Violation;
use crate::platform::SharedMemory;
use crate::wire::{CompletionEntry, SubmissionEntry};
use core::sync::atomic::{Ordering, fence};

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

    /// The new tail for the doorbell, if anything was pushed since the last commit.
    ///
    /// The entries are visible to the device before a doorbell write that follows.
    #[inline]
    pub(crate) fn commit(&mut self) -> Option<u16> {
        if self.tail == self.committed {
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

    /// The new head for the doorbell, if anything was popped since the last commit.
    #[inline]
    pub(crate) fn commit(&mut self) -> Option<u16> {
        if self.head == self.committed {
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

/// The index after `index` in a ring.
#[inline]
fn following(index: u16, entries: u16) -> u16 {
    match index + 1 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use core::cell::RefCell;
    use phyr::{DmaAddr, DmaRange};

    /// Host memory that plays shared memory, and remembers what was read, in order.
    struct Memory(RefCell<Vec<u64>>, RefCell<Vec<usize>>);

    impl Memory {
        fn new(bytes: usize) -> Self {
            Self(RefCell::new(vec![0; bytes / 8]), RefCell::default())
        }
    }

    // SAFETY: plain words that no device sees; they are what their names say.
    #[expect(unsafe_code, reason = "a duty that is kept")]
    unsafe impl SharedMemory for Memory {
        fn bus(&self) -> DmaRange {
            let len = self.0.borrow().len() as u64 * 8;
            DmaRange::new(DmaAddr::new(0x1000), len).expect("not empty")
        }
        fn load64(&self, offset: usize) -> u64 {
            assert_eq!(offset % 8, 0);
            self.1.borrow_mut().push(offset);
            self.0.borrow()[offset / 8]
        }
        fn store64(&self, offset: usize, value: u64) {
            assert_eq!(offset % 8, 0);
            self.0.borrow_mut()[offset / 8] = value;
        }
    }

    fn entry(cid: u16) -> SubmissionEntry {
        SubmissionEntry {
            prp1: u64::from(cid),
            ..SubmissionEntry::default()
        }
    }

    #[test]
    fn a_submission_ring_holds_one_less_than_its_entries() {
        let memory = Memory::new(SubmissionRing::bytes(3));
        let mut ring = SubmissionRing::new(3);
        assert_eq!(ring.commit(), None);
        ring.push(&memory, &entry(1));
        assert!(!ring.is_full());
        ring.push(&memory, &entry(2));
        assert!(ring.is_full());
        assert_eq!(ring.commit(), Some(2));
        assert_eq!(ring.commit(), None);
        assert_eq!(memory.load64(24), 1);
        assert_eq!(memory.load64(64 + 24), 2);
        ring.retire(1).expect("fetched one");
        assert!(!ring.is_full());
        ring.push(&memory, &entry(3));
        assert_eq!(ring.commit(), Some(0));
        assert_eq!(memory.load64(128 + 24), 3);
    }

    #[test]
    fn the_device_cannot_have_fetched_what_it_was_not_told_of() {
        let memory = Memory::new(SubmissionRing::bytes(4));
        let mut ring = SubmissionRing::new(4);
        ring.push(&memory, &entry(1));
        ring.push(&memory, &entry(2));
        assert_eq!(
            ring.retire(1),
            Err(Violation::SubmissionHead { sq_head: 1 }),
            "pushed, but not committed"
        );
        ring.commit();
        assert_eq!(
            ring.retire(3),
            Err(Violation::SubmissionHead { sq_head: 3 })
        );
        assert_eq!(
            ring.retire(4),
            Err(Violation::SubmissionHead { sq_head: 4 })
        );
        assert_eq!(
            ring.retire(0xffff),
            Err(Violation::SubmissionHead { sq_head: 0xffff })
        );
        ring.retire(2).expect("all fetched");
        assert_eq!(
            ring.retire(1),
            Err(Violation::SubmissionHead { sq_head: 1 }),
            "the head never goes back"
        );
    }

    /// All heads of a small ring against a model that steps one by one.
    #[test]
    fn heads_are_accepted_exactly_between_head_and_tail() {
        for entries in 2..6_u16 {
            for start in 0..entries {
                for pushed in 0..entries {
                    for sq_head in 0..entries + 2 {
                        let tail = (start + pushed) % entries;
                        let mut ring = SubmissionRing {
                            entries,
                            head: start,
                            tail,
                            committed: tail,
                        };
                        let expected = (0..=pushed).any(|step| (start + step) % entries == sq_head);
                        assert_eq!(ring.retire(sq_head).is_ok(), expected);
                    }
                }
            }
        }
    }

    fn complete(memory: &Memory, index: usize, cid: u16, phase: bool) {
        let status = Status::new().with_phase(phase);
        let words = CompletionEntry {
            result: u64::from(cid) << 8,
            cid,
            status,
            ..CompletionEntry::default()
        }
        .words();
        memory.store64(index * 16, words[0]);
        memory.store64(index * 16 + 8, words[1]);
    }

    #[test]
    fn a_completion_is_new_only_in_the_current_phase() {
        let memory = Memory::new(CompletionRing::bytes(2));
        let mut ring = CompletionRing::new(2);
        assert_eq!(ring.peek(&memory, 0), None);
        let mut cid = 0;
        for round in 0..5 {
            let phase = round % 2 == 0;
            for index in 0..2 {
                assert_eq!(ring.peek(&memory, 0), None, "old entries are not new");
                cid += 1;
                complete(&memory, index, cid, phase);
                let entry = ring.peek(&memory, 0).expect("the phase is right");
                assert_eq!(entry.cid, cid);
                assert_eq!(entry.result, u64::from(cid) << 8);
                ring.pop();
            }
        }
    }

    /// What lies before the phase may be old for as long as the phase is.
    #[test]
    fn the_word_with_the_phase_is_read_once_and_before_the_other() {
        let memory = Memory::new(CompletionRing::bytes(2));
        let ring = CompletionRing::new(2);
        assert_eq!(ring.peek(&memory, 0), None);
        assert_eq!(memory.1.take(), [8]);
        complete(&memory, 0, 1, true);
        assert!(ring.peek(&memory, 0).is_some());
        assert_eq!(memory.1.take(), [8, 0]);
    }

    #[test]
    fn completions_are_committed_once_for_many() {
        let memory = Memory::new(CompletionRing::bytes(4));
        let mut ring = CompletionRing::new(4);
        for index in 0..3 {
            complete(&memory, index, 1, true);
        }
        for _ in 0..3 {
            assert!(ring.peek(&memory, 0).is_some());
            ring.pop();
        }
        assert_eq!(ring.peek(&memory, 0), None);
        assert_eq!(ring.commit(), Some(3));
        assert_eq!(ring.commit(), None);
    }
}
