//! Copies that the controller makes, and namespaces that two controllers have.

use super::bare::{bare, on_disk, status};
use super::disk_number;
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::drivers::nvme::hub::Controller;
use crate::memory::frames::Frames;
use crate::storage;
use alloc::vec;
use embassy_futures::yield_now;
use nvme::admin::Attachment;
use nvme::{Namespace, RequestError};
use vm_test::{control, host, pattern, seed, vm_test};

const BLOCK: u64 = 512;
const PAGE: u64 = 4096;

#[vm_test(
    machine = "copy=8,trace=pci_nvme_copy+pci_nvme_read+pci_nvme_write,size=16M",
    timeout = 60
)]
fn blocks_are_copied_and_none_comes_here() {
    let disk = bare(0, 1);
    let limits = disk.namespace.copy_limits.expect("it copies");
    assert_eq!(
        (limits.ranges, limits.range_blocks, limits.blocks),
        (1, 8, 8)
    );
    control::trace_mark();
    // More than a command may have: three of them.
    let copy = disk.namespace.copy(100, 5000, 20).expect("a copy");
    disk.perform(copy).expect("it copies");
    assert_eq!(control::trace_count("pci_nvme_copy"), 3);
    assert_eq!(control::trace_count("pci_nvme_read"), 0);
    assert_eq!(control::trace_count("pci_nvme_write"), 0);
    host::assert_disk_pattern(0, 5000 * BLOCK, 20 * BLOCK, seed(), 100 * BLOCK);
    // The source, and what is around the copy, are as they were.
    for block in [4999, 5020, 100] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
    let read = disk.namespace.read(5000, 20).expect("a read");
    let (data, _) = disk.bring(read).expect("it reads");
    assert_eq!(pattern::first_difference(seed(), 100 * BLOCK, &data), None);

    let overlap = disk.namespace.copy(100, 119, 20);
    assert_eq!(overlap, Err(RequestError::Overlap));
    // A block that cannot be read cannot be copied, and the target stays.
    control::faults(0, "read at 102400");
    let copy = disk.namespace.copy(200, 6000, 4).expect("a copy");
    assert_ne!(status(disk.perform(copy)), (0, 0));
    control::faults(0, "");
    host::assert_disk_pattern(0, 6000 * BLOCK, 4 * BLOCK, seed(), 6000 * BLOCK);
}

#[vm_test(machine = "copy=8,ms=8,pi=1,size=16M", timeout = 60)]
fn a_copy_of_protected_blocks_is_protected() {
    let disk = bare(0, 1);
    let mut data = vec![0; 8 * BLOCK as usize];
    pattern::fill(seed() ^ 3, 0, &mut data);
    let write = disk.namespace.write(100, 8).expect("a write");
    disk.send(write, &data, &[]).expect("it writes");
    let copy = |disk: &Namespace| disk.copy(100, 4000, 8).expect("a copy");
    disk.perform(copy(&disk.namespace)).expect("it copies");
    assert!(on_disk(0, 4000 * BLOCK, data.len()) == data);
    let read = disk.namespace.read(4000, 8).expect("a read");
    assert!(disk.bring(read).expect("the information is right").0 == data);
    // The reference tag of the first copied block, in the last four bytes of its information.
    let place = disk.namespace.blocks * BLOCK + 4000 * 8;
    assert_eq!(on_disk(0, place, 8)[4..], 4000_u32.to_be_bytes());
    // Damage is not passed on. QEMU 7.2 finds it, and says only that something went wrong inside.
    control::fill_disk(0, 103 * BLOCK, 8, seed() ^ 9, 0);
    assert_eq!(status(disk.perform(copy(&disk.namespace))), (0, 0x06));
    assert!(on_disk(0, 4000 * BLOCK, data.len()) == data);
}

fn controller(index: usize) -> Controller {
    let handle = storage::controllers()[index].controller();
    handle.expect("nobody takes it")
}

/// Lets the core's tasks run until there are so many disks.
fn until_disks(count: usize) {
    wait(async {
        while storage::volumes_known().len() != count {
            yield_now().await;
        }
    });
}

fn filled(seed: u64) -> Frames {
    let mut frames = Frames::zeroed(PAGE).expect("there is memory");
    pattern::fill(seed, 0, frames.bytes_mut());
    frames
}

#[vm_test(machine = "disks=2,shared,size=16M", timeout = 60)]
fn two_controllers_share_a_namespace() {
    let (first, second) = (disk_number(0), disk_number(1));
    assert_eq!((first.name(), second.name()), ("nvme0n1", "nvme1n1"));
    let bares = [0, 1].map(|index| bare(index, 1));
    assert!(bares.iter().all(|bare| bare.namespace.is_shared));
    let numbers = [0, 1].map(|index| controller(index).identity().controller);
    assert_ne!(numbers[0], numbers[1]);
    let has = wait(controller(0).controllers_of(1)).expect("it lists them");
    assert_eq!(has, numbers, "both have it");

    // What one writes, the other reads, and the image has.
    for (number, (writer, reader)) in (0..).zip([(&first, &second), (&second, &first)]) {
        let mine = seed() ^ (number + 1);
        wait(writer.write(64, filled(mine))).expect("it writes");
        wait(writer.flush()).expect("it is durable");
        host::assert_disk_pattern(0, 64 * BLOCK, PAGE, mine, 0);
        let frames = Frames::zeroed(PAGE).expect("there is memory");
        let read = wait(reader.read(64, frames)).expect("it reads");
        assert_eq!(pattern::first_difference(mine, 0, read.bytes()), None);
    }

    // Taken from one of them, it stays with the other.
    let both = controller(0);
    let detached = both.attach(1, Attachment::Detach, &numbers[1..]);
    wait(detached).expect("it is detached");
    until_disks(1);
    let frames = Frames::zeroed(PAGE).expect("there is memory");
    let gone = wait(second.read(64, frames)).map_err(|failed| failed.error);
    assert_eq!(gone.err(), Some(BlockError::Removed));
    assert!(wait(first.read(64, filled(0))).is_ok());
    // By the other's queue it is refused, and not by us alone.
    let read = bares[1].namespace.read(64, 1).expect("a read");
    assert_eq!(status(bares[1].bring(read)), (0, 0x02));
}
