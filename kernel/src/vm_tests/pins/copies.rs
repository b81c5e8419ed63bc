//! Copy on write: who gets the copy, who keeps the memory, and that there is no more copied than must be.

use super::{DATA, MIB, PAGE, aligned, oracle, part, take_everything, walk};
use crate::block::blocking::wait;
use crate::block::{Durability, Operation, Request};
use crate::dma::{Buffer, Owner};
use crate::memory::address_space::{AddressSpace, PinError, SpaceError};
use crate::memory::frames::Frames;
use crate::memory::paging::{LeafCount, Rights};
use crate::memory::pins::Access;
use crate::memory::regions;
use crate::memory::virt::VirtRange;
use crate::user::Stop;
use crate::vm_tests::disk;
use crate::vm_tests::programs::{End, Entry, at, program, range, serve, space};
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::task::{Context, Waker};
use vm_test::{control, host, pattern, seed, vm_test};

/// A word that is in no pattern.
const WORD: u64 = 0x5eed_1e55_c0de_f00d;

/// Frames with a pattern.
fn patterned(mut frames: Frames) -> Frames {
    pattern::fill(!seed(), 0, frames.bytes_mut());
    frames
}

/// Lets a program write [`WORD`] to the first bytes of these pages, and gives its memory back.
fn write_pages(space: AddressSpace, pages: &[VirtRange]) -> AddressSpace {
    let mut space = space;
    for page in pages {
        let arguments = [page.start().get(), 0, 1, WORD];
        let mut writer = program(space, Entry::program_fill, arguments);
        let end = wait(serve(&mut writer, None));
        assert_eq!(end, End::Exit(0, 0));
        space = writer.into_space();
    }
    space
}

/// What a range shows.
fn shown(space: &AddressSpace, range: VirtRange) -> Vec<u8> {
    let mut bytes = vec![0; range.len() as usize];
    let pinned = space.pin(range, Access::Read).unwrap();
    pinned.copy_to(0, &mut bytes).unwrap();
    bytes
}

/// The page's bytes are the pattern, but for the first word, if that was written.
fn assert_page(space: &AddressSpace, mapped: VirtRange, page: u64, written: bool) {
    let mut bytes = shown(space, part(mapped, page * PAGE, PAGE));
    if written {
        assert_eq!(bytes[..8], WORD.to_le_bytes(), "page {page}");
        let mut word = [0; 8];
        pattern::fill(!seed(), page * PAGE, &mut word);
        bytes[..8].copy_from_slice(&word);
    }
    let different = pattern::first_difference(!seed(), page * PAGE, &bytes);
    assert_eq!(different, None, "page {page}");
}

fn assert_host(space: &AddressSpace, range: VirtRange, offset: u64) {
    let mut done = offset;
    for phyr in &oracle(space, range) {
        host::assert_pattern(phyr, !seed(), done);
        done += phyr.len();
    }
}

