//! Memory that is no RAM, mapped into an address space: it is pinned like any other, it is not taken back meanwhile,
//! and a program reads from the disk straight into it.

use super::{DATA, MIB, PAGE, oracle, part};
use crate::block::blocking::wait;
use crate::dma::Owner;
use crate::memory::address_space::{AddressSpace, Pinned, SpaceError};
use crate::memory::frames::Frames;
use crate::memory::paging::{LeafCount, Rights};
use crate::memory::pins::Access;
use crate::memory::regions::{self, Provider, RegionError};
use crate::memory::virt::VirtRange;
use crate::vm_tests::programs::{End, Entry, at, program, range, serve, space};
use crate::vm_tests::{apart, disk};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use vm_test::{control, host, pattern, seed, vm_test};

fn board(name: &str) -> Arc<Provider> {
    regions::find(name).expect("the machine has such memory")
}

fn canary() -> u64 {
    seed() ^ 0xca0a_71e5
}

#[vm_test(machine = "ivshmem=4M", timeout = 60)]
fn c1_a_boards_memory_is_pinned_like_any_other() {
    let board = board("ivshmem0");
    let space = AddressSpace::new().unwrap();
    let region = board.claim_all().unwrap();
    let mapped = space.map_at(at(DATA), region, Rights::ReadWrite).unwrap();
    let large = LeafCount {
        mib_2: 2,
        ..LeafCount::default()
    };
    assert_eq!(space.leaves(mapped), large);
    for (start, len) in [(0, 4 * MIB), (5, 4 * MIB - 12), (2 * MIB - 1, 2)] {
        let wanted = part(mapped, start, len);
        let pinned = space.pin(wanted, Access::Write).unwrap();
        assert_eq!(*pinned.phyrs(), oracle(&space, wanted));
        let only = pinned.phyrs().first();
        assert_eq!(only, board.phyr().sub(start, len));
    }
}

/// Their addresses touch, on both sides, and still they are two pieces: either may go without the other.
#[vm_test(machine = "ivshmem=1M+1M", timeout = 60)]
fn d20_boards_that_touch_are_pinned_apart() {
    let mut boards = [board("ivshmem0"), board("ivshmem1")];
    boards.sort_by_key(|board| board.phyr().addr());
    let [first, second] = boards;
    let touch = first.phyr().try_merge(second.phyr()).is_ok();
    assert!(touch, "{first:?} {second:?}");
    let space = AddressSpace::new().unwrap();
    let (front, back) = first.claim_all().unwrap().split_at(PAGE).unwrap();
    for (offset, region) in [(0, front), (PAGE, back), (MIB, second.claim_all().unwrap())] {
        let mapped = space.map_at(at(DATA + offset), region, Rights::ReadWrite);
        mapped.unwrap();
    }
    let both = range(DATA, 2 * MIB);
    let pieces = |pinned: &Pinned| -> vec::Vec<_> { pinned.phyrs().iter().collect() };
    let pinned = space.pin(both, Access::Write).unwrap();
    assert_eq!(pieces(&pinned), [first.phyr(), second.phyr()]);
    // Where it is divided and made whole again, it is as it was.
    let mut pinned = pinned;
    for offset in [7, MIB, MIB + 7] {
        let (front, back) = pinned.split_at(offset).unwrap();
        pinned = front.try_merge(back).unwrap();
        assert_eq!(pieces(&pinned), [first.phyr(), second.phyr()]);
    }
    // And on its way to a device.
    let memory = Box::new(pinned).into_memory();
    let part = memory.part(1..2 * MIB as usize - 1).unwrap();
    let crate::dma::Phyrs::List(list) = part.phyrs().unwrap() else {
        panic!("two pieces");
    };
    let lens: vec::Vec<_> = list.phyrs().iter().map(|phyr| phyr.len()).collect();
    assert_eq!(lens, [MIB - 1, MIB - 1]);
    // A list that is full stops between them.
    let one = core::num::NonZeroUsize::MIN;
    let (pinned, rest) = space.pin_up_to(both, Access::Read, one).unwrap();
    assert_eq!(pieces(&pinned), [first.phyr()]);
    assert_eq!(rest, Some(range(DATA + MIB, MIB)));
}

#[vm_test(machine = "ivshmem=1M", timeout = 60)]
fn e3_a_board_is_not_taken_back_while_it_is_mapped() {
    let board = board("ivshmem0");
    let space = AddressSpace::new().unwrap();
    // What is not mapped is not in use, either.
    let region = board.claim(PAGE, 2 * PAGE).unwrap();
    let (error, region) = space
        .map_at(at(DATA + 1), region, Rights::ReadWrite)
        .unwrap_err();
    assert_eq!((error, board.uses()), (SpaceError::NotPages, 0));
    let mapped = space.map_at(at(DATA), region, Rights::ReadWrite).unwrap();
    assert_eq!(board.try_revoke().unwrap_err().0, 1);
    let pinned = space.pin(part(mapped, 100, 100), Access::Write).unwrap();
    let refused = space.unmap(mapped);
    assert_eq!(refused, Err(SpaceError::Pinned(pinned.range())));
    let spare = board.claim(PAGE * 10, PAGE).unwrap();
    // Whoever takes back waits for the mapping, which waits for the pin; nothing new begins.
    let mut revoking = pin!(board.revoke());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(revoking.as_mut().poll(&mut cx).is_pending());
    drop(space);
    assert!(revoking.as_mut().poll(&mut cx).is_pending());
    drop(pinned);
    assert!(revoking.as_mut().poll(&mut cx).is_ready());
    assert_eq!((board.uses(), board.is_revoked()), (0, true));
    let space = AddressSpace::new().unwrap();
    let (error, spare) = space.map(spare, Rights::ReadWrite).unwrap_err();
    assert_eq!(error, SpaceError::Region(RegionError::Revoked));
    drop(spare);
    assert_eq!(board.free(), [board.phyr()]);
}

