//! Disks that take their time, and disks that take too much of it.
//!
//! Times are only bounded from below: how long a machine takes beyond that depends on who else uses the host.

use super::disk;
use super::streams::{DEPTH, counters, frames, free_bytes, free_or_heap_bytes, until};
use crate::block::blocking::wait;
use crate::block::{BlockDevice, BlockError, Transferring};
use crate::cores;
use crate::drivers::nvme::{self, hub::Controller};
use crate::executor;
use crate::memory::frames::Frames;
use crate::storage;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};
use embassy_time::{Duration, Instant};
use phyr::Phyr;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
/// Blocks of a page.
const BLOCKS: u64 = PAGE / 512;
const CANARY: u8 = 0xa5;

/// Requests that the throttled disk lets through in a second.
const RATE: u64 = 400;
/// Pages that are written to it, and read again.
const PAGES: u64 = 512;
/// Requests at a time on each of two cores.
const LANES: u64 = 16;

/// Writes every page whose number leaves this remainder, and reads it again.
async fn write_and_read(remainder: u64, mine: u64) {
    let disk = disk();
    let pages = || (remainder..PAGES).step_by(2 * LANES as usize);
    let mut frames = frames();
    for page in pages() {
        pattern::fill(mine, page * PAGE, frames.bytes_mut());
        let written = disk.write(page * BLOCKS, frames).await;
        frames = written.expect("it writes");
    }
    for page in pages() {
        frames.bytes_mut().fill(CANARY);
        frames = disk.read(page * BLOCKS, frames).await.expect("it reads");
        let wrong = pattern::first_difference(mine, page * PAGE, frames.bytes());
        assert_eq!(wrong, None, "in page {page}");
    }
}

/// Requests of two cores wait for the disk, many at a time.
#[vm_test(machine = "smp=2,nvme,size=16M", timeout = 120)]
fn a_throttled_disk_under_load_ends_right() {
    let disk = disk();
    let mine = seed() ^ 0x51;
    control::throttle(0, RATE);
    let start = Instant::now();
    let on_core = |core: cores::CoreId| {
        executor::spawn_on(core, move || async move {
            let lane = |lane| write_and_read(2 * lane + core.index() as u64, mine);
            let lanes: Vec<_> = (0..LANES).map(|one| executor::spawn(lane(one))).collect();
            for lane in lanes {
                lane.await;
            }
            counters()
        })
    };
    let tasks: Vec<_> = cores::online().map(on_core).collect();
    for task in tasks {
        let counters = wait(task);
        assert!(counters.completed >= PAGES, "half of them, and twice");
        assert_eq!((counters.driver.errors, counters.driver.retries), (0, 0));
    }
    let least = Duration::from_millis(2 * PAGES * 1000 / RATE * 3 / 4);
    assert!(start.elapsed() > least, "the disk was slow");
    wait(disk.flush()).expect("it flushes");
    host::assert_disk_pattern(0, 0, PAGES * PAGE, mine, 0);
    let rest = (16 << 20) - PAGES * PAGE;
    host::assert_disk_pattern(0, PAGES * PAGE, rest, seed(), PAGES * PAGE);
}

type Read<'d> = Pin<Box<Transferring<'d, Frames>>>;

