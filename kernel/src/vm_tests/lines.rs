//! Devices without messages, which interrupt by lines that they share.
//!
//! That it was found by edges is what the keeper of the lines counts: what only its clock has found is `unannounced`. The clock finds
//! everything sooner or later, so a test that did not look at that count would show nothing. On a host that is busy the clock may
//! be faster than an edge, now and then.

use super::streams::{Stream, frames, until};
use super::transfers::{read_of_every_kind, write_and_look};
use super::virtio::{busy_and_idle, counters};
use super::virtio_trouble::{four_cores_read, resets_under_load};
use super::{disk, disk_number};
use crate::block::blocking::wait;
use crate::cores::{self, CoreId};
use crate::dma::Owner;
use crate::drivers::helpers;
use crate::drivers::virtio::Location;
use crate::drivers::virtio::net::Usage;
use crate::executor::{self, activity};
use crate::interrupts;
use crate::memory::frames::with_allocator;
use crate::memory::regions;
use crate::net;
use crate::pci::intx::{self, Counters};
use crate::storage;
use crate::time::microseconds;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use embassy_time::{Duration, Timer};
use vm_test::{control, pattern, seed, vm_test};

const PAGE: u64 = 4096;

/// Turns of a core that sleeps, while others look at it. One that polls makes thousands.
const FEW: u64 = 80;

/// What the keeper has done, of which next to nothing was found by its clock alone.
fn by_edges() -> Counters {
    let counters = intx::counters();
    assert!(counters.unannounced <= counters.edges / 20, "{counters:?}");
    counters
}

/// Waits until a core has halted twice since it had halted so often: for the first time it may be on its way
/// already, before it has a task.
async fn sleeps(core: CoreId, halts: u64) {
    while activity(core).halts < halts + 2 {
        Timer::after(Duration::from_millis(1)).await;
    }
}

/// Reads a page of a disk.
async fn read(number: usize, page: u64) {
    let read = disk_number(number).read(page * 8, frames()).await;
    let read = read.expect("it reads");
    let seed = seed().wrapping_add(number as u64);
    let wrong = pattern::first_difference(seed, page * PAGE, read.bytes());
    assert_eq!(wrong, None, "page {page} of disk {number}");
}

/// Each core reads a page. No answer comes before all of them sleep.
fn asleep(number: usize, page: u64) {
    control::hold(number as u64);
    let halts: Vec<_> = cores::online().map(|core| activity(core).halts).collect();
    let reader = |core: CoreId| {
        let page = page + 100 * core.index() as u64;
        executor::spawn_on(core, move || read(number, page))
    };
    let tasks: Vec<_> = cores::online().map(reader).collect();
    wait(async {
        for (core, halts) in cores::online().zip(halts) {
            sleeps(core, halts).await;
        }
    });
    control::release(number as u64);
    tasks.into_iter().for_each(wait);
}

#[vm_test(machine = "virtio,vectors=0,size=16M", timeout = 60)]
fn a_disk_without_messages_is_read_and_written() {
    let disk = disk();
    read_of_every_kind(&*disk);
    for (block, len) in [(1, 512), (100, 4096), (3000, 1 << 20)] {
        write_and_look(&*disk, block, len);
    }
    busy_and_idle();
    let drives = storage::virtio_disks();
    assert_eq!((drives[0].disk().resets(), drives[0].disk().lost()), (0, 0));
    assert!(by_edges().edges > 0);
}

/// The disk answers when the core sleeps, so that nothing but the line can wake it.
#[vm_test(machine = "virtio,vectors=0,size=16M", timeout = 60)]
fn a_core_sleeps_until_the_line_rises() {
    disk();
    let (before, interrupts) = (by_edges(), counters().interrupts);
    for page in 0..20 {
        asleep(0, page);
    }
    let edges = by_edges().edges - before.edges;
    let interrupts = counters().interrupts - interrupts;
    assert!(edges >= 20 && interrupts >= 20, "{edges}, {interrupts}");
}

