//! virtio disks: data of every length between disk and memory, what else they can do, and what it
//! costs. Judged like those of NVMe: by content, by canaries, and by the host.

use super::costs::count_instructions;
use super::disks::check_pattern_file;
use super::streams::{Stream, frames, free_or_heap_bytes, refused_reads_keep_their_memory, until};
use super::transfers::{read_between_canaries, read_of_every_kind, write_and_look};
use super::{disk, disk_number, scattered};
use crate::block::blocking::wait;
use crate::block::{BlockError, Space};
use crate::drivers::virtio::queue::QueueCounters;
use crate::lock;
use crate::memory::frames::Frames;
use crate::memory::heap;
use crate::storage;
use alloc::boxed::Box;
use alloc::{format, vec};
use core::future::Future;
use core::task::{Context, Waker};
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: usize = 4096;
const DEPTH: usize = 32;
const CANARY: u8 = 0xc5;

pub(super) fn counters() -> QueueCounters {
    storage::virtio_disks()[0]
        .counters()
        .expect("the core has a queue")
}

/// On the root complex QEMU makes devices that legacy drivers could use, too.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_transitional_disk_is_read_through_modern_registers() {
    let disk = disk();
    assert_eq!(disk.name(), "vda");
    assert_eq!(storage::virtio_disks()[0].disk().resets(), 0);
    read_of_every_kind(&*disk);
}

#[vm_test(machine = "virtio=modern,size=16M,lba=4096", timeout = 60)]
fn a_modern_disk_is_read_in_blocks_of_4096() {
    assert_eq!(disk().geometry().block_size, 4096);
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "virtio=modern,size=16M,switch,firmware=qboot", timeout = 60)]
fn a_disk_behind_a_switch_is_read() {
    read_of_every_kind(&*disk());
}

#[vm_test(
    machine = "virtio,size=16M,ring=16,without=event_idx+indirect_desc",
    timeout = 60
)]
fn a_disk_with_a_short_ring_and_no_tables_is_read() {
    let disk = disk();
    read_of_every_kind(&*disk);
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(500, true));
    assert_eq!(counters().driver.indirect, 0);
}

#[vm_test(machine = "virtio,size=64M", timeout = 60)]
fn a_long_read_in_one_piece_is_one_command() {
    let disk = disk();
    let before = counters().driver;
    read_between_canaries(&*disk, 0, 40 << 20);
    let after = counters().driver;
    assert_eq!(after.commands - before.commands, 1);
}

#[vm_test(machine = "virtio,disks=2,size=16M", timeout = 60)]
fn two_disks_have_names_in_order_and_do_not_mix_their_data() {
    let mut bytes = vec![0; 1 << 20];
    for (number, name) in [(0, "vda"), (1, "vdb")] {
        let disk = disk_number(number);
        assert_eq!(disk.name(), name);
        let model = storage::volume(name).and_then(|volume| volume.model);
        // As the machine was told to call them.
        assert_eq!(model, Some(format!("virtio disk phyros{number}")));
        disk.read_now(16, &mut bytes).unwrap();
        let seed = seed().wrapping_add(number as u64);
        assert_eq!(pattern::first_difference(seed, 16 * 512, &bytes), None);
    }
}

/// Pages that come in descending order with gaps: swapped or shifted entries give wrong content.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn scattered_pages_go_through_tables_in_their_order() {
    let disk = disk();
    for pages in [1, 2, 3, 61, 62, 63, 300] {
        let before = counters().driver;
        let mut memory = scattered(pages);
        memory.bytes_mut().fill(CANARY);
        disk.read_now(8, memory.bytes_mut()).unwrap();
        let wrong = pattern::first_difference(seed(), 8 * 512, memory.bytes());
        assert_eq!(wrong, None, "{pages} pages");
        let after = counters().driver;
        let commands = pages.div_ceil(62) as u64;
        assert_eq!(after.commands - before.commands, commands, "{pages} pages");
        assert_eq!(after.indirect > before.indirect, pages > 1, "{pages} pages");
    }
    let mut memory = scattered(200);
    pattern::fill(seed() ^ 99, 0, memory.bytes_mut());
    disk.write_now(64, memory.bytes()).unwrap();
    disk.flush_now().unwrap();
    host::assert_disk_pattern(0, 64 * 512, 200 * PAGE as u64, seed() ^ 99, 0);
}

