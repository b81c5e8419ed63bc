//! Memory of every kind as source and target of a disk's requests.
//!
//! The name of a test says which kind, or what follows from there being several. A request that a device
//! reports as done proves nothing: QEMU reports that also where the data went nowhere. So each test
//! compares content, has known bytes on both sides of what is written, and asks a witness outside
//! of the machine: the file behind the memory, or a screenshot.

use super::{disk, scattered};
use crate::block::BlockError;
use crate::block::blocking::wait;
use crate::dma::{BufferError, Memory, Mixed, Owner, Phyrs};
use crate::memory::frames::Frames;
use crate::memory::regions::{self, ClaimError, Kind, Provider, Region, RegionError};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::ops::Range;
use vm_test::{host, pattern, seed, vm_test};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;
const BLOCK: u64 = 512;

/// The seed of what lies beside the data.
fn canary() -> u64 {
    seed() ^ 0xca0a_71e5
}

/// The memory of this name.
fn provider(name: &str) -> Arc<Provider> {
    regions::find(name).expect("the machine has such memory")
}

/// Fills a page on both sides of a part of a file.
fn set_canaries(file: &str, at: u64, len: u64) {
    for side in beside(file, at, len) {
        host::fill_file(
            file,
            side.start,
            side.end - side.start,
            canary(),
            side.start,
        );
    }
}

/// The host finds both sides as they were.
fn check_canaries(file: &str, at: u64, len: u64) {
    for side in beside(file, at, len) {
        let len = side.end - side.start;
        host::assert_file_pattern(file, side.start, len, canary(), side.start);
    }
}

/// A page on each side, where the memory has one.
fn beside(file: &str, at: u64, len: u64) -> [Range<u64>; 2] {
    let end = provider(file).phyr().len();
    let behind = at + len;
    [
        at.saturating_sub(PAGE)..at,
        behind..(behind + PAGE).min(end),
    ]
}

/// What the CPU reads is the pattern.
fn check_by_cpu(region: &Region, seed: u64, offset: u64) {
    let mut bytes = vec![0; region.phyr().len() as usize];
    region.read(0, &mut bytes).expect("the CPU reaches it");
    assert_eq!(pattern::first_difference(seed, offset, &bytes), None);
}

/// From the disk into memory with a file behind it, and from other bytes there back to the disk.
fn both_ways(file: &str, at: u64, len: u64, block: u64) {
    let disk = disk();
    set_canaries(file, at, len);
    let region = provider(file).claim(at, len).expect("nobody has it");
    let region = wait(disk.read(block, region)).expect("the disk reads into it");
    host::assert_file_pattern(file, at, len, seed(), block * BLOCK);
    check_canaries(file, at, len);
    check_by_cpu(&region, seed(), block * BLOCK);

    let mine = seed() ^ 0x0bac_f111 ^ at;
    host::fill_file(file, at, len, mine, 0);
    check_by_cpu(&region, mine, 0);
    drop(wait(disk.write(block, region)).expect("the disk writes from it"));
    wait(disk.flush()).unwrap();
    host::assert_disk_pattern(0, block * BLOCK, len, mine, 0);
    // The blocks on both sides are as they were.
    for block in [block - 1, block + len / BLOCK] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
    check_canaries(file, at, len);
    host::assert_file_pattern(file, at, len, mine, 0);
}

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
    let hole = unsafe { device.memory(bar.index, all, name, Kind::Device) }.unwrap();
    let region = hole.claim(0, 64 * KIB).unwrap();
    let region = wait(disk().read(1, region)).expect("QEMU says that it is done");
    let mut bytes = vec![0; 64 << 10];
    region.read(0, &mut bytes).unwrap();
    let wrong = pattern::first_difference(seed(), BLOCK, &bytes);
    assert_eq!(wrong, None, "bytes differ from the pattern of the disk");
}

/// The kind is beside the phyr and not in it: two boards, whose memory comes in turn, in one request.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M+1M", timeout = 60)]
fn d20_two_providers_keep_their_order() {
    const PIECE: u64 = 8 * KIB;
    let files = ["ivshmem0", "ivshmem1"];
    for file in files {
        host::fill_file(file, 0, 256 * KIB, canary(), 0);
    }
    let mut mixed = Mixed::new();
    let mut places = Vec::new();
    for number in 0..10_u64 {
        let file = files[(number % 2) as usize];
        let at = PAGE + number * (PIECE + PAGE);
        mixed.push(provider(file).claim(at, PIECE).unwrap());
        places.push((file, at));
    }
    let memory = mixed.into_memory();
    let Ok(Phyrs::List(list)) = memory.phyrs() else {
        panic!("there are ten pieces");
    };
    assert_eq!(list.len(), 10);
    let memory = wait(disk().read(3, memory)).unwrap();
    for (number, (file, at)) in places.iter().enumerate() {
        let offset = 3 * BLOCK + number as u64 * PIECE;
        host::assert_file_pattern(file, *at, PIECE, seed(), offset);
        host::assert_file_pattern(file, at - PAGE, PAGE, canary(), at - PAGE);
        host::assert_file_pattern(file, at + PIECE, PAGE, canary(), at + PIECE);
    }
    // Each piece is still what it was.
    let pieces = Box::<Mixed>::from_memory(memory).unwrap().into_pieces();
    for (piece, (file, at)) in pieces.into_iter().zip(places) {
        let region = Region::from_memory(piece).unwrap();
        assert_eq!(region.provider().name(), file);
        assert_eq!(region.phyr(), provider(file).phyr().sub(at, PIECE).unwrap());
    }
}