/// The line is heard on one core. The queues of the others are theirs, and they are woken.
#[vm_test(machine = "virtio,vectors=0,smp=4,size=16M", timeout = 120)]
fn one_core_hears_the_line_and_all_are_woken() {
    let work = four_cores_read(4);
    assert_eq!(work.len(), 4);
    for page in 0..10 {
        asleep(0, page);
    }
    let interrupts: Vec<u64> = cores::online()
        .map(|core| wait(executor::spawn_on(core, || async { counters().interrupts })))
        .collect();
    assert!(
        interrupts.iter().all(|count| *count >= 10),
        "{interrupts:?}"
    );
    by_edges();
}

/// The slots of the functions on each line, as QEMU's board connects those before slot 25: four lines go round.
fn sharers() -> BTreeMap<u8, Vec<u8>> {
    let mut lines: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for drive in storage::virtio_disks() {
        let Location::Function(address) = drive.location() else {
            panic!("it is on the bus");
        };
        let slot = address.device();
        assert!(slot < 25);
        lines.entry(slot % 4).or_default().push(slot);
    }
    lines
}

/// Eight disks on four lines, and each core has a queue of each of them.
#[vm_test(
    machine = "virtio,vectors=0,disks=8,smp=4,size=8M,ram=256M",
    timeout = 300
)]
fn who_shares_a_line_waits_for_nobody() {
    disk();
    let sharers = sharers();
    assert!(
        sharers.values().all(|slots| slots.len() == 2),
        "{sharers:?}"
    );
    for round in 0..3 {
        let readers: Vec<_> = cores::online()
            .flat_map(|core| (0..8).map(move |number| (core, number)))
            .map(|(core, number)| {
                executor::spawn_on(core, move || async move {
                    // One after the other: each answer is waited for, and wakes one core.
                    for read_number in 0..40_u64 {
                        let page = (read_number * 67 + core.index() as u64 * 13) % 2048;
                        read(number, page).await;
                    }
                    let disk = disk_number(number);
                    Stream::new(&*disk, 4).run(200, false).await;
                })
            })
            .collect();
        assert_eq!(readers.len(), 32);
        readers.into_iter().for_each(wait);
        asleep(round, 7);
        by_edges();
    }
    for drive in storage::virtio_disks() {
        assert_eq!((drive.disk().resets(), drive.disk().lost()), (0, 0));
    }
}

/// Two that share a line answer at the same moment, when all sleep.
#[vm_test(machine = "virtio,vectors=0,disks=8,size=8M", timeout = 120)]
fn two_on_one_line_answer_at_once() {
    disk();
    let lines = sharers();
    let first = *lines.values().flatten().min().unwrap();
    let place = |slot: u8| usize::from(slot - first);
    for (_, slots) in lines {
        let numbers: Vec<_> = slots.into_iter().map(place).collect();
        for page in 0..5 {
            numbers
                .iter()
                .for_each(|number| control::hold(*number as u64));
            let halts = activity(CoreId::BOOT).halts;
            let reads: Vec<_> = numbers
                .iter()
                .map(|number| {
                    let number = *number;
                    executor::spawn(async move { read(number, page).await })
                })
                .collect();
            wait(sleeps(CoreId::BOOT, halts));
            numbers
                .iter()
                .for_each(|number| control::release(*number as u64));
            reads.into_iter().for_each(wait);
        }
    }
    by_edges();
}

/// All devices that there are, and no core has anything to do.
#[vm_test(
    machine = "virtio,vectors=0,disks=3,balloon,nic=vectors=0,smp=4,size=8M",
    timeout = 60
)]
fn nobody_looks_while_nothing_happens() {
    disk();
    wait(net::start(Usage::default()));
    assert_eq!(
        (helpers::balloons().len(), net::virtio_cards().len()),
        (1, 1)
    );
    (0..3).for_each(|number| wait(read(number, 3)));
    // Until the clock of the keeper is looked at now and then only.
    wait(Timer::after(Duration::from_secs(3)));
    let turns = || -> Vec<u64> { cores::online().map(|core| activity(core).turns).collect() };
    let before = turns();
    wait(Timer::after(Duration::from_secs(1)));
    for (core, (after, before)) in turns().into_iter().zip(before).enumerate() {
        let turns = after - before;
        assert!(turns < FEW, "core {core} has made {turns} turns");
    }
    by_edges();
}