/// virtio has no alignment. Nothing has to be copied, wherever a buffer starts.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn memory_may_start_at_any_byte() {
    let mut bytes = vec![CANARY; 4 * PAGE];
    for (start, len) in [(1, 512), (4095, 512), (777, 4096), (3, 8192)] {
        bytes.fill(CANARY);
        disk().read_now(5, &mut bytes[start..start + len]).unwrap();
        let wrong = pattern::first_difference(seed(), 5 * 512, &bytes[start..start + len]);
        assert_eq!(wrong, None, "{len} at {start}");
        let mut around = bytes[..start].iter().chain(&bytes[start + len..]);
        assert!(around.all(|byte| *byte == CANARY), "{len} at {start}");
    }
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn the_host_finds_what_was_written() {
    for (block, len) in [(1, 512), (100, 4096), (2000, 64 << 10), (4000, 3 << 20)] {
        write_and_look(&*disk(), block, len);
    }
}

#[vm_test(machine = "virtio=modern,size=16M,lba=4096", timeout = 60)]
fn the_host_finds_what_was_written_in_blocks_of_4096() {
    for (block, len) in [(1, 4096), (100, 12 << 10), (2000, 1 << 20)] {
        write_and_look(&*disk(), block, len);
    }
}

#[vm_test(machine = "virtio,disk=ext4", timeout = 60)]
fn a_file_is_read_from_ext4_on_a_virtio_disk() {
    check_pattern_file(&disk());
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn flush_discard_and_zeroes_do_what_the_host_sees() {
    let disk = disk();
    let limits = disk.limits();
    assert!(limits.write_cache && limits.discard.is_some() && limits.write_zeroes.is_some());
    let mine = seed() ^ 0x77;
    wait(async {
        let mut frames = Frames::allocate(8 * PAGE as u64).unwrap();
        pattern::fill(mine, 0, frames.bytes_mut());
        let frames = disk.write(1000, frames).await.unwrap();
        disk.flush().await.unwrap();
        host::assert_disk_pattern(0, 1000 * 512, 8 * PAGE as u64, mine, 0);
        let before = counters().driver.commands;
        disk.write_durable(2000, frames).await.unwrap();
        // The write, and a flush behind it.
        assert_eq!(counters().driver.commands - before, 2);
        host::assert_disk_pattern(0, 2000 * 512, 8 * PAGE as u64, mine, 0);
        disk.write_zeroes(1001, 2, Space::Keep).await.unwrap();
        disk.write_zeroes(1010, 3, Space::Release).await.unwrap();
        disk.flush().await.unwrap();
        let frames = Frames::allocate(2 * PAGE as u64).unwrap();
        let read = disk.read(1001, frames).await.unwrap();
        let bytes = read.bytes();
        let zeros = [0..1024, 9 * 512..12 * 512];
        for zeros in zeros.clone() {
            assert!(bytes[zeros].iter().all(|byte| *byte == 0));
        }
        for kept in [2..9, 12..16] {
            let position = (1 + kept.start) * 512;
            let kept = &bytes[kept.start as usize * 512..kept.end as usize * 512];
            assert_eq!(pattern::first_difference(mine, position, kept), None);
        }
        disk.discard(2000, 64).await.unwrap();
        let beyond = disk.discard(disk.geometry().blocks, 1).await;
        assert_eq!(beyond, Err(BlockError::OutOfRange));
    });
    let untouched = (2000 + 64) * 512;
    host::assert_disk_pattern(0, untouched, 512, seed(), untouched);
}

#[vm_test(machine = "virtio,ro,size=16M", timeout = 60)]
fn a_disk_that_cannot_be_written_says_so_and_is_not() {
    let disk = disk();
    assert!(!disk.geometry().writable);
    read_between_canaries(&*disk, 3, 2 * PAGE);
    let refused = disk.write_now(3, &[7; 512]);
    assert_eq!(refused, Err(BlockError::ReadOnly));
    wait(async {
        assert_eq!(disk.discard(3, 1).await, Err(BlockError::ReadOnly));
        let zeroed = disk.write_zeroes(3, 1, Space::Keep).await;
        assert_eq!(zeroed, Err(BlockError::ReadOnly));
        disk.flush().await.unwrap();
    });
    host::assert_disk_pattern(0, 0, 16 << 20, seed(), 0);
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn requests_beyond_the_end_are_refused_and_touch_nothing() {
    let disk = disk();
    let blocks = disk.geometry().blocks;
    assert_eq!(blocks, (16 << 20) / 512);
    let mut bytes = vec![CANARY; 8192];
    for (block, len) in [(blocks, 512), (blocks - 1, 1024), (u64::MAX - 1, 8192)] {
        let read = disk.read_now(block, &mut bytes[..len]);
        assert_eq!(read, Err(BlockError::OutOfRange), "{block}");
        let written = disk.write_now(block, &bytes[..len]);
        assert_eq!(written, Err(BlockError::OutOfRange), "{block}");
    }
    assert!(bytes.iter().all(|byte| *byte == CANARY));
    assert_eq!(disk.read_now(0, &mut bytes[..100]), Err(BlockError::Length));
    host::assert_disk_pattern(0, 0, 16 << 20, seed(), 0);
    read_between_canaries(&*disk, 0, 512);
}

/// The trouble of every asynchronous driver: a future that is dropped while the device writes.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn memory_of_dropped_reads_comes_back_when_the_device_is_done() {
    let disk = disk();
    wait(disk.read(0, frames())).unwrap();
    let before = free_or_heap_bytes();
    control::hold(0);
    let mut cx = Context::from_waker(Waker::noop());
    for number in 0..DEPTH as u64 {
        let mut read = Box::pin(disk.read(number * 8, frames()));
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(disk.outstanding(), DEPTH, "the device has them all");
    assert_eq!(free_or_heap_bytes(), before - (DEPTH * PAGE) as u64);
    control::release(0);
    wait(until(|| disk.outstanding() == 0));
    assert_eq!(free_or_heap_bytes(), before);
    // The queue has all its slots again.
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(200, true));
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_deep_stream_reads_what_is_there() {
    let disk = disk();
    let before = free_or_heap_bytes();
    // Deeper than the queue: some wait for room.
    let mut stream = Stream::new(&*disk, 200);
    wait(stream.run(3000, true));
    drop(stream);
    assert_eq!(free_or_heap_bytes(), before);
    assert_eq!(disk.outstanding(), 0);
}

/// Thirty-two reads at a time, for a thousand reads, from one core.
#[vm_test(
    machine = "virtio,size=16M,trace=virtio_queue_notify+virtio_blk_handle_read+memory_region_ops_read",
    timeout = 120
)]
fn a_deep_stream_allocates_nothing_takes_no_lock_and_notifies_once_a_batch() {
    deep_stream_costs();
}

