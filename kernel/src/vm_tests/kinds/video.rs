//! The memory of a screen.

use super::super::{disk, disk_number};
use super::{BLOCK, KIB, MIB, PAGE, check_canaries, provider, set_canaries};
use crate::block::blocking::wait;
use crate::dma::{Mixed, Owner};
use crate::drivers::boards;
use crate::drivers::display::{DisplayError, Frame};
use crate::memory::frames::Frames;
use crate::memory::mapping;
use crate::memory::mapping::Mapping;
use crate::memory::paging::Rights;
use crate::memory::regions::{Kind, Region};
use crate::memory::virt::{VirtAddr, VirtRange};
use vm_test::{host, pattern, seed, vm_test};

const WIDTH: u16 = 320;
const HEIGHT: u16 = 192;
const PIXELS: u64 = WIDTH as u64 * HEIGHT as u64;

fn frame(start: u64) -> Frame {
    let (width, height) = (WIDTH, HEIGHT);
    Frame {
        width,
        height,
        start,
    }
}

/// How many pixels show the pattern from this byte on.
fn seen(offset: u64) -> u64 {
    host::equal_pixels(u64::from(WIDTH), u64::from(HEIGHT), seed(), offset)
}

/// A picture goes from the disk to the screen, and no CPU touches a pixel.
#[vm_test(machine = "nvme,size=16M,display", timeout = 60)]
fn b1_video_memory_a_picture_by_dma_alone() {
    let display = boards::displays().pop().expect("there is a screen");
    let vram = display.memory();
    assert_eq!((vram.kind(), vram.phyr().len()), (Kind::Video, 16 * MIB));
    // At the start of the memory; and somewhere in it, with the first pixel inside of a block.
    for (at, block, skip) in [(0, 1, 0), (5 * MIB + 3 * PAGE, 700, 56)] {
        let len = (skip + PIXELS * 4).next_multiple_of(BLOCK);
        let region = vram.claim(at, len).unwrap();
        let region = wait(disk().read(block, region)).unwrap();
        drop(display.show(region, frame(skip)).unwrap());
        assert_eq!(seen(block * BLOCK + skip), PIXELS);
        // Four bytes further it would be another picture: the witness looks.
        assert_eq!(seen(block * BLOCK + skip + 4), 0);
    }
    // And from the screen to the disk.
    let region = display.blank().expect("it has shown something");
    let len = region.phyr().len();
    drop(wait(disk().write(20_000, region)).unwrap());
    wait(disk().flush()).unwrap();
    host::assert_disk_pattern(0, 20_000 * BLOCK, len, seed(), 700 * BLOCK);
    assert_eq!(vram.free(), [vram.phyr()]);
}

#[vm_test(machine = "nvme,size=16M,display,ivshmem=1M")]
fn what_is_not_in_the_screens_memory_is_not_shown() {
    let display = boards::displays().pop().expect("there is a screen");
    let vram = display.memory();
    let show = |region: Region, frame| display.show(region, frame).unwrap_err().0;
    let all = || vram.claim_all().unwrap();
    let other = provider("ivshmem0").claim_all().unwrap();
    assert_eq!(show(other, frame(0)), DisplayError::NotItsMemory);
    for start in [2, 16 * MIB - PIXELS * 4 + 4, u64::MAX - 3] {
        assert_eq!(show(all(), frame(start)), DisplayError::NotInside);
    }
    let end = vram.claim(16 * MIB - PIXELS * 4 + 4, PIXELS * 4 - 4);
    assert_eq!(show(end.unwrap(), frame(0)), DisplayError::NotInside);
    let small = Frame {
        height: 63,
        ..frame(0)
    };
    assert_eq!(show(all(), small), DisplayError::TooSmall);
    // The last pixel may be the last of the memory.
    let end = vram.claim(16 * MIB - PIXELS * 4, PIXELS * 4).unwrap();
    let end = wait(disk().read(9, end)).unwrap();
    assert!(display.show(end, frame(0)).is_ok());
    assert_eq!(seen(9 * BLOCK), PIXELS);
}