/// Scattered RAM, memory on a board, and RAM again, cut where no page ends.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M,mdts=3", timeout = 60)]
fn d17_ram_and_a_board_in_one_request() {
    let at = 100 * KIB;
    set_canaries("ivshmem0", at, 40 * KIB);
    let mut mixed = Mixed::new();
    mixed.push(Box::new(scattered(5)));
    mixed.push(provider("ivshmem0").claim(at, 40 * KIB).unwrap());
    mixed.push(Frames::zeroed(16 * KIB).unwrap());
    let memory = wait(disk().read(11, mixed)).unwrap().into_memory();
    assert!(!memory.is_ram());
    let mut bytes = vec![0; memory.len()];
    memory.copy_to(0, &mut bytes).unwrap();
    assert_eq!(pattern::first_difference(seed(), 11 * BLOCK, &bytes), None);
    let offset = 11 * BLOCK + 5 * PAGE;
    host::assert_file_pattern("ivshmem0", at, 40 * KIB, seed(), offset);
    check_canaries("ivshmem0", at, 40 * KIB);
    // Another content, and back to the disk; of the first and the last piece only a part.
    let mut memory = memory.part(PAGE as usize..72 << 10).unwrap();
    pattern::fill(seed() ^ 5, 0, &mut bytes);
    memory.copy_from(0, &bytes[..memory.len()]).unwrap();
    let len = memory.len() as u64;
    host::assert_file_pattern("ivshmem0", at, 40 * KIB, seed() ^ 5, 4 * PAGE);
    let memory = wait(disk().write(1000, memory)).unwrap();
    wait(disk().flush()).unwrap();
    host::assert_disk_pattern(0, 1000 * BLOCK, len, seed() ^ 5, 0);
    for block in [999, 1000 + len / BLOCK] {
        host::assert_disk_pattern(0, block * BLOCK, BLOCK, seed(), block * BLOCK);
    }
    drop(memory);
    assert_eq!(provider("ivshmem0").free().len(), 1, "all of it came back");
}

/// What is no RAM has no `&[u8]`, whoever asks.
#[vm_test(machine = "ivshmem=1M", should_panic = "no bytes to borrow")]
fn d19_what_is_no_ram_has_no_bytes_to_borrow() {
    let memory: Memory = provider("ivshmem0").claim_all().unwrap().into_memory();
    let _ = memory.bytes();
}

#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e3_taking_back_is_refused_while_a_request_is_under_way() {
    let provider = provider("ivshmem0");
    let disk = disk();
    vm_test::control::hold(0);
    let mut reading = Box::pin(disk.read(5, provider.claim(PAGE, 64 * KIB).unwrap()));
    let waker = core::task::Waker::noop();
    let mut cx = core::task::Context::from_waker(waker);
    assert!(reading.as_mut().poll(&mut cx).is_pending());
    assert_eq!(provider.uses(), 1);
    assert!(provider.try_revoke().is_err());
    // Nobody asks for it any more, and the device goes on.
    drop(reading);
    assert!(provider.try_revoke().is_err());
    vm_test::control::release(0);
    // It waits for the device, and lets nothing new begin.
    wait(async {
        let closing = provider.revoke();
        closing.await;
    });
    assert_eq!((provider.uses(), provider.is_revoked()), (0, true));
    assert_eq!(provider.free(), [provider.phyr()], "its memory came back");
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), 5 * BLOCK);
}

#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e4_nothing_reaches_what_was_taken_back() {
    let provider = provider("ivshmem0");
    host::fill_file("ivshmem0", 0, MIB, canary(), 0);
    let region = provider.claim(PAGE, 64 * KIB).unwrap();
    let region = wait(disk().read(5, region)).unwrap();
    provider.try_revoke().expect("nothing is under way");
    let failed = wait(disk().read(500, region)).unwrap_err();
    let revoked = BlockError::Buffer(BufferError::Region(RegionError::Revoked));
    assert_eq!(failed.error, revoked);
    let mut region = failed.memory.expect("the memory comes back");
    assert_eq!(region.write(0, &[1]), Err(RegionError::Revoked));
    // Also not as a piece of something larger, whose other pieces stay usable.
    let mut mixed = Mixed::new();
    mixed.push(Frames::zeroed(PAGE).unwrap());
    mixed.push(region);
    let failed = wait(disk().read(500, mixed)).unwrap_err();
    assert_eq!(failed.error, revoked);
    let pieces = failed.memory.unwrap().into_pieces();
    let frames = pieces.into_iter().next().map(Frames::from_memory);
    let frames = wait(disk().read(500, frames.unwrap().unwrap())).unwrap();
    let wrong = pattern::first_difference(seed(), 500 * BLOCK, frames.bytes());
    assert_eq!(wrong, None);
    assert_eq!(provider.claim(0, 1).unwrap_err(), ClaimError::Revoked);
    // The board has what it had before that, and nothing else.
    host::assert_file_pattern("ivshmem0", PAGE, 64 * KIB, seed(), 5 * BLOCK);
    check_canaries("ivshmem0", PAGE, 64 * KIB);
}
