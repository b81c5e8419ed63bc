//! All of a machine's memory, as phyrs.

use crate::memory::extents::{AllocError, ExtentAllocator, FreeError, Request};
use crate::memory::frames::{BELOW_4_GIB, Frames, with_allocator};
use crate::memory::mapping::{self, Mapping};
use crate::memory::paging::{Cache, LeafCount, Rights};
use crate::memory::virt::VirtRange;
use crate::memory::window::DirectMap;
use crate::memory::{self, boot_regions};
use alloc::vec::Vec;
use bootloader_api::info::MemoryRegionKind;
use phyr::{Phyr, PhysAddr};
use vm_test::{pattern, seed, vm_test};

const GIB: u64 = 1 << 30;

fn free_bytes() -> u64 {
    with_allocator(|allocator| allocator.free_bytes())
}

/// The free extents. Room is made first, because the heap must not be used under the lock.
fn free_extents() -> Vec<Phyr> {
    let mut list = Vec::with_capacity(1024);
    with_allocator(|allocator| {
        for extent in allocator.extents() {
            assert!(list.len() < list.capacity(), "more extents than expected");
            list.push(extent);
        }
    });
    list
}

fn free_extents_count() -> usize {
    with_allocator(|allocator| allocator.extents().count())
}

// ANCHOR: one_gib
#[vm_test(machine = "ram=4G")]
fn one_gib_is_one_phyr_one_leaf_and_one_phyr_again() {
    let frames = Frames::request(Request {
        len: GIB,
        align: GIB,
        below: None,
    })
    .expect("4 GiB hold an aligned one");
    assert_eq!(frames.phyr().len(), GIB);
    // SAFETY: the frames are this test's own.
    let mapping =
        unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }.unwrap();
    assert_eq!(
        mapping::leaves(mapping.range()),
        LeafCount {
            gib_1: 1,
            mib_2: 0,
            kib_4: 0
        }
    );
    let list = memory::translate(mapping.range()).unwrap();
    assert_eq!((list.len(), list.first()), (1, Some(frames.phyr())));
    // The leaf leads to the memory: what is written through it is seen in the direct map.
    for offset in [0, GIB / 2 + 12345, GIB - 1] {
        let through = mapping.pointer().as_ptr().wrapping_add(offset as usize);
        // SAFETY: the byte is within the mapping of this test's own frames.
        unsafe { through.write_volatile(0x5a) };
        let direct = frames.pointer().as_ptr().wrapping_add(offset as usize);
        // SAFETY: the byte is within this test's own frames.
        assert_eq!(unsafe { direct.read_volatile() }, 0x5a, "at {offset:#x}");
    }
}
// ANCHOR_END: one_gib

#[vm_test(machine = "ram=4G")]
fn the_largest_leaves_that_fit_are_used() {
    // 1 GiB, 2 MiB and 4 KiB, in one phyr that starts at a multiple of 1 GiB.
    let len = GIB + (2 << 20) + 4096;
    let frames = Frames::request(Request {
        len,
        align: GIB,
        below: None,
    })
    .unwrap();
    // SAFETY: the frames are this test's own.
    let mapping =
        unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }.unwrap();
    assert_eq!(
        mapping::leaves(mapping.range()),
        LeafCount {
            gib_1: 1,
            mib_2: 1,
            kib_4: 1
        }
    );
    assert_eq!(memory::translate(mapping.range()).unwrap().len(), 1);
}

#[vm_test]
fn translation_is_exact_to_the_byte() {
    let mut frames = Frames::allocate(3 * 4096).unwrap();
    let start = frames.phyr().addr();
    let inner = &frames.bytes_mut()[4000..9000];
    let list = memory::translate(VirtRange::of(inner).unwrap()).unwrap();
    let expected = Phyr::new(start.checked_add(4000).unwrap(), 5000).unwrap();
    assert_eq!((list.len(), list.first()), (1, Some(expected)));
}

/// Takes all memory, overwrites every byte of it, gives it back, and looks whether the allocator
/// noticed: if it kept anything in allocated memory, or anything outside free memory that grows,
/// the difference shows.
#[vm_test(machine = "ram=64M", timeout = 60)]
fn the_allocator_keeps_nothing_outside_free_memory() {
    assert!(
        size_of::<ExtentAllocator<DirectMap>>() <= 128,
        "the root does not grow with memory"
    );
    let mut taken: Vec<Frames> = Vec::with_capacity(1024);
    let (before, extents) = (free_bytes(), free_extents());
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        taken.push(Frames::allocate(largest.len()).expect("the largest extent can be had"));
    }
    // Every byte that was free is now allocated: none is kept back for bookkeeping.
    assert_eq!(free_bytes(), 0);
    assert_eq!(
        taken.iter().map(|frames| frames.phyr().len()).sum::<u64>(),
        before
    );
    assert!(matches!(
        Frames::allocate(4096),
        Err(AllocError::Exhausted(_))
    ));
    for (index, frames) in taken.iter_mut().enumerate() {
        pattern::fill(seed() ^ index as u64, 0, frames.bytes_mut());
    }
    for (index, frames) in taken.iter().enumerate() {
        assert_eq!(
            pattern::first_difference(seed() ^ index as u64, 0, frames.bytes()),
            None
        );
    }
    taken.clear();
    assert_eq!(free_bytes(), before);
    assert_eq!(
        free_extents(),
        extents,
        "what was one phyr is one phyr again"
    );
}

