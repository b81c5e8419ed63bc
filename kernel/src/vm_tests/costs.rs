//! What a read costs, in instructions. (What the driver's part of it costs: `drivers/nvme/costs.rs`.)
//!
//! The machine's clock counts instructions, so the numbers are exact: whatever else the host does,
//! they come out the same. A core that halts would make the clock jump, so something keeps it awake.
//! What a turn of the executor costs that finds nothing to do is waiting, which a core that sleeps
//! does for nothing. It is measured first, with a disk that holds its answers back; afterwards, turns
//! that cost no more than that are not counted, and all others are counted in full.

use super::disk;
use crate::arch::cpu::{mark, time_stamp};
use crate::block::BlockDevice;
use crate::executor::{self, Look, Poller};
use crate::memory::frames::Frames;
use crate::println;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::task::{Context, Waker};
use vm_test::{control, vm_test};

const PAGE: usize = 4096;

/// Counts the instructions of turns in which something is done.
struct Meter {
    counts: Rc<Counts>,
    /// What a turn costs that finds nothing, the meter included.
    empty: u64,
    _poller: Poller,
}

#[derive(Default)]
struct Counts {
    last: Cell<u64>,
    /// The cheapest turn so far.
    least: Cell<u64>,
    /// Turns that cost more than this are work.
    empty: Cell<u64>,
    /// Instructions of turns with work.
    work: Cell<u64>,
}

impl Counts {
    /// Once a turn, always at the same place of it.
    fn turn(&self) -> Look {
        let now = time_stamp();
        let cost = now - self.last.replace(now);
        if cost < self.least.get() {
            self.least.set(cost);
        }
        if cost > self.empty.get() {
            self.work.set(self.work.get() + cost);
        }
        Look::Waiting
    }
}

impl Meter {
    /// A meter that knows what an empty turn costs while a disk works.
    fn new(disk: &dyn BlockDevice) -> Self {
        let counts = Rc::new(Counts::default());
        counts.least.set(u64::MAX);
        let looked = counts.clone();
        let poller = executor::add_poller(move || looked.turn());
        control::hold(0);
        let mut read = Box::pin(disk.read(0, frames()));
        let pending = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(pending.is_pending());
        turns(1000);
        counts.least.set(u64::MAX);
        turns(1000);
        control::release(0);
        crate::block::blocking::wait(read).expect("the disk is sound");
        let empty = counts.least.get();
        // Some turns look at the clock a little longer.
        counts.empty.set(empty + empty / 4);
        Self {
            counts,
            empty,
            _poller: poller,
        }
    }

    /// Instructions of working turns while the future runs.
    fn measure(&self, run: impl Future<Output = ()>) -> u64 {
        let before = self.counts.work.get();
        crate::block::blocking::wait(run);
        self.counts.work.get() - before
    }
}

/// Lets so many turns pass in which nothing is done.
fn turns(count: u64) {
    let turns = || executor::activity(crate::cores::current()).turns;
    let until = turns() + count;
    let alarm = embassy_time::Timer::after_micros(count);
    crate::block::blocking::wait(alarm);
    while turns() < until {
        crate::block::blocking::wait(embassy_futures::yield_now());
    }
}

fn frames() -> Frames {
    Frames::zeroed(PAGE as u64).unwrap()
}

/// From the future to the device and back to the task: block layer, DMA map, queue, wake.
#[vm_test(machine = "icount,nvme,size=16M", timeout = 120)]
fn a_read_costs_few_instructions() {
    // Not much more than it is in a build without link-time optimization: whoever makes a read dearer will
    // see it here.
    count_instructions([(1, 2200), (32, 1400)]);
}

/// Prints what a read costs at these depths, and fails where it is more than that.
pub(super) fn count_instructions(limits: [(u64, u64); 2]) {
    let disk = disk();
    let meter = Meter::new(&*disk);
    println!("an empty turn: {} instructions", meter.empty);
    for (depth, most) in limits {
        // So many that what a reader begins with does not count.
        let reads = 8192;
        let crowd = || async move {
            let reader = |number| executor::spawn(read_often(number, reads / depth));
            let tasks: Vec<_> = (0..depth).map(reader).collect();
            for task in tasks {
                task.await;
            }
        };
        // Once for all that is made at the first use.
        meter.measure(crowd());
        mark::<0>();
        let work = meter.measure(crowd());
        match depth {
            1 => mark::<1>(),
            _ => mark::<32>(),
        }
        let each = work / reads;
        println!("depth {depth}: {each} instructions a read");
        assert!(each < most, "depth {depth}: {each} instructions a read");
    }
}

/// One of many that read a page at a time.
async fn read_often(number: u64, times: u64) {
    let disk = disk();
    let mut memory = frames();
    for time in 0..times {
        let block = (number * 64 + time) % 4000 * 8;
        memory = disk.read(block, memory).await.unwrap();
    }
}
