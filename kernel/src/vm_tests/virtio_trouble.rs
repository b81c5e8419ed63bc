//! virtio disks on several cores, with few vectors, with errors, resets, and another size.

use super::disk;
use super::streams::{Stream, frames, free_or_heap_bytes, until};
use super::transfers::read_between_canaries;
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::block::partition::{Extent, Partition};
use crate::drivers::virtio::drive::Drive;
use crate::executor;
use crate::storage;
use crate::{cores, drivers::virtio::queue::QueueCounters};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::task::{Context, Waker};
use embassy_futures::join::join;
use vm_test::{control, host, pattern, seed, vm_test};

fn drive() -> Arc<Drive> {
    storage::virtio_disks()[0].clone()
}

fn counters() -> QueueCounters {
    drive().counters().expect("the core has a queue")
}

#[vm_test(machine = "virtio,smp=4,size=16M", timeout = 120)]
fn four_cores_read_through_queues_of_their_own() {
    four_cores_read(4);
}

#[vm_test(machine = "virtio,smp=4,queues=2,size=16M", timeout = 120)]
fn four_cores_share_two_queues() {
    four_cores_read(2);
}

#[vm_test(machine = "virtio,smp=4,vectors=3,size=16M", timeout = 120)]
fn queues_without_a_vector_are_polled() {
    let cores = four_cores_read(4);
    let mut polled = cores.iter().filter(|core| core.interrupts == 0).peekable();
    assert!(polled.peek().is_some(), "{cores:?}");
    // Were they to sleep while a request is out, only the clock would wake them, now and then.
    assert!(polled.all(|core| core.halts == 0), "{cores:?}");
}

/// What a core has done to read 500 times.
#[derive(Debug)]
pub(super) struct Work {
    interrupts: u64,
    halts: u64,
}

/// One interrupt for all queues would be heard by one core. The others would wait for ever.
#[vm_test(machine = "virtio,smp=4,vectors=1,size=16M", timeout = 120)]
fn four_queues_with_one_vector_do_not_wait_for_each_others_interrupts() {
    let cores = four_cores_read(4);
    let told = cores.iter().filter(|core| core.interrupts > 0).count();
    assert!(told <= 1, "{cores:?}");
}

pub(super) fn four_cores_read(queues: u16) -> Vec<Work> {
    let before = {
        disk();
        free_or_heap_bytes()
    };
    assert_eq!(drive().disk().queues(), queues);
    let tasks: Vec<_> = cores::online()
        .map(|core| {
            executor::spawn_on(core, move || async move {
                let disk = disk();
                let mut stream = Stream::new(&*disk, 8);
                let before = executor::activity(core).halts;
                stream.run(500, true).await;
                let halts = executor::activity(core).halts - before;
                let counters = counters();
                assert!(counters.driver.commands >= 500);
                let interrupts = counters.interrupts;
                Work { interrupts, halts }
            })
        })
        .collect();
    assert_eq!(tasks.len(), 4);
    let work = tasks.into_iter().map(wait).collect();
    assert_eq!(free_or_heap_bytes(), before);
    work
}

#[vm_test(machine = "virtio,vectors=1,size=16M", timeout = 60)]
fn one_vector_serves_the_queue() {
    let disk = disk();
    for _ in 0..5 {
        wait(disk.read(0, frames())).unwrap();
    }
    assert!(counters().interrupts > 0);
    wait(Stream::new(&*disk, 4).run(100, true));
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn an_error_is_that_of_its_request_alone() {
    let disk = disk();
    control::faults(0, "read at 409600");
    let failed = wait(disk.read(800, frames())).expect_err("it fails");
    let io = BlockError::Device("I/O error".into());
    assert_eq!(failed.error, io);
    assert!(failed.memory.is_some(), "the memory comes back");
    read_between_canaries(&*disk, 0, 4096);
    // Once: QEMU flushes by itself when the faults change.
    control::faults(0, "write, flush once");
    assert_eq!(disk.write_now(0, &[1; 512]), Err(io.clone()));
    assert_eq!(disk.flush_now(), Err(io));
    control::faults(0, "");
    read_between_canaries(&*disk, 800, 4096);
    host::assert_disk_pattern(0, 0, 16 << 20, seed(), 0);
    assert_eq!((counters().driver.errors, drive().disk().resets()), (3, 0));
}

/// Resets while reads and writes are under way: all of them end well, and once. What is read is the
/// first half of the disk, what is written is in the second.
#[vm_test(machine = "virtio,smp=2,size=16M", timeout = 120)]
fn requests_survive_resets() {
    resets_under_load();
}

/// Five of them, while all cores read and one writes.
pub(super) fn resets_under_load() {
    let disk = disk();
    let readers: Vec<_> = cores::online()
        .map(|core| {
            executor::spawn_on(core, || async {
                let extent = Extent {
                    number: 1,
                    first: 0,
                    blocks: 16384,
                };
                let half = Partition::new(super::disk(), extent);
                Stream::new(&half, 16).run(3000, true).await;
            })
        })
        .collect();
    wait(async {
        for round in 1..=5 {
            let mut frames = frames();
            pattern::fill(round, 0, frames.bytes_mut());
            let write = disk.write(20_000 + 8 * round, frames);
            let (written, reset) = join(write, drive_reset()).await;
            written.unwrap();
            reset.unwrap();
            disk.flush().await.unwrap();
            host::assert_disk_pattern(0, (20_000 + 8 * round) * 512, 4096, round, 0);
        }
    });
    for reader in readers {
        wait(reader);
    }
    assert_eq!(drive().disk().resets(), 5);
    assert_eq!(drive().disk().lost(), 0);
    assert_eq!(disk.outstanding(), 0);
}

async fn drive_reset() -> Result<(), virtio::Error> {
    drive().disk().reset().await
}

/// What nobody wants any more is not sent again, and its memory comes back.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_reset_ends_what_was_abandoned() {
    let disk = disk();
    wait(disk.read(0, frames())).unwrap();
    let before = free_or_heap_bytes();
    control::hold(0);
    for number in 0..8 {
        let mut read = Box::pin(disk.read(number * 8, frames()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(disk.outstanding(), 8);
    wait(drive_reset()).unwrap();
    assert_eq!((disk.outstanding(), free_or_heap_bytes()), (0, before));
    control::release(0);
    read_between_canaries(&*disk, 3, 8192);
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_disk_changes_its_size_while_it_is_used() {
    let disk = disk();
    let blocks = |mib: u64| (mib << 20) / 512;
    assert_eq!(disk.geometry().blocks, blocks(16));
    control::resize(0, 24 << 20);
    wait(until(|| disk.geometry().blocks == blocks(24)));
    let mut bytes = [0xcc; 512];
    disk.read_now(blocks(24) - 1, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 512]);
    control::resize(0, 8 << 20);
    wait(until(|| disk.geometry().blocks == blocks(8)));
    let beyond = disk.read_now(blocks(8), &mut bytes);
    assert_eq!(beyond, Err(BlockError::OutOfRange));
    read_between_canaries(&*disk, blocks(8) - 8, 4096);
    assert_eq!(drive().disk().resets(), 0);
}