/// A flush is waited for, and whoever waits looks four times a second if he is not told.
#[vm_test(machine = "nvme,size=16M,pmem=64M", timeout = 60)]
fn a_flush_of_persistent_memory_is_told_of_by_the_line() {
    const FLUSHES: u64 = 40;
    let _ = disk();
    let provider = regions::find("pmem0").expect("the machine has such memory");
    let (before, start) = (by_edges().answers, microseconds());
    for _ in 0..FLUSHES {
        wait(provider.persist()).unwrap();
    }
    let took = microseconds() - start;
    assert!(by_edges().answers >= before + FLUSHES);
    assert!(took < FLUSHES * 250_000, "{took} microseconds");
}

/// A source of entropy could send messages, but nobody has turned them on, so it has its line. Who looks before the keeper
/// does finds the answer without it; the line has risen all the same.
#[vm_test(machine = "entropy", timeout = 60)]
fn a_source_with_messages_that_are_off_calls_by_its_line() {
    let source = helpers::sources().remove(0);
    let mut memory = frames().into_memory();
    for _ in 0..40 {
        let before = intx::counters().answers;
        (memory, _) = wait(source.fill(memory)).unwrap();
        wait(until(|| intx::counters().answers > before));
    }
    by_edges();
}

/// What the hypervisor wants is asked for once a second, and at once when it says so.
#[vm_test(machine = "balloon,ram=256M", timeout = 60)]
fn a_balloon_hears_what_is_wanted_by_its_line() {
    let balloon = helpers::balloons().remove(0);
    let tended = balloon.clone();
    let tender = executor::spawn(async move { tended.tend().await });
    let start = microseconds();
    let before = by_edges().edges;
    for round in 0..10 {
        let wanted = 1 + round % 2;
        control::monitor(&format!("balloon {}", 256 - wanted));
        wait(until(|| {
            u64::from(balloon.handle().pages()) * PAGE == wanted << 20
        }));
    }
    let took = microseconds() - start;
    assert!(took < 6_000_000, "{took} microseconds");
    // The answer to the last one and the next wish may come together.
    let after = by_edges();
    assert!(after.edges >= before + 8, "{before}, {after:?}");
    drop(tender);
    assert!(with_allocator(|allocator| allocator.free_bytes()) > 0);
}

/// By the clock, a change of the configuration is seen two seconds after the one before.
#[vm_test(machine = "virtio,vectors=0,size=16M", timeout = 60)]
fn a_disk_says_by_its_line_that_its_size_has_changed() {
    let disk = disk();
    let blocks = |mib: u64| (mib << 20) / 512;
    let start = microseconds();
    for round in 0..10 {
        let mib = 17 + round % 2;
        control::resize(0, mib << 20);
        wait(until(|| disk.geometry().blocks == blocks(mib)));
    }
    let took = microseconds() - start;
    assert!(took < 12_000_000, "{took} microseconds");
    wait(read(0, 5));
    by_edges();
}

#[vm_test(machine = "virtio,vectors=0,smp=2,size=16M", timeout = 120)]
fn requests_survive_resets_of_a_disk_with_a_line() {
    resets_under_load();
}

/// Nobody hears the lines, as if somebody held them all up. The clock finds what there is.
#[vm_test(machine = "virtio,vectors=0,smp=2,size=16M", timeout = 60)]
fn lines_that_nobody_hears_are_looked_at_by_the_clock() {
    let inputs: Vec<_> = (0..24)
        .filter_map(|input| interrupts::wired(input).ok())
        .collect();
    assert!(inputs.len() >= 12);
    disk();
    for page in 0..10 {
        asleep(0, page);
    }
    // One look by the clock may find several, one after another.
    let counters = intx::counters();
    assert_eq!(counters.edges, 0);
    assert!(counters.unannounced > 0, "{counters:?}");
    assert!(counters.answers >= 10, "{counters:?}");
    drop(inputs);
}
