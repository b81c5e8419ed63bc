//! Data between disks and memory, judged by content and by the host.
//!
//! Disks hold a pattern that depends on the seed of this boot and on the position, so a byte from
//! the wrong place, or from another run, is a wrong byte.

use super::{disk, disk_number, scattered};
use crate::block::{BlockDevice, BlockError, counters, read_at};
use crate::dma::{Owner, Phyrs};
use crate::memory::frames::{Frames, window, with_allocator};
use crate::memory::window::Window;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use vm_test::{host, pattern, seed, vm_test};

const PAGE: usize = 4096;
const CANARY: u8 = 0xc5;

/// Reads at `block` into the middle of a canary and checks content, canary and the host's view.
pub(super) fn read_between_canaries(device: &dyn BlockDevice, block: u64, len: usize) {
    let block_size = device.geometry().block_size as usize;
    let mut frames = Frames::allocate((len + 2 * PAGE).next_multiple_of(PAGE) as u64).unwrap();
    frames.bytes_mut().fill(CANARY);
    device
        .read_now(block, &mut frames.bytes_mut()[PAGE..PAGE + len])
        .unwrap();
    let position = block * block_size as u64;
    let bytes = frames.bytes();
    assert_eq!(
        pattern::first_difference(seed(), position, &bytes[PAGE..PAGE + len]),
        None,
        "{len} bytes at block {block}"
    );
    assert!(
        bytes[..PAGE]
            .iter()
            .chain(&bytes[PAGE + len..])
            .all(|byte| *byte == CANARY),
        "{len} bytes at block {block}"
    );
    let memory = frames.phyr().sub(PAGE as u64, len as u64).unwrap();
    host::assert_pattern(memory, seed(), position);
}

pub(super) fn read_of_every_kind(device: &dyn BlockDevice) {
    let geometry = device.geometry();
    let block_size = geometry.block_size as usize;
    // One block; less and more than a page; a page list; a chained page list.
    for len in [block_size, 2 * PAGE, 3 * PAGE, 64 << 10, 2 << 20, 5 << 20] {
        read_between_canaries(device, 3, len);
    }
    let last = geometry.blocks - 1;
    read_between_canaries(device, last, block_size);
    let few = geometry.blocks - 7;
    read_between_canaries(device, few, 7 * block_size);
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn reads_of_every_length_in_blocks_of_512() {
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "nvme,size=16M,lba=4096", timeout = 60)]
fn reads_of_every_length_in_blocks_of_4096() {
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "nvme,size=16M,mdts=1", timeout = 60)]
fn reads_of_every_length_two_pages_at_a_time() {
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "nvme,size=16M,mdts=0,lba=4096", timeout = 60)]
fn reads_of_every_length_without_a_transfer_limit() {
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "nvme,size=16M,switch,firmware=qboot", timeout = 60)]
fn reads_behind_a_switch() {
    read_of_every_kind(&*disk());
}

#[vm_test(machine = "nvme,size=64M,mdts=0", timeout = 60)]
fn a_long_read_needs_chained_lists_and_several_commands() {
    read_between_canaries(&*disk(), 0, 40 << 20);
}