#[vm_test(machine = "ram=64M")]
fn pages_taken_one_by_one_join_to_the_extents_they_came_from() {
    let mut taken: Vec<Frames> = Vec::with_capacity(32 * 1024);
    let extents = free_extents();
    while let Ok(frames) = Frames::allocate(4096) {
        taken.push(frames);
    }
    assert!(taken.len() > 10_000);
    // Freed in an order that leaves every other page free first.
    let mut odd = false;
    taken.retain(|_| {
        odd = !odd;
        odd
    });
    assert!(
        free_extents_count() > 5_000,
        "every other page is free, and none of them touch"
    );
    taken.clear();
    assert_eq!(free_extents(), extents);
}

#[vm_test]
fn all_memory_is_accounted_for() {
    let usable = boot_regions()
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable);
    let usable: u64 = usable
        .map(|region| region.end.saturating_sub(region.start.max(1 << 20)))
        .sum();
    // What is missing is page tables and heap; what is more is the loader's copy of the kernel.
    let free = free_bytes();
    assert!(
        free.abs_diff(usable) < 4 << 20,
        "{free:#x} of {usable:#x} are free"
    );
}

#[vm_test(machine = "ram=6G")]
fn memory_below_4_gib_can_be_asked_for() {
    let low = Frames::request(Request {
        len: GIB,
        align: 4096,
        below: Some(BELOW_4_GIB),
    })
    .unwrap();
    assert!(low.phyr().last() < BELOW_4_GIB);
    let more = Frames::request(Request {
        len: 2 * GIB,
        align: 4096,
        below: Some(BELOW_4_GIB),
    });
    assert!(
        matches!(more, Err(AllocError::Exhausted(_))),
        "less than 2 GiB are left there"
    );
    let high = Frames::allocate(2 * GIB).unwrap();
    assert!(high.phyr().addr() >= BELOW_4_GIB);
}

#[vm_test(machine = "ram=900G", timeout = 60)]
fn half_a_tebibyte_is_one_phyr() {
    let len = 512 * GIB;
    let frames = Frames::request(Request {
        len,
        align: GIB,
        below: None,
    })
    .unwrap();
    assert_eq!(frames.phyr().len(), len);
    for offset in [0, len - 1] {
        let byte = frames.pointer().as_ptr().wrapping_add(offset as usize);
        // SAFETY: the byte is within this test's own frames.
        unsafe { byte.write_volatile(0xa5) };
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read_volatile() }, 0xa5);
    }
    let range = VirtRange::of(frames.bytes()).unwrap();
    assert_eq!(memory::translate(range).unwrap().len(), 1);
    assert_eq!(
        mapping::leaves(range),
        LeafCount {
            gib_1: 512,
            mib_2: 0,
            kib_4: 0
        }
    );
    // Nothing is kept for each page: so much RAM is a handful of extents.
    assert!(free_extents().len() < 16);
}

#[vm_test]
fn freeing_twice_is_refused() {
    let phyr = Frames::allocate(4096).unwrap().phyr();
    // SAFETY: the frames were freed in the line above; the allocator must refuse the second time.
    let again = with_allocator(|allocator| unsafe { allocator.insert(phyr) });
    assert!(
        matches!(again, Err(FreeError::AlreadyFree { .. })),
        "{again:?}"
    );
}

#[vm_test]
fn frames_split_and_join_without_loss() {
    let before = free_bytes();
    let frames = Frames::allocate(16 * 4096).unwrap();
    let whole = frames.phyr();
    let (front, back) = frames.split_at(4 * 4096).unwrap();
    assert_eq!(
        (front.phyr().len(), back.phyr().len()),
        (4 * 4096, 12 * 4096)
    );
    let (back, front) = back
        .try_merge(front)
        .expect_err("the front does not lie behind the back");
    let joined = front.try_merge(back).expect("they touch");
    assert_eq!(joined.phyr(), whole);
    let same = joined.split_at(100).expect_err("frames are whole pages");
    assert_eq!(same.phyr(), whole);
    drop(same);
    assert_eq!(free_bytes(), before);
}

#[vm_test]
fn the_heap_grows_and_says_when_it_cannot() {
    let mut large: Vec<u8> = Vec::new();
    large.resize(20 << 20, 7);
    assert!(large.iter().all(|byte| *byte == 7));
    // Never a variable: compilers get the stack wrong that is aligned for one.
    let aligned = alloc::boxed::Box::<Aligned>::new_uninit();
    assert!(aligned.as_ptr().is_aligned());
    let mut too_large: Vec<u8> = Vec::new();
    assert!(too_large.try_reserve_exact(1 << 40).is_err());
    assert!(too_large.try_reserve_exact(isize::MAX as usize).is_err());
    drop(large);
    let again: Vec<u8> = alloc::vec![3; 20 << 20];
    assert_eq!(again[again.len() - 1], 3);
}

#[repr(align(65536))]
struct Aligned(#[expect(dead_code, reason = "only its alignment matters")] [u8; 64]);

#[vm_test]
fn device_memory_can_be_mapped_and_ram_is_not_disturbed() {
    // The local interrupt controller: its version register is known on every PC.
    let apic = crate::machine::machine()
        .platform
        .local_apic
        .unwrap_or(PhysAddr::new(0xfee0_0000));
    let registers = Phyr::new(apic, 0x400).unwrap();
    // SAFETY: the registers are the CPU's own interrupt controller, which is only read.
    let window = unsafe { crate::mmio::RegisterWindow::map(registers) }.unwrap();
    assert_eq!(window.len(), 0x400);
    assert_eq!(
        window.read32(0x30) & 0xf0,
        0x10,
        "the version of an integrated APIC"
    );
}
