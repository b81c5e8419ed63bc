//! Pins: N phyrs of a virtual range, and that they stay.
//!
//! What the kernel says is compared with a walk of the page tables that shares no code with it, and
//! with the host, who sees memory from outside.

mod access;
mod arrays;
mod boards;
mod copies;
mod parts;

use super::programs::{at, range};
use super::streams::free_or_heap_bytes;
use super::{apart, disk, scattered};
use crate::block::blocking::wait;
use crate::memory::address_space::{AddressSpace, PinError, Pinned, SpaceError};
use crate::memory::extents;
use crate::memory::frames::{Frames, window, with_allocator};
use crate::memory::paging::{LeafCount, Rights};
use crate::memory::pins::Access;
use crate::memory::virt::VirtRange;
use crate::memory::window::Window;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::task::{Context, Waker};
use phyr::{Phyr, PhyrList, PhysAddr};
use vm_test::{control, host, pattern, seed, vm_test};

const DATA: u64 = 0x10_0000_0000;
const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn aligned(len: u64, align: u64) -> Frames {
    let below = None;
    Frames::request(extents::Request { len, align, below }).unwrap()
}

/// What a CPU finds at an address (Intel SDM volume 3, section 4.5): where it leads, and whether a
/// program may read it, and write it.
fn walk(root: PhysAddr, virt: u64) -> Option<(u64, bool, bool)> {
    let (mut table, mut user, mut write) = (root.get(), true, true);
    for shift in [39, 30, 21, 12] {
        let address = table + (virt >> shift & 511) * 8;
        let entry = window().pointer(PhysAddr::new(address)).cast::<u64>();
        // SAFETY: tables are whole pages of RAM, which is in the direct map.
        let entry = unsafe { entry.as_ptr().read_volatile() };
        if entry & 1 == 0 {
            return None;
        }
        write &= entry & 2 != 0;
        user &= entry & 4 != 0;
        table = entry & 0x000f_ffff_ffff_f000;
        if shift == 12 || entry & 0x80 != 0 && shift < 39 {
            let offset = virt & ((1 << shift) - 1);
            return Some((table & !((1 << shift) - 1) | offset, user, write));
        }
    }
    None
}

/// What lies behind a range, page by page. Nothing that is mapped is hidden from the program.
fn oracle(space: &AddressSpace, range: VirtRange) -> PhyrList {
    let root = space.root().unwrap();
    let mut list = PhyrList::new();
    let mut at = range.start().get();
    let end = range.last().get() + 1;
    while at < end {
        let len = (PAGE - at % PAGE).min(end - at);
        let (phys, user, _) = walk(root, at).expect("it is mapped");
        assert!(user);
        list.push(Phyr::new(PhysAddr::new(phys), len).unwrap())
            .unwrap();
        at += len;
    }
    list
}

fn part(range: VirtRange, offset: u64, len: u64) -> VirtRange {
    range.without_prefix(offset).unwrap().prefix(len).unwrap()
}

#[vm_test(machine = "ram=4G", timeout = 60)]
fn c1_pin_phyrs_of_a_range() {
    let space = AddressSpace::new().unwrap();
    let map = |owner| space.map(owner, Rights::ReadWrite).unwrap();
    let fragments = space.map(apart(100), Rights::ReadWrite).unwrap();
    let shown_twice = Box::new(scattered(20));
    let shown_twice = space.map(shown_twice, Rights::ReadWrite).unwrap();
    let small = map(Frames::allocate(7 * PAGE).unwrap());
    let large = map(aligned(6 * MIB, 2 * MIB));
    let huge = map(aligned(GIB, GIB));
    for (mapped, phyrs) in [
        (fragments, 100),
        (shown_twice, 20),
        (small, 1),
        (large, 1),
        (huge, 1),
    ] {
        for (start, len) in [
            (0, mapped.len()),
            (5, mapped.len() - 12),
            (PAGE - 1, 2),
            (mapped.len() / 2 + 77, 3 * PAGE),
        ] {
            let wanted = part(mapped, start, len);
            for access in [Access::Read, Access::Write] {
                let pinned = space.pin(wanted, access).unwrap();
                assert_eq!(*pinned.phyrs(), oracle(&space, wanted));
                assert_eq!((pinned.range(), pinned.access()), (wanted, access));
                assert_eq!(pinned.phyrs().bytes(), len);
                if len == mapped.len() {
                    assert_eq!(pinned.phyrs().len(), phyrs);
                }
            }
        }
    }
    // Of two mappings side by side, whose memory touches, comes one phyr.
    let (front, back) = aligned(4 * MIB, 2 * MIB).split_at(2 * MIB).unwrap();
    space
        .map_at(at(DATA + 2 * MIB), back, Rights::ReadWrite)
        .unwrap();
    space.map_at(at(DATA), front, Rights::ReadWrite).unwrap();
    let both = space.pin(range(DATA, 4 * MIB), Access::Write).unwrap();
    assert_eq!((both.phyrs().len(), both.phyrs().bytes()), (1, 4 * MIB));
    let holes = [range(DATA + 4 * MIB, 1), range(DATA + 4 * MIB - 1, 2)];
    for hole in holes {
        let error = space.pin(hole, Access::Read).unwrap_err();
        assert_eq!(error, PinError::NotMapped(at(DATA + 4 * MIB)));
    }
}