/// Gives the device so many reads of a page, whose memory has canaries in front of it and behind. Nobody waits
/// for them yet. Returns them with their memory, and all the canaries.
fn begin(disk: &dyn BlockDevice, count: u64) -> (Vec<(Read<'_>, Phyr)>, Vec<Frames>) {
    let mut rest = Frames::allocate((2 * count + 1) * PAGE).expect("there is memory");
    rest.bytes_mut().fill(CANARY);
    let (mut reads, mut canaries) = (Vec::new(), Vec::new());
    let mut cx = Context::from_waker(Waker::noop());
    for number in 0..count {
        let (canary, behind) = rest.split_at(PAGE).expect("it is longer");
        let (page, behind) = behind.split_at(PAGE).expect("it is longer");
        let phyr = page.phyr();
        let mut read = Box::pin(disk.read(number * BLOCKS, page));
        assert!(read.as_mut().poll(&mut cx).is_pending());
        reads.push((read, phyr));
        canaries.push(canary);
        rest = behind;
    }
    canaries.push(rest);
    (reads, canaries)
}

fn assert_intact(canaries: &[Frames]) {
    for canary in canaries {
        assert!(canary.bytes().iter().all(|byte| *byte == CANARY));
    }
}

/// Every read takes 50 milliseconds, however many there are.
#[vm_test(machine = "latency=50000000,size=16M", timeout = 60)]
fn reads_of_a_slow_disk_wait_together_and_the_core_sleeps() {
    let disk = disk();
    let (before, halts) = (counters(), executor::activity(cores::current()).halts);
    let start = Instant::now();
    let (reads, canaries) = begin(&*disk, DEPTH as u64);
    for (read, _) in reads {
        let page = wait(read).expect("it comes");
        assert!(page.bytes().iter().all(|byte| *byte == 0), "null is zeros");
    }
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_intact(&canaries);
    let after = counters();
    assert_eq!(after.completed - before.completed, DEPTH as u64);
    assert_eq!((after.driver.aborts, after.driver.resets), (0, 1));
    // One after the other, they would be answered one after the other.
    let rings = after.driver.completion_doorbells - before.driver.completion_doorbells;
    assert!(rings <= DEPTH as u64 / 2, "answered in {rings} turns");
    assert!(after.interrupts > before.interrupts);
    assert!(executor::activity(cores::current()).halts > halts);
}

fn controller() -> Controller {
    let controller = storage::controllers()[0].controller();
    controller.expect("it is there")
}

/// How often the controller has been reset.
fn resets() -> u64 {
    controller().resets()
}

/// How many of these pieces of memory could be had by somebody else: takes all that there is, and looks.
fn free_of(memory: &[Phyr]) -> usize {
    let mut all = Vec::with_capacity((free_bytes() / PAGE) as usize);
    all.extend(core::iter::from_fn(|| Frames::allocate(PAGE).ok()));
    let is_there = |phyr: &&Phyr| all.iter().any(|page: &Frames| page.phyr().overlaps(**phyr));
    memory.iter().filter(is_there).count()
}

/// Begins eight reads. Nobody wants the first half of them any more. Returns the others, the memory of
/// the first half, and canaries.
fn begin_and_drop_half(disk: &dyn BlockDevice) -> (Vec<Read<'_>>, Vec<Phyr>, Vec<Frames>) {
    let (mut reads, canaries) = begin(disk, 8);
    let wanted = reads.split_off(4);
    let dropped: Vec<Phyr> = reads.into_iter().map(|(_, phyr)| phyr).collect();
    assert_eq!(free_of(&dropped), 0, "the device has it");
    let wanted = wanted.into_iter().map(|(read, _)| read).collect();
    (wanted, dropped, canaries)
}

/// A device that answers after one and a half seconds, and a driver that waits for a third of that.
#[vm_test(machine = "latency=1500000000,size=16M", timeout = 120)]
fn reads_that_take_too_long_end_and_their_memory_is_not_reused_before() {
    nvme::change_options(|options| (options.timeout, options.retries) = (500_000, 1));
    let disk = disk();
    // Its partition table could not be read, and it may still be on its way back from that.
    wait(controller().reset()).expect("it is well otherwise");
    let (free, aborts, resets_before) = (free_or_heap_bytes(), counters().driver.aborts, resets());
    let (wanted, dropped, canaries) = begin_and_drop_half(&*disk);
    wait(until(|| counters().driver.aborts > aborts));
    assert_eq!(resets(), resets_before);
    assert_eq!(free_of(&dropped), 0, "the device has it still");
    wait(until(|| resets() > resets_before));
    assert_eq!(free_of(&dropped), 4, "a device that was reset has nothing");
    for read in wanted {
        let failed = wait(read).expect_err("it is never in time");
        assert_eq!(failed.error, BlockError::TimedOut);
        assert!(failed.memory.is_some(), "the memory comes back");
    }
    // Each time that it is tried. The last request ends before the last reset does.
    wait(until(|| resets() >= resets_before + 2));
    assert_eq!(disk.outstanding(), 0);
    assert_intact(&canaries);
    drop(canaries);
    assert_eq!(free_or_heap_bytes(), free);
}

/// QEMU aborts nothing. The answer comes after it was asked to.
#[vm_test(machine = "trace=pci_nvme_admin_cmd,nvme,size=16M", timeout = 60)]
fn an_answer_after_the_time_limit_is_taken_and_nothing_is_reset() {
    nvme::change_options(|options| options.timeout = 4_000_000);
    let disk = disk();
    let free = free_or_heap_bytes();
    control::trace_mark();
    control::hold(0);
    let (wanted, dropped, canaries) = begin_and_drop_half(&*disk);
    wait(until(|| counters().driver.aborts == 1));
    assert_eq!(free_of(&dropped), 0, "the device has it still");
    control::release(0);
    for (number, read) in (4..).zip(wanted) {
        let page = wait(read).expect("late, but sound");
        let wrong = pattern::first_difference(seed(), number * PAGE, page.bytes());
        assert_eq!(wrong, None);
    }
    wait(until(|| disk.outstanding() == 0));
    assert_intact(&canaries);
    drop(canaries);
    assert_eq!(free_or_heap_bytes(), free);
    let after = counters().driver;
    assert_eq!((resets(), after.retries, after.errors), (0, 0, 0));
    assert_eq!(control::trace_count("pci_nvme_admin_cmd opc 0x8"), 1);
}

/// A reset has QEMU finish what it was given, and what comes then is held, too, until the host lets go.
#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn reads_that_were_held_for_too_long_are_sent_again() {
    nvme::change_options(|options| options.timeout = 1_000_000);
    let disk = disk();
    let free = free_or_heap_bytes();
    control::hold(0);
    let (wanted, dropped, canaries) = begin_and_drop_half(&*disk);
    wait(until(|| resets() == 1));
    assert_eq!(free_of(&dropped), 4, "a device that was reset has nothing");
    control::release(0);
    for (number, read) in (4..).zip(wanted) {
        let page = wait(read).expect("the second time");
        let wrong = pattern::first_difference(seed(), number * PAGE, page.bytes());
        assert_eq!(wrong, None);
    }
    assert_intact(&canaries);
    drop(canaries);
    assert_eq!((disk.outstanding(), free_or_heap_bytes()), (0, free));
    assert_eq!(counters().driver.retries, 4, "nobody wants the others");
    assert_eq!(resets(), 1);
}
