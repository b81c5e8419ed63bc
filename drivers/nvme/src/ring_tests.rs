//! The rings, entry by entry.

use crate::error::Violation;
use crate::platform::SharedMemory;
use crate::ring::{CompletionRing, SubmissionRing};
use crate::status::Status;
use crate::wire::{CompletionEntry, SubmissionEntry};
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

/// A ring with its head at `start` and `pushed` entries that the device was told of.
fn ring_at(entries: u16, start: u16, pushed: u16) -> SubmissionRing {
    let memory = Memory::new(SubmissionRing::bytes(entries));
    let mut ring = SubmissionRing::new(entries);
    for head in 1..=start {
        ring.push(&memory, &entry(head));
        ring.commit();
        ring.retire(head).expect("it was fetched");
    }
    for cid in 0..pushed {
        ring.push(&memory, &entry(cid));
    }
    ring.commit();
    ring
}

/// All heads of a small ring against a model that steps one by one.
#[test]
fn heads_are_accepted_exactly_between_head_and_tail() {
    for entries in 2..6_u16 {
        for start in 0..entries {
            for pushed in 0..entries {
                // Full and empty are told apart by the one entry that is never used.
                let is_full = ring_at(entries, start, pushed).is_full();
                assert_eq!(is_full, pushed == entries - 1);
                for sq_head in 0..entries + 2 {
                    let mut ring = ring_at(entries, start, pushed);
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
