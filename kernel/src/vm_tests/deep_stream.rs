//! What reading costs besides instructions: nothing.
//!
//! The core has other tasks, too, which take a lock or allocate now and then, when it is time. So what
//! was taken is looked at several times a turn, and a piece of time in which another task was polled
//! is left out. All the others are the stream's: its futures, its queue, and the executor that calls both.

use super::disk;
use super::streams::{DEPTH, Stream, counters};
use crate::block::blocking::wait;
use crate::cores;
use crate::drivers::nvme::queue::QueueCounters;
use crate::drivers::nvme::{self, hub::Hub};
use crate::executor::{self, Look, activity};
use crate::lock;
use crate::memory::heap;
use crate::println;
use crate::storage;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use vm_test::{control, vm_test};

const READS: u64 = 1000;

/// What should not be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    /// Requests to the heap.
    memory: u64,
    locks: u64,
}

impl Taken {
    const NOTHING: Self = Self {
        memory: 0,
        locks: 0,
    };

    /// Since boot.
    fn so_far() -> Self {
        Self {
            memory: heap::requests(),
            locks: lock::taken() + ::nvme::lock::taken(),
        }
    }

    /// With what was taken from a moment to another.
    fn and(self, from: Self, to: Self) -> Self {
        Self {
            memory: self.memory + to.memory - from.memory,
            locks: self.locks + to.locks - from.locks,
        }
    }
}

/// Looks at what is taken.
#[derive(Default)]
struct Auditor {
    /// At the last look: what was taken, and how often a task was polled.
    last: Cell<(Taken, u64)>,
    /// What was taken in pieces of time without another task.
    found: Cell<Taken>,
    /// How many such pieces there were.
    alone: Cell<u64>,
    /// And how many with another task.
    disturbed: Cell<u64>,
}

impl Auditor {
    fn start(&self) {
        let polls = activity(cores::current()).polls;
        self.last.set((Taken::so_far(), polls));
    }

    fn look(&self) {
        let (before, polls_before) = self.last.get();
        let (now, polls) = (Taken::so_far(), activity(cores::current()).polls);
        if polls == polls_before {
            self.found.set(self.found.get().and(before, now));
            self.alone.set(self.alone.get() + 1);
        } else {
            self.disturbed.set(self.disturbed.get() + 1);
        }
        self.last.set((now, polls));
    }
}

/// Counts the turns of a queue that had something to ring for.
struct Turns {
    hub: Arc<Hub>,
    /// At the last look: what had been submitted, and what was complete.
    last: Cell<[u64; 2]>,
    /// Turns with requests submitted since the turn before, and turns that found completions.
    busy: [Cell<u64>; 2],
}

impl Turns {
    /// From now on.
    fn new(hub: Arc<Hub>) -> Self {
        let turns = Self {
            hub,
            last: Cell::default(),
            busy: [Cell::new(0), Cell::new(0)],
        };
        turns.last.set(turns.seen());
        turns
    }

    fn seen(&self) -> [u64; 2] {
        let counters = self.hub.counters().expect("the core has a queue");
        [counters.submitted, counters.completed]
    }

    /// The queue has had a turn.
    fn look(&self) {
        let (before, now) = (self.last.get(), self.seen());
        for (busy, is_more) in self
            .busy
            .iter()
            .zip([now[0] > before[0], now[1] > before[1]])
        {
            busy.set(busy.get() + u64::from(is_more));
        }
        self.last.set(now);
    }
}

// ANCHOR: nothing
/// Thirty-two reads at a time, for a thousand reads, from one core.
#[vm_test(
    machine = "trace=pci_nvme_mmio_*+pci_nvme_read,nvme,size=16M",
    timeout = 120
)]
fn a_deep_stream_allocates_nothing_takes_no_lock_and_rings_twice_a_batch() {
    // As with a controller that is no program: each ring is a write to a register.
    nvme::change_options(|options| options.shadow_doorbells = false);
    read_a_thousand_pages();
}

/// Where doorbells are words in memory, the register is written when the controller asks for it.
#[vm_test(
    machine = "trace=pci_nvme_mmio_*+pci_nvme_read,nvme,size=16M",
    timeout = 120
)]
fn a_deep_stream_costs_no_more_where_doorbells_are_shadowed() {
    read_a_thousand_pages();
}

fn read_a_thousand_pages() {
    // Whoever watches over the controller reads its state sixteen times in this time, which is longer than the test.
    nvme::change_options(|options| options.timeout = 3_600_000_000);
    let disk = disk();
    // So that everything that is made at the first use has been made.
    wait(Stream::new(&*disk, DEPTH).run(200, true));
    let mut stream = Stream::new(&*disk, DEPTH);
    let auditor = Rc::new(Auditor::default());
    let before = counters();
    let turns = Rc::new(Turns::new(storage::controllers().swap_remove(0)));
    let looks = (auditor.clone(), turns.clone());
    // Called after each turn of the queue, and before tasks are polled.
    let _poller = executor::add_poller(move || {
        looks.0.look();
        looks.1.look();
        Look::Idle
    });
    control::trace_mark();
    auditor.start();
    wait(poll_fn(|cx| {
        auditor.look();
        // What a read has brought is compared with what is on the disk.
        let running = stream.poll(READS, cx, true);
        auditor.look();
        match running {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
    let after = counters();
    let (alone, disturbed) = (auditor.alone.get(), auditor.disturbed.get());
    println!("{alone} pieces of time, and {disturbed} with other tasks");
    assert_eq!(auditor.found.get(), Taken::NOTHING);
    assert!(
        disturbed * 10 < alone,
        "{disturbed} of {alone} are left out"
    );
    assert_eq!(after.submitted - before.submitted, READS);
    assert_eq!(after.completed - before.completed, READS);
    look_at_the_trace(&before, &after, &turns);
}

/// Of a thousand reads, as QEMU has seen them.
fn look_at_the_trace(before: &QueueCounters, after: &QueueCounters, turns: &Turns) {
    assert_eq!(control::trace_count("pci_nvme_read"), READS);
    assert_eq!(
        control::trace_count("pci_nvme_mmio_read"),
        0,
        "no register was read"
    );
    let (submissions, completions) = (
        control::trace_count("pci_nvme_mmio_doorbell_sq"),
        control::trace_count("pci_nvme_mmio_doorbell_cq"),
    );
    let [submitted, completed] = [turns.busy[0].get(), turns.busy[1].get()];
    println!(
        "{submissions} + {completions} doorbells; {submitted} turns with requests, {completed} with \
         completions, {} in all",
        after.polls - before.polls
    );
    assert!(
        submissions <= submitted && completions <= completed,
        "each at most once a turn that has something to tell"
    );
    assert!(
        submissions + completions <= READS / 4,
        "there are batches: {submissions} + {completions}"
    );
    assert_eq!(
        submissions,
        after.driver.submission_doorbells - before.driver.submission_doorbells
    );
    assert_eq!(
        completions,
        after.driver.completion_doorbells - before.driver.completion_doorbells
    );
    let writes = control::trace_count("pci_nvme_mmio_write");
    assert_eq!(
        writes,
        submissions + completions,
        "doorbells are all that is written"
    );
}
// ANCHOR_END: nothing
