//! Memory that a hypervisor makes of register accesses, and a device that is a program.
//!
//! QEMU lends a virtio device a copy of a single page for all such memory. A request of more than that it
//! answers by DEVICE_NEEDS_RESET. So the kernel copies by itself, and only that.

use super::{BLOCK, KIB, PAGE, provider};
use crate::block::BlockDevice;
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner};
use crate::memory::frames::Frames;
use crate::memory::regions::Region;
use crate::storage;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use vm_test::{host, pattern, seed, vm_test};

fn virtio() -> Arc<dyn BlockDevice> {
    storage::volume("vda").expect("the machine has it").device
}

/// How many bytes were copied, and commands sent, since these numbers.
fn work() -> (u64, u64) {
    let drive = &storage::virtio_disks()[0];
    let counters = drive.counters().expect("the core has a queue");
    assert_eq!(drive.disk().resets(), 0, "the device never needs one");
    (drive.bounced(), counters.driver.commands)
}

/// What QEMU would do without a copy, and what it does with one page; both go well, in both directions.
#[vm_test(machine = "nvme,beside=virtio,size=16M,cmb=1M", timeout = 60)]
fn e12_a_controllers_buffer_is_copied_for_a_virtio_disk() {
    let disk = virtio();
    let buffer = provider("nvme0cmb");
    for (number, len) in [BLOCK, PAGE, PAGE + BLOCK, 64 * KIB, 512 * KIB]
        .into_iter()
        .enumerate()
    {
        let block = 2000 * (1 + number as u64);
        let before = work();
        let region = wait(disk.read(block, buffer.claim(PAGE, len).unwrap())).unwrap();
        host::assert_physical(region.phyr(), seed() + 1, block * BLOCK);
        let mut region = region;
        let mut bytes = vec![0; len as usize];
        pattern::fill(seed() ^ 12, block, &mut bytes);
        region.write(0, &bytes).unwrap();
        drop(wait(disk.write(block + 7, region)).unwrap());
        wait(disk.flush()).unwrap();
        host::assert_disk_pattern(1, (block + 7) * BLOCK, len, seed() ^ 12, block);
        let after = work();
        assert_eq!(after.0 - before.0, 2 * len, "all of it, both ways");
        assert_eq!(after.1 - before.1, 3, "a read, a write, and a flush");
    }
    assert_eq!(buffer.free(), [buffer.phyr()]);
}

/// RAM, a board and the buffer in one request: one command, of which the buffer's part is copied, and what is
/// beside it is not touched.
#[vm_test(
    machine = "nvme,beside=virtio,size=16M,cmb=1M,ivshmem=1M",
    timeout = 60
)]
fn e12_only_the_buffers_part_of_a_request_is_copied() {
    const LENGTHS: [u64; 5] = [3 * BLOCK, 20 * KIB, 8 * KIB, 12 * KIB, 2 * BLOCK];
    let disk = virtio();
    let pieces = || {
        let own = |at, len| provider("nvme0cmb").claim(at, len).unwrap();
        let mut mixed = Mixed::new();
        mixed.push(vec![0xc5; LENGTHS[0] as usize]);
        mixed.push(own(PAGE, LENGTHS[1]));
        mixed.push(provider("ivshmem0").claim(PAGE, LENGTHS[2]).unwrap());
        mixed.push(own(64 * KIB, LENGTHS[3]));
        mixed.push(vec![0xc5; LENGTHS[4] as usize]);
        mixed
    };
    let beside = [
        provider("nvme0cmb").claim(0, PAGE).unwrap(),
        provider("nvme0cmb").claim(PAGE + LENGTHS[1], PAGE).unwrap(),
    ];
    let mut beside = beside;
    for side in &mut beside {
        side.fill(0, PAGE, 0xc5).unwrap();
    }
    let before = work();
    let mixed = wait(disk.read(33, pieces())).unwrap();
    let after = work();
    assert_eq!(after.0 - before.0, LENGTHS[1] + LENGTHS[3]);
    assert_eq!(after.1 - before.1, 1, "it is one command");
    let mut offset = 33 * BLOCK;
    let pieces = mixed.into_pieces();
    for (piece, len) in pieces.iter().zip(LENGTHS) {
        let mut bytes = vec![0; len as usize];
        piece.copy_to(0, &mut bytes).unwrap();
        assert_eq!(pattern::first_difference(seed() + 1, offset, &bytes), None);
        offset += len;
    }
    let board = 33 * BLOCK + LENGTHS[0] + LENGTHS[1];
    host::assert_file_pattern("ivshmem0", PAGE, LENGTHS[2], seed() + 1, board);
    for side in &beside {
        let mut bytes = vec![0; PAGE as usize];
        side.read(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0xc5));
    }
    // And all of it to the disk again, elsewhere.
    let mut mixed = Mixed::new();
    pieces.into_iter().for_each(|piece| mixed.push(piece));
    let len = mixed.len() as u64;
    let mixed = wait(disk.write(9000, mixed)).unwrap();
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(1, 9000 * BLOCK, len, seed() + 1, 33 * BLOCK);
    let kinds: Vec<bool> = mixed
        .into_pieces()
        .into_iter()
        .map(|piece| Region::from_memory(piece).is_ok())
        .collect();
    assert_eq!(kinds, [false, true, true, true, false]);
}

/// Nothing else is ever copied: RAM in pieces, a board, and both.
#[vm_test(machine = "virtio,size=16M,ivshmem=1M", timeout = 60)]
fn e12_other_memory_is_not_copied() {
    let disk = virtio();
    let mut mixed = Mixed::new();
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    mixed.push(provider("ivshmem0").claim(PAGE, 8 * KIB).unwrap());
    drop(wait(disk.read(3, mixed)).unwrap());
    let region = provider("ivshmem0").claim(PAGE, 8 * KIB).unwrap();
    drop(wait(disk.write(3, region)).unwrap());
    assert_eq!(work().0, 0);
}
