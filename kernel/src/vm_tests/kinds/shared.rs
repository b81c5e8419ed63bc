//! Memory that is shared with the host; and what is true of any.

use super::super::disk;
use super::{
    BLOCK, GIB, KIB, MIB, PAGE, both_ways, canary, check_canaries, provider, set_canaries,
};
use crate::block::blocking::wait;
use crate::dma::{Memory, Mixed, Owner, Phyrs};
use crate::memory::regions::{Kind, RegionError};
use alloc::vec;
use vm_test::{host, pattern, seed, vm_test};

#[vm_test(machine = "nvme,size=16M,ivshmem=4M", timeout = 60)]
fn b1_b2_shared_memory_both_ways() {
    assert_eq!(provider("ivshmem0").kind(), Kind::Shared);
    for (at, len, block) in [
        (PAGE, BLOCK, 1),
        (64 * KIB, PAGE, 9),
        // Neither starts nor ends with a page.
        (128 * KIB + 1536, 3 * PAGE, 100),
        // More than one command.
        (MIB, 2 * MIB, 1000),
        // Up to the last byte.
        (4 * MIB - 64 * KIB, 64 * KIB, 20_000),
    ] {
        both_ways("ivshmem0", at, len, block);
    }
}

#[vm_test(
    machine = "nvme,size=16M,ivshmem=1M,switch,firmware=qboot",
    timeout = 60
)]
fn b1_b2_shared_memory_and_a_disk_behind_a_switch() {
    both_ways("ivshmem0", 8 * KIB, 64 * KIB, 7);
}

/// More than 4 GiB in one phyr: a length of 32 bits would be 0.
#[vm_test(machine = "nvme,size=16M,ivshmem=8G", timeout = 120)]
fn a5_longer_than_4_gib() {
    const LEN: u64 = 8 * GIB;
    let region = provider("ivshmem0").claim_all().unwrap();
    assert_eq!(region.phyr().len(), LEN);
    let mut memory = region.into_memory();
    let Ok(Phyrs::One(phyr)) = memory.phyrs() else {
        panic!("it is one phyr");
    };
    assert_eq!(phyr.len(), LEN);
    let places = [0, 4 * GIB - MIB / 2, LEN - MIB];
    for (number, at) in places.into_iter().enumerate() {
        set_canaries("ivshmem0", at, MIB);
        let part = memory.part(at as usize..(at + MIB) as usize).unwrap();
        let Ok(Phyrs::One(piece)) = part.phyrs() else {
            panic!("also a part that crosses 4 GiB is one phyr");
        };
        assert_eq!(piece, phyr.sub(at, MIB).unwrap());
        let block = 1 + 2048 * number as u64;
        let part = wait(disk().read(block, part)).unwrap();
        host::assert_file_pattern("ivshmem0", at, MIB, seed(), block * BLOCK);
        check_canaries("ivshmem0", at, MIB);
        memory = part.whole();
    }
    // And back to the disk from across 4 GiB, together with what lies beside it.
    let at = 4 * GIB - MIB / 2 - PAGE;
    let part = memory.part(at as usize..(at + 2 * PAGE) as usize).unwrap();
    wait(disk().write(10_000, part)).unwrap();
    wait(disk().flush()).unwrap();
    host::assert_disk_pattern(0, 10_000 * BLOCK, PAGE, canary(), at);
    host::assert_disk_pattern(0, 10_000 * BLOCK + PAGE, PAGE, seed(), 2049 * BLOCK);
}

/// There is no metadata for this memory, and contiguous it is all the same.
#[vm_test(machine = "ivshmem=64M")]
fn a9_contiguous_without_page_structures() {
    let (front, back) = provider("ivshmem0")
        .claim_all()
        .unwrap()
        .split_at(5 * MIB + 12)
        .unwrap();
    let mut mixed = Mixed::new();
    mixed.push(front);
    mixed.push(back);
    let Ok(Phyrs::One(phyr)) = mixed.into_memory().phyrs() else {
        panic!("two parts of one device that touch are one phyr");
    };
    assert_eq!(phyr, provider("ivshmem0").phyr());
}

#[vm_test(machine = "ivshmem=4M")]
fn b7_the_cpu_loads_and_stores_what_the_host_sees() {
    let mut region = provider("ivshmem0").claim(MIB - 3, MIB + 11).unwrap();
    let len = region.phyr().len() as usize;
    set_canaries("ivshmem0", MIB - 3, len as u64);
    let mut bytes = vec![0; len];
    // Any start and any length, as long as it is inside.
    for (start, len) in [(0, len), (1, 7), (5, 8), (3, 4099), (len - 1, 1), (9, 0)] {
        pattern::fill(seed(), start as u64, &mut bytes[..len]);
        region.write(start as u64, &bytes[..len]).unwrap();
        let at = MIB - 3 + start as u64;
        host::assert_file_pattern("ivshmem0", at, len as u64, seed(), start as u64);
        host::fill_file("ivshmem0", at, len as u64, seed() ^ 1, 77);
        region.read(start as u64, &mut bytes[..len]).unwrap();
        assert_eq!(
            pattern::first_difference(seed() ^ 1, 77, &bytes[..len]),
            None
        );
    }
    check_canaries("ivshmem0", MIB - 3, len as u64);
    let end = len as u64;
    for (start, len) in [(end, 1), (end - 1, 2), (u64::MAX, 2), (u64::MAX, 1)] {
        let wrong = region.read(start, &mut bytes[..len]);
        assert_eq!(wrong, Err(RegionError::OutOfRange));
        let wrong = region.write(start, &bytes[..len]);
        assert_eq!(wrong, Err(RegionError::OutOfRange));
    }
}

/// QEMU reports success for data that went nowhere. The checks of these tests must see that.
#[vm_test(
    machine = "nvme,size=1M,hole",
    should_panic = "differ from the pattern of the disk"
)]
fn b9_a_board_without_memory_is_found_out() {
    let machine = crate::machine::machine();
    let is_it = |function: &crate::pci::Function| (function.vendor, function.device) == (0x1b36, 5);
    let function = machine.functions().into_iter().find(is_it).unwrap();
    let device = machine.owners.as_ref().unwrap().claim(&function).unwrap();
    let bar = function
        .bars
        .iter()
        .find(|bar| bar.phyr.len() == MIB)
        .unwrap();
    let name = crate::storage::Name::numbered("hole");
    let all = crate::pci::device::BarPart::All;
    // SAFETY: it is a lie, and this test is about lies. Nothing else is at these addresses.
    let hole = unsafe { device.bars().memory(bar.index, all, name, Kind::Device) }.unwrap();
    let region = hole.claim(0, 64 * KIB).unwrap();
    let region = wait(disk().read(1, region)).expect("QEMU says that it is done");
    let mut bytes = vec![0; 64 << 10];
    region.read(0, &mut bytes).unwrap();
    let wrong = pattern::first_difference(seed(), BLOCK, &bytes);
    assert_eq!(wrong, None, "bytes differ from the pattern of the disk");
}

/// What is no RAM has no `&[u8]`, whoever asks.
#[vm_test(machine = "ivshmem=1M", should_panic = "no bytes to borrow")]
fn d19_what_is_no_ram_has_no_bytes_to_borrow() {
    let memory: Memory = provider("ivshmem0").claim_all().unwrap().into_memory();
    let _ = memory.bytes();
}