pub(super) fn deep_stream_costs() {
    let disk = disk();
    // So that everything that is made at the first use has been made.
    wait(Stream::new(&*disk, DEPTH).run(200, false));
    // Other tasks of the core take a lock or allocate now and then, when it is time, and whoever watches over the disk
    // reads a register. A stream between two of them shows what the stream does.
    let undisturbed = (0..20).any(|_| {
        let mut stream = Stream::new(&*disk, DEPTH);
        let before = counters();
        control::trace_mark();
        let heap_before = heap::requests();
        let locks_before = (lock::taken(), virtio::lock::taken());
        wait(stream.run(1000, false));
        let locks_after = (lock::taken(), virtio::lock::taken());
        let heap_after = heap::requests();
        let after = counters();
        assert_eq!(control::trace_count("virtio_blk_handle_read"), 1000);
        let is_read = control::trace_count("memory_region_ops_read virtio");
        let notified = after.driver.notifications - before.driver.notifications;
        assert!(notified <= after.polls - before.polls, "once a turn");
        assert!(notified < 500, "there are batches: {notified}");
        assert!(control::trace_count("virtio_queue_notify") <= notified);
        (is_read, heap_after, locks_after) == (0, heap_before, locks_before)
    });
    assert!(
        undisturbed,
        "no register is read, the heap is asked for nothing, and no lock is taken"
    );
}

#[vm_test(machine = "virtio,size=16M,ring=16", timeout = 60)]
fn reads_that_a_full_virtio_queue_refuses_keep_their_memory() {
    refused_reads_keep_their_memory(100);
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_busy_queue_is_polled_and_an_idle_one_interrupts() {
    busy_and_idle();
}

/// Reads one by one, in a stream, and one by one again.
pub(super) fn busy_and_idle() {
    let disk = disk();
    for _ in 0..5 {
        wait(disk.read(0, frames())).unwrap();
    }
    let idle = counters();
    assert!(
        idle.interrupts > 0,
        "one read at a time is waited for asleep"
    );
    let mut stream = Stream::new(&*disk, DEPTH);
    wait(stream.run(3000, false));
    drop(stream);
    let busy = counters();
    let interrupts = busy.interrupts - idle.interrupts;
    // A device that answers whole batches at a time leaves nothing to poll for.
    let is_rare = interrupts < 3000 / DEPTH as u64 * 2;
    assert!(busy.to_polled > idle.to_polled || is_rare, "{busy:?}");
    assert!(interrupts < 1000, "{interrupts} interrupts for 3000 reads");
    // A turn in which nothing is outstanding.
    wait(embassy_futures::yield_now());
    for _ in 0..5 {
        wait(disk.read(0, frames())).unwrap();
    }
    let after = counters();
    assert_eq!(after.to_interrupt, after.to_polled);
    assert!(after.interrupts > busy.interrupts);
}

#[vm_test(machine = "icount,virtio,size=16M", timeout = 120)]
fn a_read_from_a_virtio_disk_costs_few_instructions() {
    count_instructions([(1, 2600), (32, 1650)]);
}