#[vm_test]
fn c1_the_kernels_own_address_space_is_one_of_them() {
    let kernel = AddressSpace::kernel();
    let frames = apart(9);
    let first = frames[0].phyr();
    let mapped = kernel.map(frames, Rights::ReadWrite).unwrap();
    let pinned = kernel.pin(mapped, Access::Write).unwrap();
    assert_eq!(*pinned.phyrs(), crate::memory::translate(mapped).unwrap());
    assert_eq!(
        (pinned.phyrs().len(), pinned.phyrs().get(0)),
        (9, Some(first.prefix_page()))
    );
    assert_eq!(kernel.unmap(mapped), Err(SpaceError::Pinned(mapped)));
    drop(pinned);
    kernel.unmap(mapped).unwrap();
    assert!(crate::memory::translate(mapped).is_err());
    // What Rust owns in another way is not there to be pinned.
    let stack = VirtRange::of(&mapped).unwrap();
    let refused = kernel.pin(stack, Access::Read).unwrap_err();
    assert_eq!(refused, PinError::Outside(stack));
}

trait FirstPage {
    fn prefix_page(self) -> Phyr;
}

impl FirstPage for Phyr {
    fn prefix_page(self) -> Phyr {
        self.sub(0, PAGE).unwrap()
    }
}

#[vm_test(timeout = 60)]
fn c2_unpin_gives_everything_back() {
    let before = free_or_heap_bytes();
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(64), Rights::ReadWrite).unwrap();
    let held = free_or_heap_bytes();
    let mut pins: Vec<Pinned> = Vec::new();
    let mut number = seed() | 1;
    let mut next = |bound: u64| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (number >> 33) % bound
    };
    for _ in 0..2000 {
        match next(4) {
            0 | 1 => {
                let start = next(mapped.len());
                let len = 1 + next(mapped.len() - start);
                let access = [Access::Read, Access::Write][next(2) as usize];
                pins.push(space.pin(part(mapped, start, len), access).unwrap());
            }
            2 if !pins.is_empty() => {
                drop(pins.swap_remove(next(pins.len() as u64) as usize));
            }
            _ if !pins.is_empty() => {
                let pin = pins.swap_remove(next(pins.len() as u64) as usize);
                match pin.len() {
                    1 => pins.push(pin),
                    len => pins.extend(<[Pinned; 2]>::from(
                        pin.split_at(1 + next(len - 1)).unwrap(),
                    )),
                }
            }
            _ => {}
        }
        let usage = space.usage();
        assert_eq!((usage.pins, usage.mapped), (pins.len(), mapped.len()));
        assert_eq!(
            free_or_heap_bytes(),
            held,
            "a pin takes no memory but the heap's"
        );
        if !pins.is_empty() {
            let refused = space.unmap(mapped);
            assert!(matches!(refused, Err(SpaceError::Pinned(_))));
        }
    }
    pins.clear();
    assert_eq!((space.usage().pins, space.usage().pinned), (0, 0));
    space.unmap(mapped).unwrap();
    assert!(free_or_heap_bytes() >= held + 64 * PAGE);
    let mapped = space.map(apart(64), Rights::ReadWrite).unwrap();
    assert_eq!(space.usage().mapped, mapped.len());
    // An address space ends; a byte of it is pinned, and the mapping that it is in stays.
    let other = space
        .map(Frames::allocate(16 * PAGE).unwrap(), Rights::ReadWrite)
        .unwrap();
    let last = space
        .pin(part(other, 3 * PAGE + 7, 1), Access::Write)
        .unwrap();
    let with_both = free_or_heap_bytes();
    drop(space);
    assert!(
        free_or_heap_bytes() >= with_both + 64 * PAGE && free_or_heap_bytes() <= before - 16 * PAGE
    );
    drop(last);
    assert_eq!(free_or_heap_bytes(), before);
}