#[vm_test(timeout = 60)]
fn c4_a_write_after_a_clone_is_seen_by_the_writer_alone() {
    let before = free_or_heap_bytes();
    let parent = space();
    let small = patterned(Frames::allocate(8 * PAGE).unwrap());
    let small = parent.map_at(at(DATA), small, Rights::ReadWrite).unwrap();
    let large = patterned(aligned(4 * MIB, 2 * MIB));
    let large = parent
        .map_at(at(DATA + 4 * MIB), large, Rights::ReadWrite)
        .unwrap();
    let (first, all) = (oracle(&parent, small), parent.usage().mapped);
    let with_parent = free_or_heap_bytes();
    let child = parent.try_clone().unwrap();
    assert!(
        with_parent - free_or_heap_bytes() < 32 * PAGE,
        "only tables are new"
    );
    for space in [&parent, &child] {
        assert_eq!((space.usage().mapped, space.usage().shared), (all, all));
        assert_eq!(oracle(space, small), first);
        let (_, user, write) = walk(space.root().unwrap(), DATA).unwrap();
        assert!(user && !write);
    }
    // Two pages, and no more than these.
    let page = |mapped, number| part(mapped, number * PAGE, PAGE);
    let shared = free_or_heap_bytes();
    let child = write_pages(child, &[page(small, 2), page(small, 5), page(small, 2)]);
    assert_eq!(shared - free_or_heap_bytes(), 2 * PAGE);
    assert_eq!(child.usage().shared, all - 2 * PAGE);
    // A page of a leaf of 2 MiB: the leaf is divided, which takes a table.
    let shared = free_or_heap_bytes();
    let child = write_pages(child, &[page(large, 700)]);
    assert_eq!(shared - free_or_heap_bytes(), 2 * PAGE);
    let divided = LeafCount {
        mib_2: 1,
        kib_4: 512,
        ..LeafCount::default()
    };
    assert_eq!(child.leaves(large), divided);
    assert_eq!(parent.leaves(large).mib_2, 2);
    for number in 0..8 {
        assert_page(&child, small, number, matches!(number, 2 | 5));
        let touches = oracle(&child, page(small, number)) == oracle(&parent, page(small, number));
        assert_eq!(touches, !matches!(number, 2 | 5));
    }
    assert_page(&child, large, 700, true);
    for number in [699, 701] {
        assert_page(&child, large, number, false);
    }
    assert_host(&parent, small, 0);
    assert_host(&parent, large, 0);
    // The parent writes where the child has, and where it has not.
    let parent = write_pages(parent, &[page(small, 3)]);
    assert_page(&parent, small, 3, true);
    assert_page(&child, small, 3, false);
    // The child ends. The large mapping has one user left, who writes without a copy.
    drop(child);
    let alone = free_or_heap_bytes();
    let parent = write_pages(parent, &[page(large, 1)]);
    assert_eq!(free_or_heap_bytes(), alone);
    assert_eq!(parent.leaves(large).mib_2, 2);
    assert_page(&parent, large, 1, true);
    assert_page(&parent, large, 0, false);
    drop(parent);
    assert_eq!(free_or_heap_bytes(), before);
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn c4_a_pin_for_writing_breaks_the_sharing_first() {
    const POSITION: u64 = 5 * 4096;
    let device = disk();
    // The first read makes the core's queues, which stay.
    device.read_now(0, &mut [0; 512]).unwrap();
    let before = free_or_heap_bytes();
    let parent = AddressSpace::new().unwrap();
    let frames = patterned(Frames::allocate(8 * PAGE).unwrap());
    let mapped = parent.map_at(at(DATA), frames, Rights::ReadWrite).unwrap();
    let child = parent.try_clone().unwrap();
    let original = oracle(&parent, mapped).first().unwrap();
    let target = part(mapped, PAGE + 512, 2 * PAGE);
    // The child pins first, then the parent, whose pages 1 to 3 are shared with nobody then.
    for (round, space) in [&child, &parent].into_iter().enumerate() {
        let shared = free_or_heap_bytes();
        let pinned = space.pin(target, Access::Write).unwrap();
        assert_eq!(*pinned.phyrs(), oracle(space, target));
        let copy = pinned.phyrs().first().unwrap();
        assert_eq!(pinned.phyrs().len(), 1, "a copy is in one piece");
        assert!(!copy.overlaps(original), "the device is told of the copy");
        assert_eq!(shared - free_or_heap_bytes(), 3 * PAGE);
        assert_eq!(space.usage().shared, 5 * PAGE);
        let read = wait(device.read(POSITION / 512, Box::new(pinned))).unwrap();
        host::assert_pattern(copy, seed(), POSITION);
        drop(read);
        assert_host(space, part(mapped, 0, PAGE + 512), 0);
        let behind = 3 * PAGE + 512;
        assert_host(space, part(mapped, behind, 5 * PAGE - 512), behind);
        if round == 0 {
            host::assert_pattern(original, !seed(), 0);
            assert_host(&parent, mapped, 0);
        }
    }
    // As much as fits into the list, and no more than that is copied.
    let one = core::num::NonZeroUsize::MIN;
    let front = part(mapped, 0, 8 * PAGE);
    let (pinned, rest) = child.pin_up_to(front, Access::Write, one).unwrap();
    assert_eq!((pinned.len(), child.usage().shared), (PAGE, 4 * PAGE));
    assert_eq!(rest, Some(part(mapped, PAGE, 7 * PAGE)));
    drop((pinned, parent, child));
    assert_eq!(free_or_heap_bytes(), before);
}

/// The disk has been told to write memory, and is held back. Then the program writes there, and the others
/// end: what the disk gets is what was there when the memory was pinned.
#[vm_test(machine = "nvme,size=16M,ram=64M", timeout = 60)]
fn c4_what_is_pinned_for_reading_keeps_its_memory_when_the_sharing_ends() {
    let device = disk();
    device.read_now(0, &mut [0; 512]).unwrap();
    let before = free_or_heap_bytes();
    let parent = space();
    let frames = patterned(Frames::allocate(4 * PAGE).unwrap());
    let mapped = parent.map_at(at(DATA), frames, Rights::ReadWrite).unwrap();
    let child = parent.try_clone().unwrap();
    let original = oracle(&parent, mapped).first().unwrap();
    let shared = free_or_heap_bytes();
    let pinned = parent.pin(mapped, Access::Read).unwrap();
    assert_eq!(pinned.phyrs().first(), Some(original));
    assert_eq!(
        (free_or_heap_bytes(), parent.usage().shared),
        (shared, parent.usage().mapped)
    );
    control::hold(0);
    let write = Operation::Write(
        Buffer::to_device(Box::new(pinned).into_memory()),
        Durability::Flushed,
    );
    let mut writing = Box::pin(device.execute(Request {
        block: 64,
        operation: write,
    }));
    let mut context = Context::from_waker(Waker::noop());
    assert!(writing.as_mut().poll(&mut context).is_pending());
    // The writer gets the copy.
    let pages = [0, 1, 2, 3].map(|page| part(mapped, page * PAGE, PAGE));
    let parent = write_pages(parent, &pages);
    assert_eq!(shared - free_or_heap_bytes(), 4 * PAGE);
    for page in 0..4 {
        assert_page(&parent, mapped, page, true);
        assert_page(&child, mapped, page, false);
    }
    assert!(
        !oracle(&parent, mapped)
            .iter()
            .any(|phyr| phyr.overlaps(original))
    );
    // Nobody shows the memory any more, and all that is free is taken and overwritten.
    drop(child);
    let unmapped = parent.unmap(mapped);
    assert_eq!(unmapped, Err(SpaceError::Pinned(mapped)));
    drop(parent);
    let mut all = take_everything(Vec::with_capacity(4096));
    for frames in &mut all {
        assert!(
            !frames.phyr().overlaps(original),
            "pinned memory was given away"
        );
        frames.bytes_mut().fill(0xee);
    }
    control::release(0);
    let done = wait(&mut writing);
    done.result.unwrap();
    host::assert_pattern(original, !seed(), 0);
    drop(all);
    wait(device.flush()).unwrap();
    host::assert_disk_pattern(0, 64 * 512, 4 * PAGE, !seed(), 0);
    drop((done.memory, writing));
    assert_eq!(free_or_heap_bytes(), before);
}

#[vm_test(machine = "ivshmem=1M", timeout = 60)]
fn c4_what_cannot_be_shared_is_refused() {
    let (one, other) = (space(), space());
    let frames = patterned(Frames::allocate(4 * PAGE).unwrap());
    let mapped = one.map_at(at(DATA), frames, Rights::ReadWrite).unwrap();
    let page = |number| part(mapped, number * PAGE, PAGE);
    let written = part(mapped, 2 * PAGE + 7, 9);
    let writing = one.pin(written, Access::Write).unwrap();
    let refused = one.share(mapped, &other, at(DATA));
    assert_eq!(refused, Err(SpaceError::Pinned(written)));
    assert_eq!(one.share(page(1), &other, at(DATA)), Ok(range(DATA, PAGE)));
    drop(writing);
    let refusals = [
        (mapped, DATA, SpaceError::Taken(range(DATA, PAGE))),
        (
            range(DATA, 5 * PAGE),
            0x10_0000,
            SpaceError::NotMapped(at(DATA + 4 * PAGE)),
        ),
        (part(mapped, 8, PAGE), 0x10_0000, SpaceError::NotPages),
        (mapped, 0x10_0008, SpaceError::NotPages),
        (mapped, 0, SpaceError::Outside(range(0, 4 * PAGE))),
    ];
    for (from, to, error) in refusals {
        assert_eq!(one.share(from, &other, at(to)), Err(error));
    }
    let board = regions::find("ivshmem0").unwrap().claim_all().unwrap();
    let board = one.map(board, Rights::ReadWrite).unwrap();
    let refused = one.share(board, &other, at(0x100_0000));
    assert_eq!(refused, Err(SpaceError::NotShared(board)));
    assert!(matches!(one.try_clone(), Err(SpaceError::NotShared(_))));
    let kernel = AddressSpace::kernel();
    let refused = one.share(mapped, kernel, kernel.bounds().start());
    assert_eq!(refused, Err(SpaceError::NotShared(mapped)));
    // Two ranges of one address space; and a right that is given later does not undo the sharing.
    let twice = one.share(mapped, &one, at(DATA + MIB)).unwrap();
    for range in [mapped, twice] {
        one.protect(range, Rights::ReadOnly).unwrap();
        let read_only = one.pin(part(range, 0, PAGE), Access::Write);
        assert!(matches!(read_only, Err(PinError::ReadOnly(_))));
        one.protect(range, Rights::ReadWrite).unwrap();
        let (_, _, write) = walk(one.root().unwrap(), range.start().get()).unwrap();
        assert!(!write);
    }
    let one = write_pages(one, &[part(twice, PAGE, PAGE)]);
    assert_page(&one, twice, 1, true);
    assert_page(&one, mapped, 1, false);
    let in_other = shown(&other, range(DATA, PAGE));
    assert_eq!(pattern::first_difference(!seed(), PAGE, &in_other), None);
    // Where there is no memory for a copy, there is none, and nothing else changes.
    let mut reader = program(one, Entry::program_fill, [DATA, 0, 1, WORD]);
    let mut all = take_everything(Vec::with_capacity(4096));
    assert_eq!(wait(reader.run()), Stop::NoMemory);
    let pinned = reader.space().pin(mapped, Access::Write);
    assert_eq!(pinned.unwrap_err(), PinError::OutOfMemory);
    all.clear();
    assert_page(reader.space(), mapped, 0, false);
    assert_eq!(wait(serve(&mut reader, None)), End::Exit(0, 0));
    assert_page(reader.space(), mapped, 0, true);
    assert_page(reader.space(), twice, 0, false);
}