/// Three kinds in one request: RAM, a board that is shared, and the screen.
#[vm_test(machine = "nvme,size=16M,display,ivshmem=1M,mdts=0", timeout = 60)]
fn d17_ram_a_board_and_video_memory_in_one_request() {
    let display = boards::displays().pop().expect("there is a screen");
    set_canaries("ivshmem0", PAGE, 64 * KIB);
    let mut mixed = Mixed::new();
    mixed.push(Frames::zeroed(8 * KIB).unwrap());
    mixed.push(provider("ivshmem0").claim(PAGE, 64 * KIB).unwrap());
    mixed.push(display.memory().claim(0, PIXELS * 4).unwrap());
    mixed.push(Frames::zeroed(PAGE).unwrap());
    let disk = disk();
    let counters = || crate::storage::controllers()[0].counters().unwrap();
    let before = counters();
    let mixed = wait(disk.read(3, mixed)).unwrap();
    assert_eq!(
        counters().completed - before.completed,
        1,
        "it is one command"
    );
    let mut pieces = mixed.into_pieces().into_iter();
    let mut next = || pieces.next().unwrap();
    let first = Frames::from_memory(next()).unwrap();
    let start = 3 * BLOCK;
    assert_eq!(
        pattern::first_difference(seed(), start, first.bytes()),
        None
    );
    drop(next());
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), start + 8 * KIB);
    check_canaries("ivshmem0", PAGE, 64 * KIB);
    let video = Region::from_memory(next()).unwrap();
    drop(display.show(video, frame(0)).unwrap());
    assert_eq!(seen(start + 72 * KIB), PIXELS);
    let last = Frames::from_memory(next()).unwrap();
    let offset = start + 72 * KIB + PIXELS * 4;
    assert_eq!(
        pattern::first_difference(seed(), offset, last.bytes()),
        None
    );
}

#[vm_test(machine = "disks=2,size=16M,display", timeout = 60)]
fn e15_two_drivers_share_memory_that_the_cpu_does_not_map() {
    hand_on_what_the_cpu_does_not_map();
}

/// An NVMe disk reads into it, and a virtio disk writes from it.
#[vm_test(machine = "nvme,beside=virtio,size=16M,display", timeout = 60)]
fn e15_drivers_of_two_kinds_share_memory_that_the_cpu_does_not_map() {
    hand_on_what_the_cpu_does_not_map();
    assert_eq!(crate::storage::virtio_disks()[0].bounced(), 0);
}

/// The drivers of the first and the second disk hand memory on that the CPU cannot reach: it is in no page table.
fn hand_on_what_the_cpu_does_not_map() {
    let vram = boards::displays()
        .pop()
        .expect("there is a screen")
        .memory()
        .clone();
    let is_mapped = || {
        let mut found = false;
        let start = VirtAddr::new(0xffff_8000_0000_0000).unwrap();
        let upper = VirtRange::new(start, (1 << 47) - PAGE).unwrap();
        mapping::with_tables(|tables| {
            tables.visit(upper, |leaf| found |= leaf.phyr.overlaps(vram.phyr()));
        });
        found
    };
    // The search finds what there is to find.
    // SAFETY: nothing is read or written there.
    let mapping = unsafe { Mapping::map(vram.phyr(), Rights::ReadOnly, vram.cache()) };
    assert!(is_mapped());
    drop(mapping);
    let region = vram.claim(3 * PAGE, 256 * KIB).unwrap();
    let region = wait(disk().read(77, region)).unwrap();
    assert!(!is_mapped());
    drop(wait(disk_number(1).write(500, region)).unwrap());
    assert!(!is_mapped());
    wait(disk_number(1).flush()).unwrap();
    host::assert_disk_pattern(1, 500 * BLOCK, 256 * KIB, seed(), 77 * BLOCK);
    for block in [499, 500 + 512] {
        host::assert_disk_pattern(1, block * BLOCK, BLOCK, seed() + 1, block * BLOCK);
    }
}