/// Takes all memory that is free.
fn take_everything(mut taken: Vec<Frames>) -> Vec<Frames> {
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        assert!(taken.len() < taken.capacity());
        taken.push(Frames::allocate(largest.len()).unwrap());
    }
    taken
}

#[vm_test(machine = "nvme,size=16M,ram=64M", timeout = 60)]
fn c3_a_pin_blocks_unmap_free_and_reuse() {
    const PAGES: u64 = 40;
    const POSITION: u64 = 3 * 4096;
    let device = disk();
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(PAGES as usize), Rights::ReadWrite).unwrap();
    let wanted = part(mapped, 512, mapped.len() - 1024);
    let pinned = space.pin(wanted, Access::Write).unwrap();
    let phyrs = pinned.phyrs().try_clone().unwrap();
    // The device has the memory, and is held back.
    control::hold(0);
    let mut reading = Box::pin(device.read(POSITION / 512, Box::new(pinned)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(reading.as_mut().poll(&mut context).is_pending());
    let pages = [
        mapped,
        part(mapped, 0, PAGE),
        part(mapped, (PAGES - 1) * PAGE, PAGE),
    ];
    for range in pages {
        assert_eq!(space.unmap(range), Err(SpaceError::Pinned(wanted)));
        let taken = space.map_at(
            range.start(),
            Frames::zeroed(PAGE).unwrap(),
            Rights::ReadWrite,
        );
        assert!(matches!(taken, Err((SpaceError::Taken(_), _))));
        for rights in [Rights::ReadOnly, Rights::ReadExecute] {
            let protected = space.protect(range, rights);
            assert_eq!(protected, Err(SpaceError::Pinned(wanted)));
        }
        assert_eq!(space.protect(range, Rights::ReadWrite), Ok(()));
    }
    // The program ends. All memory that is free now is taken and written to.
    let mut all = Vec::with_capacity(4096);
    drop(space);
    all = take_everything(all);
    for (index, frames) in all.iter_mut().enumerate() {
        let overlaps = phyrs.iter().any(|phyr| phyr.overlaps(frames.phyr()));
        assert!(!overlaps, "pinned memory was given to somebody else");
        pattern::fill(!seed() ^ index as u64, 0, frames.bytes_mut());
    }
    control::release(0);
    let back = wait(&mut reading).unwrap();
    let mut done = 0;
    for phyr in &phyrs {
        host::assert_pattern(phyr, seed(), POSITION + done);
        done += phyr.len();
    }
    for (index, frames) in all.iter().enumerate() {
        let different = pattern::first_difference(!seed() ^ index as u64, 0, frames.bytes());
        assert_eq!(
            different, None,
            "the device wrote to memory of somebody else"
        );
    }
    assert_eq!(*back.phyrs(), phyrs);
    let before = with_allocator(|allocator| allocator.free_bytes());
    drop(back);
    let after = with_allocator(|allocator| allocator.free_bytes());
    assert!(
        after >= before + PAGES * PAGE,
        "the last pin keeps the memory"
    );
}

#[vm_test(machine = "ram=4G", timeout = 60)]
fn c8_a_phyr_is_mapped_with_the_largest_leaves() {
    let space = AddressSpace::new().unwrap();
    let mapped = space
        .map(aligned(GIB + 2 * MIB + PAGE, GIB), Rights::ReadWrite)
        .unwrap();
    let one_of_each = LeafCount {
        gib_1: 1,
        mib_2: 1,
        kib_4: 1,
    };
    assert_eq!(space.leaves(mapped), one_of_each);
    let pinned = space.pin(mapped, Access::Read).unwrap();
    assert_eq!(
        (pinned.phyrs().len(), pinned.phyrs().bytes()),
        (1, mapped.len())
    );
    drop(pinned);
    // A page in the middle goes, and with it only the leaf that it is in.
    space.unmap(part(mapped, 5 * MIB, PAGE)).unwrap();
    let leaves = space.leaves(mapped);
    assert_eq!((leaves.gib_1, leaves.mib_2, leaves.kib_4), (0, 512, 512));
    let rest = space
        .pin(part(mapped, 5 * MIB + PAGE, GIB - 4 * MIB), Access::Write)
        .unwrap();
    assert_eq!(*rest.phyrs(), oracle(&space, rest.range()));
    assert_eq!(rest.phyrs().len(), 1);
}
