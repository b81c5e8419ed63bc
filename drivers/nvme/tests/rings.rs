//! The rings of a queue pair between two processors, in every order that they can make of it: no
//! side looks at an entry before the other is done with it.
//!
//! The driver's side is the driver's own: its rings, rung by doorbell registers. The device's is a
//! few lines here. Entries are cells, of which the model checker knows whether what one side did
//! with them comes before what the other does. Doorbells and the word with the phase are all that
//! tells, and they are plain words: the order is in the fences around them.

extern crate alloc;

mod atomics {
    pub(crate) use loom::sync::atomic::{Ordering, fence};
}

mod error {
    pub(crate) use nvme::Violation;
}

mod wire {
    pub(crate) use nvme::wire::{CompletionEntry, SubmissionEntry};
}

/// What the driver wants of its platform, as far as rings need it.
mod platform {
    use phyr::DmaRange;

    #[derive(Debug)]
    pub(crate) struct OutOfMemory;

    pub(crate) trait SharedMemory {
        fn bus(&self) -> DmaRange;
        fn load64(&self, offset: usize) -> u64;
        fn store64(&self, offset: usize, value: u64);
        fn store_line(&self, offset: usize, line: &[u64; 8]);
    }

    pub(crate) trait Platform {
        type Shared: SharedMemory;

        fn allocate(&self, bytes: usize) -> Result<Self::Shared, OutOfMemory>;
    }
}

/// The two doorbell registers.
mod port {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering};
    use std::marker::PhantomData;

    #[derive(Default)]
    pub(crate) struct Doorbells {
        pub(crate) tail: AtomicU32,
        pub(crate) head: AtomicU32,
    }

    pub(crate) struct Port<P>(pub(crate) Arc<Doorbells>, pub(crate) PhantomData<P>);

    impl<P> Port<P> {
        pub(crate) fn ring_submission(&self, _: u16, tail: u16) {
            self.0.tail.store(u32::from(tail), Ordering::Relaxed);
        }
        pub(crate) fn ring_completion(&self, _: u16, head: u16) {
            self.0.head.store(u32::from(head), Ordering::Relaxed);
        }
    }
}

#[path = "../src/doorbell.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod doorbell;
#[path = "../src/ring.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod ring;
#[path = "../src/rings.rs"]
#[allow(dead_code, reason = "the test uses a part of it")]
mod rings;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;
use phyr::{DmaAddr, DmaRange};
use platform::{OutOfMemory, Platform, SharedMemory};
use port::{Doorbells, Port};
use rings::Rings;
use std::marker::PhantomData;
use wire::{CompletionEntry, SubmissionEntry};

/// Entries of each ring. One is never used, so each command waits for the one before.
const ENTRIES: u16 = 2;

/// Commands: the phase turns after two, and the third is in a place that was used.
const COMMANDS: u64 = 3;

/// The two rings.
struct Memory {
    submission: [UnsafeCell<[u64; 8]>; ENTRIES as usize],
    results: [UnsafeCell<u64>; ENTRIES as usize],
    /// The upper words of completions, with the phase.
    uppers: [AtomicU64; ENTRIES as usize],
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            submission: [0; ENTRIES as usize].map(|word| UnsafeCell::new([word; 8])),
            results: [0; ENTRIES as usize].map(UnsafeCell::new),
            uppers: [0; ENTRIES as usize].map(AtomicU64::new),
        })
    }
}

/// One of the rings, as the driver has it.
enum Half {
    Submission(Arc<Memory>),
    Completion(Arc<Memory>),
}

impl SharedMemory for Half {
    fn bus(&self) -> DmaRange {
        DmaRange::new(DmaAddr::new(0x1000), 128).expect("a range")
    }
    fn load64(&self, offset: usize) -> u64 {
        let Self::Completion(memory) = self else {
            panic!("a driver does not read what it has submitted");
        };
        let index = offset / CompletionEntry::BYTES;
        match offset % CompletionEntry::BYTES {
            8 => memory.uppers[index].load(Ordering::Relaxed),
            // SAFETY: that nobody writes it now is what is tested.
            _ => memory.results[index].with(|result| unsafe { *result }),
        }
    }
    fn store64(&self, _: usize, _: u64) {
        panic!("nothing is cleared here");
    }
    fn store_line(&self, offset: usize, line: &[u64; 8]) {
        let Self::Submission(memory) = self else {
            panic!("a driver does not complete commands");
        };
        let entry = &memory.submission[offset / SubmissionEntry::BYTES];
        // SAFETY: that nobody reads it now is what is tested.
        entry.with_mut(|entry| unsafe { *entry = *line });
    }
}

impl Platform for Arc<Memory> {
    type Shared = Half;

    fn allocate(&self, bytes: usize) -> Result<Half, OutOfMemory> {
        Ok(match bytes / usize::from(ENTRIES) {
            SubmissionEntry::BYTES => Half::Submission(self.clone()),
            _ => Half::Completion(self.clone()),
        })
    }
}

/// The device: fetches each command when it is told of it, and answers when there is room.
fn device(memory: &Memory, doorbells: &Doorbells) {
    let entries = u64::from(ENTRIES);
    let wait_for = |is_there: &dyn Fn() -> bool| {
        while !is_there() {
            thread::yield_now();
        }
        fence(Ordering::Acquire);
    };
    for number in 0..COMMANDS {
        let index = (number % entries) as usize;
        let next = ((number + 1) % entries) as u32;
        wait_for(&|| doorbells.tail.load(Ordering::Relaxed) == next);
        // SAFETY: that nobody writes it now is what is tested.
        let line = memory.submission[index].with(|entry| unsafe { *entry });
        assert_eq!(line[3], number + 1, "not the command that was announced");
        // There is room while the head is not the entry behind this one.
        wait_for(&|| doorbells.head.load(Ordering::Relaxed) != next);
        let phase = number / entries % 2 == 0;
        let answer = CompletionEntry {
            sq_head: next as u16,
            sq_id: 1,
            status: nvme::Status::new().with_phase(phase),
            ..CompletionEntry::default()
        };
        // SAFETY: that nobody reads it now is what is tested.
        memory.results[index].with_mut(|result| unsafe { *result = line[3] });
        fence(Ordering::Release);
        memory.uppers[index].store(answer.words()[1], Ordering::Relaxed);
    }
}

/// The number of orders is bounded: by how often a thread is interrupted at a moment that it has not
/// chosen.
#[test]
fn each_side_looks_at_entries_that_the_other_is_done_with() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let memory = Memory::new();
        let doorbells = Arc::new(Doorbells::default());
        let other = (memory.clone(), doorbells.clone());
        let device = thread::spawn(move || device(&other.0, &other.1));
        let port: Port<Arc<Memory>> = Port(doorbells, PhantomData);
        let mut rings = Rings::allocate(&memory, 1, ENTRIES, None).expect("memory");
        for number in 0..COMMANDS {
            assert!(!rings.is_full());
            rings.push(&SubmissionEntry {
                prp1: number + 1,
                ..SubmissionEntry::default()
            });
            rings.ring(&port);
            let done = loop {
                match rings.next().expect("the device keeps the rules") {
                    Some(done) => break done,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(done.result, number + 1, "the answer to another command");
            // Sometimes an entry is given back with the next command, and sometimes alone.
            if number == 0 {
                rings.ring(&port);
            }
        }
        device.join().expect("the device ends");
    });
}