/// A read that is under way, into a board that is mapped by nobody any more: the pin keeps it.
#[vm_test(machine = "nvme,size=16M,ivshmem=1M", timeout = 60)]
fn e3_a_pinned_board_waits_for_the_disk() {
    let board = board("ivshmem0");
    host::fill_file("ivshmem0", 0, MIB, canary(), 0);
    let space = AddressSpace::new().unwrap();
    let region = board.claim(PAGE, 64 * 1024).unwrap();
    let mapped = space.map(region, Rights::ReadWrite).unwrap();
    let pinned = space.pin(mapped, Access::Write).unwrap();
    let disk = disk();
    control::hold(0);
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut reading = pin!(disk.read(5, Box::new(pinned)));
        assert!(reading.as_mut().poll(&mut cx).is_pending());
        drop(space);
        assert_eq!(board.try_revoke().unwrap_err().0, 1);
    }
    // Nobody asks for the answer, and the disk goes on.
    assert_eq!(board.try_revoke().unwrap_err().0, 1);
    control::release(0);
    wait(board.revoke());
    assert_eq!(board.free(), [board.phyr()]);
    host::assert_file_pattern("ivshmem0", PAGE, 64 * 1024, seed(), 5 * 512);
    host::assert_file_pattern("ivshmem0", 0, PAGE, canary(), 0);
    let behind = PAGE + 64 * 1024;
    host::assert_file_pattern("ivshmem0", behind, PAGE, canary(), behind);
}

/// The sum of the bytes that a disk has from `position` on.
fn sum(position: u64, len: u64) -> u64 {
    let mut bytes = vec![0; len as usize];
    pattern::fill(seed(), position, &mut bytes);
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Lets a program read into memory of its own and look at all of it.
fn reads(space: AddressSpace, buffer: VirtRange, position: u64) {
    let arguments = [buffer.start().get(), buffer.len(), position, seed()];
    let mut program = program(space, Entry::program_read, arguments);
    let end = wait(serve(&mut program, Some(&*disk())));
    assert_eq!(end, End::Exit(0, sum(position, buffer.len())));
}

/// Into a board; and into RAM, a board, and RAM, which are side by side for the program.
fn a_program_reads_into_a_board() {
    let board = board("ivshmem0");
    host::fill_file("ivshmem0", 0, 4 * MIB, canary(), 0);
    let alone = space();
    let region = board.claim_all().unwrap();
    alone.map_at(at(DATA), region, Rights::ReadWrite).unwrap();
    reads(alone, range(DATA + 4096 + 512, 3 * MIB), 8 * 4096);
    let file = |at, len, seed, offset| host::assert_file_pattern("ivshmem0", at, len, seed, offset);
    file(4096 + 512, 3 * MIB, seed(), 8 * 4096);
    file(0, 4096 + 512, canary(), 0);
    let behind = 4096 + 512 + 3 * MIB;
    file(behind, 4 * MIB - behind, canary(), behind);
    assert_eq!((board.uses(), board.free()), (0, vec![board.phyr()]));

    let mixed = space();
    let region = board.claim(MIB, 16 * PAGE).unwrap();
    let ram = |at_page: u64, owner: vec::Vec<Frames>| {
        mixed
            .map_at(at(DATA + at_page * PAGE), owner, Rights::ReadWrite)
            .unwrap()
    };
    let front = ram(0, apart(3));
    let back = ram(19, apart(2));
    mixed
        .map_at(at(DATA + 3 * PAGE), region, Rights::ReadWrite)
        .unwrap();
    let memory = [front, back].map(|ram| {
        let pinned = mixed.pin(ram, Access::Read).unwrap();
        pinned.phyrs().try_clone().unwrap()
    });
    // A program's RAM is looked at before the program goes.
    let whole = range(DATA, 21 * PAGE);
    let arguments = [DATA, whole.len(), 0, seed()];
    let mut program = program(mixed, Entry::program_read, arguments);
    let end = wait(serve(&mut program, Some(&*disk())));
    assert_eq!(end, End::Exit(0, sum(0, whole.len())));
    let mut position = 0;
    for phyr in &memory[0] {
        host::assert_pattern(phyr, seed(), position);
        position += phyr.len();
    }
    file(MIB, 16 * PAGE, seed(), position);
    position += 16 * PAGE;
    for phyr in &memory[1] {
        host::assert_pattern(phyr, seed(), position);
        position += phyr.len();
    }
    file(MIB - PAGE, PAGE, seed(), 8 * 4096 + MIB - PAGE - 4096 - 512);
}

#[vm_test(machine = "nvme,size=16M,ivshmem=4M", timeout = 120)]
fn c1_a_program_reads_from_the_disk_into_a_board() {
    a_program_reads_into_a_board();
}

#[vm_test(machine = "iommu,nvme,size=16M,ivshmem=4M", timeout = 120)]
fn c1_a_program_reads_into_a_board_behind_an_iommu() {
    a_program_reads_into_a_board();
}

#[vm_test(machine = "virtio-iommu,translated,size=16M,ivshmem=4M", timeout = 120)]
fn c1_a_program_reads_from_a_virtio_disk_into_a_board_behind_a_virtio_iommu() {
    a_program_reads_into_a_board();
}
