//! Packed virtqueues. What goes through them is the same, so these are the tests of other files once more.
//! That the queues are packed is QEMU's word.

use super::disk;
use super::streams::{Stream, frames, free_or_heap_bytes};
use super::transfers::{read_between_canaries, read_of_every_kind, write_and_look};
use super::virtio::{counters, deep_stream_costs};
use super::virtio_trouble::{four_cores_read, resets_under_load};
use crate::block::blocking::wait;
use crate::storage;
use alloc::format;
use alloc::string::String;
use vm_test::{control, host, pattern, seed, vm_test};

/// What device and driver have agreed on, as QEMU tells it.
pub(super) fn agreed(device: &str) -> String {
    let backend = format!("/machine/peripheral/{device}/virtio-backend");
    let answer = control::monitor(&format!("info virtio-status {backend}"));
    let text = String::from_utf8_lossy(answer.text()).into_owned();
    let (_, features) = text.split_once("Guest features:").expect("a driver");
    let (features, _) = features.split_once("Host features:").expect("a device");
    features.into()
}

const PACKED: &str = "VIRTIO_F_RING_PACKED";

#[vm_test(machine = "virtio,packed,size=16M", timeout = 60)]
fn a_disk_is_read_and_written_through_packed_queues() {
    read_of_every_kind(&*disk());
    assert!(agreed("virtio0").contains(PACKED));
    for (block, len) in [(1, 512), (100, 4096), (2000, 64 << 10), (4000, 3 << 20)] {
        write_and_look(&*disk(), block, len);
    }
    assert_eq!(storage::virtio_disks()[0].disk().resets(), 0);
}

/// QEMU says what is said when there are no packed queues, too.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn queues_are_packed_only_where_that_is_offered() {
    read_between_canaries(&*disk(), 0, 4096);
    let agreed = agreed("virtio0");
    assert!(!agreed.contains(PACKED) && agreed.contains("VIRTIO_F_VERSION_1"));
}

/// Few places, and chains of different lengths: a lap ends inside of a chain again and again.
#[vm_test(
    machine = "virtio,packed,size=16M,ring=16,without=event_idx+indirect_desc",
    timeout = 60
)]
fn a_short_packed_queue_without_events_and_tables_is_used() {
    read_of_every_kind(&*disk());
    assert!(agreed("virtio0").contains(PACKED));
    wait(Stream::new(&*disk(), 32).run(500, true));
    assert_eq!(counters().driver.indirect, 0);
}

#[vm_test(machine = "virtio,packed,size=16M", timeout = 60)]
fn scattered_pages_go_through_tables_of_packed_queues() {
    let disk = disk();
    for pages in [1, 2, 3, 61, 62, 63, 300] {
        let mut memory = super::scattered(pages);
        memory.bytes_mut().fill(0xc5);
        let before = counters().driver;
        disk.read_now(8, memory.bytes_mut()).unwrap();
        let wrong = pattern::first_difference(seed(), 8 * 512, memory.bytes());
        assert_eq!(wrong, None, "{pages} pages");
        let after = counters().driver;
        assert_eq!(after.commands - before.commands, pages.div_ceil(62) as u64);
        assert_eq!(after.indirect > before.indirect, pages > 1, "{pages} pages");
    }
    let mut memory = super::scattered(200);
    pattern::fill(seed() ^ 99, 0, memory.bytes_mut());
    disk.write_now(64, memory.bytes()).unwrap();
    disk.flush_now().unwrap();
    host::assert_disk_pattern(0, 64 * 512, 200 * 4096, seed() ^ 99, 0);
}

#[vm_test(machine = "virtio,packed,smp=4,size=16M", timeout = 120)]
fn four_cores_read_through_packed_queues() {
    four_cores_read(4);
    assert!(agreed("virtio0").contains(PACKED));
}

#[vm_test(
    machine = "virtio,packed,size=16M,trace=virtio_queue_notify+virtio_blk_handle_read+memory_region_ops_read",
    timeout = 120
)]
fn a_packed_queue_is_notified_once_a_batch_and_costs_no_heap_and_no_lock() {
    deep_stream_costs();
}

/// One read at a time, asleep: each needs its interrupt.
#[vm_test(machine = "virtio,packed,size=16M", timeout = 60)]
fn a_packed_queue_that_sleeps_is_interrupted() {
    let before = free_or_heap_bytes();
    for number in 0..200 {
        wait(disk().read(8 * (number % 100), frames())).unwrap();
    }
    assert!(counters().interrupts >= 150, "{:?}", counters());
    assert!(before.saturating_sub(free_or_heap_bytes()) < 4 << 20);
}

#[vm_test(machine = "virtio,packed,smp=2,size=16M", timeout = 120)]
fn requests_survive_resets_of_packed_queues() {
    resets_under_load();
}