/// Pages that come in descending order with gaps: swapped or shifted entries give wrong content.
#[vm_test(machine = "nvme,size=16M,mdts=0", timeout = 60)]
fn scattered_pages_are_filled_in_their_order() {
    for pages in [1, 2, 3, 511, 512, 513, 1024, 1025] {
        let mut memory = scattered(pages);
        let range = crate::memory::virt::VirtRange::of(memory.bytes()).unwrap();
        assert_eq!(
            crate::memory::translate(range).unwrap().len(),
            pages,
            "no two pages touch"
        );
        disk().read_now(8, memory.bytes_mut()).unwrap();
        assert_eq!(
            pattern::first_difference(seed(), 8 * 512, memory.bytes()),
            None,
            "{pages} pages"
        );
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn scattered_memory_may_start_inside_a_page() {
    let mut memory = scattered(8);
    memory.bytes_mut().fill(CANARY);
    for (start, len) in [
        (4, 512),
        (512, 512),
        (4092, 512),
        (1000, 4096),
        (2048, 6 * PAGE),
        (3584, 1024),
    ] {
        disk()
            .read_now(1, &mut memory.bytes_mut()[start..start + len])
            .unwrap();
        assert_eq!(
            pattern::first_difference(seed(), 512, &memory.bytes()[start..start + len]),
            None,
            "{len} at {start}"
        );
        let bytes = memory.bytes_mut();
        bytes[start..start + len].fill(CANARY);
        assert!(
            bytes.iter().all(|byte| *byte == CANARY),
            "{len} at {start} wrote elsewhere"
        );
    }
}

#[vm_test(machine = "nvme,size=16M")]
fn whole_blocks_go_straight_to_where_they_are_wanted() {
    let (disk, mut bytes) = (disk(), vec![0u8; 1 << 20]);
    let before = counters();
    read_at(&*disk, 512 * 5, &mut bytes).unwrap();
    let after = counters();
    assert_eq!(pattern::first_difference(seed(), 512 * 5, &bytes), None);
    assert_eq!(
        (after.direct - before.direct, after.copied - before.copied),
        (1 << 20, 0)
    );
}

/// The counters only say what the code believes. Without a page left to copy through, data that
/// arrives cannot have gone another way.
#[vm_test(machine = "nvme,size=16M,ram=64M")]
fn whole_blocks_need_no_memory_but_their_own() {
    let (disk, mut bytes) = (disk(), vec![0u8; 1 << 20]);
    let mut taken: Vec<Frames> = Vec::with_capacity(1024);
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        taken.push(Frames::allocate(largest.len()).expect("the largest extent can be had"));
    }
    read_at(&*disk, 512 * 5, &mut bytes).expect("nothing has to be copied");
    let cut = read_at(&*disk, 1, &mut [0; 10]);
    assert_eq!(cut, Err(BlockError::OutOfMemory), "a cut block is copied");
    taken.clear();
    assert_eq!(pattern::first_difference(seed(), 512 * 5, &bytes), None);
}

#[vm_test(machine = "nvme,size=16M,lba=4096", timeout = 60)]
fn bytes_at_any_place_can_be_read() {
    let mut bytes = vec![0u8; 40_000];
    for (start, len, skew) in [
        (0, 1, 0),
        (4095, 2, 0),
        (1, 4094, 1),
        (4096, 4096, 2),
        (5000, 20_000, 3),
        (8191, 8193, 4),
        (123_457, 33_333, 5),
        ((16 << 20) - 9000, 9000, 1),
    ] {
        bytes.fill(CANARY);
        read_at(&*disk(), start, &mut bytes[skew..skew + len]).unwrap();
        assert_eq!(
            pattern::first_difference(seed(), start, &bytes[skew..skew + len]),
            None,
            "{len} bytes at {start}"
        );
        assert!(
            bytes[..skew]
                .iter()
                .chain(&bytes[skew + len..])
                .all(|byte| *byte == CANARY)
        );
    }
}

pub(super) fn write_and_look(device: &dyn BlockDevice, block: u64, len: usize) {
    let block_size = u64::from(device.geometry().block_size);
    let mine = seed() ^ 0x1234_5678 ^ block;
    let mut frames = Frames::allocate((len as u64).next_multiple_of(PAGE as u64)).unwrap();
    pattern::fill(mine, 0, &mut frames.bytes_mut()[..len]);
    device.write_now(block, &frames.bytes()[..len]).unwrap();
    device.flush_now().unwrap();
    host::assert_disk_pattern(0, block * block_size, len as u64, mine, 0);
    // The blocks on both sides still hold what they held.
    host::assert_disk_pattern(
        0,
        (block - 1) * block_size,
        block_size,
        seed(),
        (block - 1) * block_size,
    );
    let behind = block * block_size + len as u64;
    host::assert_disk_pattern(0, behind, block_size, seed(), behind);
    // The memory that was written from is as it was.
    assert_eq!(
        pattern::first_difference(mine, 0, &frames.bytes()[..len]),
        None
    );
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn the_host_finds_what_was_written_in_blocks_of_512() {
    for (block, len) in [(1, 512), (100, 4096), (2000, 64 << 10), (4000, 3 << 20)] {
        write_and_look(&*disk(), block, len);
    }
}

#[vm_test(machine = "nvme,size=16M,lba=4096,mdts=1", timeout = 60)]
fn the_host_finds_what_was_written_in_blocks_of_4096() {
    for (block, len) in [(1, 4096), (100, 12 << 10), (2000, 1 << 20)] {
        write_and_look(&*disk(), block, len);
    }
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn scattered_pages_are_written_in_their_order() {
    let mut memory = scattered(600);
    pattern::fill(seed() ^ 99, 0, memory.bytes_mut());
    disk().write_now(64, memory.bytes()).unwrap();
    disk().flush_now().unwrap();
    host::assert_disk_pattern(0, 64 * 512, 600 * PAGE as u64, seed() ^ 99, 0);
}

#[vm_test(machine = "disks=2,size=16M")]
fn two_controllers_do_not_mix_their_data() {
    let mut bytes: Vec<u8> = vec![0; 1 << 20];
    for (number, disk) in [
        (0, disk_number(0)),
        (1, disk_number(1)),
        (0, disk_number(0)),
    ] {
        disk.read_now(16, &mut bytes).unwrap();
        // Each disk has its own pattern.
        assert_eq!(
            pattern::first_difference(seed().wrapping_add(number), 16 * 512, &bytes),
            None,
            "disk {number}"
        );
    }
}

#[vm_test(machine = "nvme,size=16M")]
fn requests_beyond_the_end_are_refused_and_touch_nothing() {
    let blocks = disk().geometry().blocks;
    let mut bytes = vec![CANARY; 8192];
    for (block, len) in [
        (blocks, 512),
        (blocks - 1, 1024),
        (u64::MAX, 512),
        (u64::MAX - 1, 8192),
    ] {
        assert_eq!(
            disk().read_now(block, &mut bytes[..len]),
            Err(BlockError::OutOfRange),
            "{block}"
        );
        assert_eq!(
            disk().write_now(block, &bytes[..len]),
            Err(BlockError::OutOfRange),
            "{block}"
        );
    }
    assert!(bytes.iter().all(|byte| *byte == CANARY));
    assert_eq!(
        disk().read_now(0, &mut bytes[..100]),
        Err(BlockError::Length)
    );
    assert_eq!(disk().read_now(0, &mut []), Err(BlockError::Length));
    assert_eq!(
        read_at(&*disk(), (16 << 20) - 10, &mut bytes[..11]),
        Err(BlockError::OutOfRange)
    );
    host::assert_disk_pattern(0, 0, 16 << 20, seed(), 0);
    // It goes on working.
    disk().read_now(0, &mut bytes[..512]).unwrap();
    assert_eq!(pattern::first_difference(seed(), 0, &bytes[..512]), None);
}

#[vm_test]
fn a8_memory_is_described_by_as_few_phyrs_as_there_can_be() {
    let frames = Frames::allocate(1 << 20).unwrap();
    let phyr = frames.phyr();
    assert_eq!(window().pointer(phyr.addr()), frames.pointer());
    let memory = frames.into_memory();
    assert!(matches!(memory.phyrs(), Ok(Phyrs::One(only)) if only == phyr));
    // The heap lies in the direct map, so it is as easy to find.
    let heap = vec![0u8; 1 << 20].into_memory();
    let Ok(Phyrs::One(phyr)) = heap.phyrs() else {
        panic!("the heap is in the direct map");
    };
    assert_eq!(
        window().pointer(phyr.addr()).as_ptr().cast_const(),
        heap.bytes().as_ptr()
    );
    // And what the page tables say is the same.
    let range = crate::memory::virt::VirtRange::of(heap.bytes()).unwrap();
    assert_eq!(crate::memory::translate(range).unwrap().first(), Some(phyr));
    let Ok(Phyrs::List(pieces)) = Box::new(scattered(3)).into_memory().phyrs() else {
        panic!("no two pages touch");
    };
    assert_eq!(pieces.phyrs().len(), 3);
}

/// One phyr of 64 KiB, and a controller that takes two pages at a time: QEMU counts the commands.
#[vm_test(machine = "nvme,size=16M,mdts=1,trace=pci_nvme_read")]
fn d10_64_kib_in_one_phyr_are_commands_that_the_controller_takes() {
    let disk = disk();
    disk.read_now(0, &mut [0; 512]).unwrap();
    vm_test::control::trace_mark();
    read_between_canaries(&*disk, 8, 64 << 10);
    assert_eq!(vm_test::control::trace_count("pci_nvme_read"), 8);
}
