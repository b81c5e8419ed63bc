//! What QEMU refuses, and what it does not: commands that are written by hand, because the driver sends
//! none of them.

use crate::dma::{DmaMemory, Domain};
use crate::vm_tests::held::Controller;
use core::ops::Range;
use phyr::DmaAddr;
use vm_test::{pattern, seed, vm_test};

const PAGE: usize = 4096;

/// A descriptor of part of some memory, as two words: address, length, identifier.
fn descriptor(memory: &DmaMemory, part: Range<u64>, identifier: u64) -> [u64; 2] {
    let part = memory.bus().sub(part.start, part.end - part.start);
    let part = part.expect("it is inside");
    [part.addr().get(), part.len() | identifier << 56]
}

const BLOCK: u64 = 0x00;
const LAST_SEGMENT: u64 = 0x30;

/// What QEMU says to commands that the driver never sends, and why it does not.
#[vm_test(machine = "nvme,size=16M,mdts=0", timeout = 60)]
fn d14_d15_e6_what_the_device_makes_of_commands_by_hand() {
    const SUCCESS: (u8, u8) = (0, 0);
    const INTERNAL_ERROR: (u8, u8) = (0, 0x06);
    const LENGTH_INVALID: (u8, u8) = (0, 0x0f);
    const OFFSET_INVALID: (u8, u8) = (0, 0x13);
    let mut controller = Controller::start();
    let data = DmaMemory::allocate(4 * PAGE as u64, &Domain::DIRECT, DmaAddr::new(u64::MAX))
        .expect("there is memory");
    let lists = DmaMemory::allocate(8 * PAGE as u64, &Domain::DIRECT, DmaAddr::new(u64::MAX))
        .expect("there is memory");
    let (at, list) = (data.bus().addr().get(), lists.bus().addr().get());
    let word = |offset: usize| data.load64(offset).to_le_bytes();

    // D14: two pieces with a gap, in a command that says PRP, and the same two in a list.
    let gap = [at + 3584, at + 4096 + 512];
    assert_eq!(controller.read_to(0, gap, 2), OFFSET_INVALID);
    for (index, start) in [3584, 4096 + 512].into_iter().enumerate() {
        let [low, high] = descriptor(&data, start..start + 512, BLOCK);
        lists.store64(index * 16, low);
        lists.store64(index * 16 + 8, high);
    }
    assert_eq!(
        controller.read_to(1, descriptor(&lists, 0..32, LAST_SEGMENT), 2),
        SUCCESS
    );
    assert_eq!(word(3584), pattern::word(seed(), 0));
    assert_eq!(word(4096 + 512), pattern::word(seed(), 64));
    assert_eq!(word(4096), [0; 8], "not where PRPs would lead");

    // E6: too short, and too long.
    assert_eq!(
        controller.read_to(1, descriptor(&data, 0..511, BLOCK), 1),
        LENGTH_INVALID
    );
    assert_eq!(
        controller.read_to(1, descriptor(&data, 0..513, BLOCK), 1),
        SUCCESS
    );

    // D15: as many pieces as QEMU takes, and one more. All of them are the same 512 bytes.
    for index in 0..1025 {
        let [low, high] = descriptor(&data, 0..512, BLOCK);
        lists.store64(index * 16, low);
        lists.store64(index * 16 + 8, high);
    }
    let pieces = |count: u64| descriptor(&lists, 0..count * 16, LAST_SEGMENT);
    assert_eq!(controller.read_to(1, pieces(1024), 1024), SUCCESS);
    assert_eq!(word(0), pattern::word(seed(), 1023 * 64));
    assert_eq!(controller.read_to(1, pieces(1025), 1025), INTERNAL_ERROR);

    // E10: the same with pages. A full list page ends with the way to the next one, if there is one.
    for (pages, expected) in [(1024, SUCCESS), (1025, INTERNAL_ERROR)] {
        let mut slot = 0;
        for left in (1..pages).rev() {
            if slot % 512 == 511 && left > 1 {
                lists.store64(slot * 8, list + (slot as u64 + 1) * 8);
                slot += 1;
            }
            lists.store64(slot * 8, at);
            slot += 1;
        }
        assert_eq!(controller.read_to(0, [at, list], pages * 8), expected);
        assert_eq!(word(0), pattern::word(seed(), 1023 * 512));
    }
}

/// Three segments by the specification, each as long as a page but the last. QEMU keeps the descriptor
/// that led to a segment in the buffer that it reads the segment into, and takes the middle one for
/// the last one if both of these end with a descriptor at the same place. So the driver makes them
/// end at different ones.
#[vm_test(machine = "nvme,size=16M,mdts=0", timeout = 60)]
fn qemu_refuses_chains_whose_links_stand_at_the_same_place() {
    const SEGMENT: u64 = 0x20;
    const SECOND: u64 = PAGE as u64;
    const THIRD: u64 = 2 * PAGE as u64;
    let mut controller = Controller::start();
    let data = DmaMemory::allocate(PAGE as u64, &Domain::DIRECT, DmaAddr::new(u64::MAX))
        .expect("there is memory");
    let lists = DmaMemory::allocate(3 * PAGE as u64, &Domain::DIRECT, DmaAddr::new(u64::MAX))
        .expect("there is memory");
    let put = |page: u64, index: u64, [low, high]: [u64; 2]| {
        let slot = (page * PAGE as u64 + index * 16) as usize;
        lists.store64(slot, low);
        lists.store64(slot + 8, high);
    };
    for (second, expected) in [(255, (0, 0x0d)), (254, (0, 0)), (1, (0, 0))] {
        for (page, blocks) in [(0, 255), (1, second), (2, 2)] {
            (0..blocks).for_each(|index| put(page, index, descriptor(&data, 0..512, BLOCK)));
        }
        let middle = descriptor(&lists, SECOND..SECOND + (second + 1) * 16, SEGMENT);
        put(0, 255, middle);
        put(
            1,
            second,
            descriptor(&lists, THIRD..THIRD + 32, LAST_SEGMENT),
        );
        let blocks = 255 + second + 2;
        let status = controller.read_to(1, descriptor(&lists, 0..SECOND, SEGMENT), blocks);
        assert_eq!(status, expected, "{second} blocks in the middle");
    }
}
