//! All interleavings of the protocol by which cores forget translations.
//!
//! A core's TLB is a variable of its thread. What the tables lead to is a [`Page`]: its owner writes
//! it when the mapping is gone, and a core that still uses it then is a data race, which loom reports.

#[allow(
    unreachable_pub,
    dead_code,
    reason = "a module of the kernel, included in a program"
)]
#[path = "../src/cores/board.rs"]
mod board;

/// What the module uses of the CPU, as loom has it.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

use board::{Board, Forget};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

/// Where each of the two pages is mapped.
const LEAVES: [u64; 2] = [0x1000, 0x2000];

/// One page of memory and one entry that leads to it.
struct Page {
    mapped: AtomicBool,
    content: UnsafeCell<u64>,
}

impl Page {
    fn new() -> Self {
        Self {
            mapped: AtomicBool::new(true),
            content: UnsafeCell::new(1),
        }
    }
}

/// What a core remembers of the two entries.
#[derive(Default)]
struct Tlb([Option<bool>; 2]);

impl Tlb {
    /// The CPU may look at the tables at any time.
    fn look(&mut self, pages: &[Page; 2], page: usize) -> bool {
        *self.0[page].get_or_insert_with(|| pages[page].mapped.load(Ordering::Relaxed))
    }

    /// Reads through the mapping, if the core believes that there is one.
    fn read(&mut self, pages: &[Page; 2], page: usize) {
        if self.look(pages, page) {
            let content = &pages[page].content;
            // SAFETY: this is what is tested: loom reports it if the owner writes at the same time.
            content.with(|content| assert_eq!(unsafe { *content }, 1));
        }
    }

    fn forget(&mut self, what: &Forget<'_>) {
        match what {
            Forget::Everything => self.0 = [None; 2],
            Forget::Leaves(leaves) => {
                for leaf in leaves.iter().map(|leaf| leaf.load(Ordering::Relaxed)) {
                    let page = LEAVES.iter().position(|known| *known == leaf);
                    self.0[page.expect("what was posted is what is read")] = None;
                }
            }
        }
    }
}

struct Machine {
    board: Board<2>,
    online: AtomicU64,
    flushed: [AtomicU64; 3],
    tables: AtomicBool,
    pages: [Page; 2],
    ended: AtomicU64,
}

impl Machine {
    fn new(online: u64) -> Arc<Self> {
        Arc::new(Self {
            board: Board {
                number: AtomicU64::new(0),
                count: AtomicU64::new(0),
                leaves: [AtomicU64::new(0), AtomicU64::new(0)],
            },
            online: AtomicU64::new(online),
            flushed: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)],
            tables: AtomicBool::new(false),
            pages: [Page::new(), Page::new()],
            ended: AtomicU64::new(0),
        })
    }

    /// The interrupt, which may come at any time.
    fn interrupt(&self, core: usize, tlb: &mut Tlb) {
        let forget = |what: Forget<'_>| tlb.forget(&what);
        self.board.answer(&self.flushed[core], forget);
    }

    /// Unmaps a page and writes to its memory, as its next owner would; or gives up, when another
    /// core holds the lock of the tables for too long. (The real one waits. Here an interleaving
    /// must have an end.)
    fn unmap(&self, me: usize, page: usize) {
        if self.tables.swap(true, Ordering::Acquire) {
            // Who waits for the lock is interrupted like anybody else.
            self.interrupt(me, &mut Tlb::default());
            if self.tables.swap(true, Ordering::Acquire) {
                self.ended.fetch_add(1, Ordering::Release);
                return;
            }
        }
        let leaf = LEAVES[page];
        let page = &self.pages[page];
        page.mapped.store(false, Ordering::Relaxed);
        let posted = self.board.post(Some([leaf].into_iter()), &self.online);
        for core in (0..3).filter(|core| *core != me && posted.cores & 1 << core != 0) {
            while !self.board.is_done(posted.number, &self.flushed[core]) {
                thread::yield_now();
            }
        }
        self.flushed[me].store(posted.number, Ordering::Relaxed);
        self.tables.store(false, Ordering::Release);
        // SAFETY: nobody can reach the page any more. That is what is tested.
        page.content.with_mut(|content| unsafe { *content = 2 });
        self.ended.fetch_add(1, Ordering::Release);
    }

    fn answer_until_the_end(&self, core: usize, tlb: &mut Tlb, unmaps: u64) {
        while self.ended.load(Ordering::Acquire) < unmaps {
            self.interrupt(core, tlb);
            thread::yield_now();
        }
    }
}

#[test]
fn nobody_reads_through_a_mapping_that_has_ended() {
    loom::model(|| {
        let machine = Machine::new(0b11);
        let other = Arc::clone(&machine);
        let reader = thread::spawn(move || {
            let mut tlb = Tlb::default();
            tlb.read(&other.pages, 0);
            other.interrupt(1, &mut tlb);
            tlb.read(&other.pages, 0);
            other.answer_until_the_end(1, &mut tlb, 1);
            tlb.read(&other.pages, 0);
        });
        machine.unmap(0, 0);
        reader.join().unwrap();
    });
}

#[test]
fn what_is_posted_stays_until_all_have_read_it() {
    loom::model(|| {
        let machine = Machine::new(0b11);
        let other = Arc::clone(&machine);
        let reader = thread::spawn(move || {
            let mut tlb = Tlb::default();
            tlb.look(&other.pages, 0);
            other.interrupt(1, &mut tlb);
            tlb.read(&other.pages, 0);
            other.answer_until_the_end(1, &mut tlb, 2);
        });
        machine.unmap(0, 0);
        machine.unmap(0, 1);
        reader.join().unwrap();
    });
}

#[test]
fn a_core_that_joins_is_waited_for_or_has_seen_the_change() {
    loom::model(|| {
        let machine = Machine::new(0b01);
        let other = Arc::clone(&machine);
        let joiner = thread::spawn(move || {
            let mut tlb = Tlb::default();
            // Before it takes part a core uses no mapping that ends, but the CPU looks ahead.
            tlb.look(&other.pages, 0);
            let forget = || {
                tlb.0 = [None; 2];
                tlb.look(&other.pages, 0);
            };
            other
                .board
                .join(&other.online, 0b10, &other.flushed[1], forget);
            tlb.read(&other.pages, 0);
            other.answer_until_the_end(1, &mut tlb, 1);
        });
        machine.unmap(0, 0);
        joiner.join().unwrap();
    });
}

#[test]
fn two_changes_at_once_both_end() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let machine = Machine::new(0b11);
        let other = Arc::clone(&machine);
        let second = thread::spawn(move || {
            other.unmap(1, 1);
            other.answer_until_the_end(1, &mut Tlb::default(), 2);
        });
        machine.unmap(0, 0);
        machine.answer_until_the_end(0, &mut Tlb::default(), 2);
        second.join().unwrap();
    });
}
