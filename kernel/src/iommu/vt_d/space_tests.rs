//! Page tables against a walk, on the host's memory.

use super::*;
use crate::memory::frames::{Frames, host, with_allocator};
use phyr::PhysAddr;
use proptest::prelude::*;

/// QEMU's, with addresses of 39 bits and all sizes of pages.
fn hardware() -> Capabilities {
    Capabilities::new(0x00d2_008c_2226_0206, 0xf00, 4096).unwrap()
}

const ANYWHERE: DmaAddr = DmaAddr::new(u64::MAX);

fn list_of(ranges: &[(u64, u64)]) -> PhyrList {
    let mut list = PhyrList::new();
    for &(addr, len) in ranges {
        list.push(Phyr::new(PhysAddr::new(addr), len).unwrap())
            .unwrap();
    }
    list
}

fn space() -> Space<Tables> {
    let zero = DmaRange::new(DmaAddr::new(0), PAGE).unwrap();
    super::space(hardware(), &[zero], &[]).unwrap()
}

/// Whether a device that goes through the ranges finds the bytes of the phyrs.
fn check(space: &Space<Tables>, ranges: &DmaList, phyrs: &PhyrList, rights: u64) {
    assert_eq!(ranges.bytes(), phyrs.bytes());
    let mut cursor = ranges.cursor();
    for phyr in phyrs {
        // Both ends of each page are enough.
        for part in phyr.split_boundary(PAGE) {
            let mut at = part.addr().get();
            let mut left = part.len();
            while left > 0 {
                let range = cursor.next_within(left, PAGE).unwrap();
                for offset in [0, range.len() - 1] {
                    let (phys, found, _) = space
                        .translation()
                        .look(range.addr().get() + offset)
                        .unwrap();
                    assert_eq!((phys, found), (at + offset, rights), "{range}");
                }
                at += range.len();
                left -= range.len();
            }
        }
    }
}

#[test]
fn d6_pages_from_anywhere_are_one_range() {
    let _arena = host::arena();
    let mut space = space();
    let pages: Vec<_> = (0..64)
        .rev()
        .map(|page| (0x10_0000 + page * 0x3000, PAGE))
        .collect();
    let list = list_of(&pages);
    assert_eq!(list.len(), 64);
    let ranges = space.map(&list, Access::Write, ANYWHERE).unwrap();
    assert_eq!((ranges.len(), ranges.bytes()), (1, 64 * PAGE));
    check(&space, &ranges, &list, 2);
}

#[test]
fn d11_edges_inside_pages_keep_ranges_apart() {
    let _arena = host::arena();
    let mut space = space();
    let list = list_of(&[
        (0x1200, 0xe00),
        (0x8000, PAGE),
        (0x5000, 0x800),
        (0x9000, 16),
        (0x9100, 16),
    ]);
    let ranges = space.map(&list, Access::Read, ANYWHERE).unwrap();
    let lens: Vec<_> = ranges.iter().map(|range| range.len()).collect();
    assert_eq!(lens, [0xe00 + PAGE + 0x800, 16, 16]);
    for (range, start) in ranges.iter().zip([0x200, 0, 0x100]) {
        assert_eq!(range.addr().get() % PAGE, start);
    }
    check(&space, &ranges, &list, 1);
}

#[test]
fn long_memory_has_large_pages() {
    let _arena = host::arena();
    let mut space = space();
    const GIB: u64 = 1 << 30;
    let list = list_of(&[
        (0x7000, PAGE),
        (5 * GIB - (2 << 20), 2 * GIB + (2 << 20) + PAGE),
    ]);
    let before = space.translation().count();
    let ranges = space.map(&list, Access::Both, ANYWHERE).unwrap();
    assert_eq!(ranges.len(), 1);
    let first = ranges.first().unwrap().addr().get();
    let size = |offset| space.translation().look(first + offset).unwrap().2;
    assert_eq!(size(0), PAGE);
    assert_eq!(size(PAGE), 2 << 20);
    assert_eq!(size(PAGE + (2 << 20)), GIB);
    assert_eq!(size(PAGE + (2 << 20) + 2 * GIB - 1), GIB);
    assert_eq!(size(PAGE + (2 << 20) + 2 * GIB), PAGE);
    // Two at each end.
    assert_eq!(space.translation().count() - before, 4);
    let window = space.hide(&ranges).unwrap();
    assert!(space.translation().look(first).is_none());
    assert!(space.translation().look(first + PAGE + GIB).is_none());
    space.free(window);
    // Where tables hang now, smaller pages do as well.
    let list = list_of(&[(8 * GIB, GIB)]);
    for _ in 0..3 {
        let ranges = space.map(&list, Access::Both, ANYWHERE).unwrap();
        let at = ranges.first().unwrap().addr().get();
        assert_eq!(
            space.translation().look(at + GIB - 1).unwrap().0,
            9 * GIB - 1
        );
    }
}

#[test]
fn e1_what_fails_half_way_leaves_nothing() {
    let _arena = host::arena();
    let mut space = space();
    // Each piece needs tables of its own, for it has no large page.
    let piece = |number: u64| (0x1000_1000 + number * (4 << 20), 2 << 20);
    let list = list_of(&[piece(0), piece(1), piece(2)]);
    let free = space.free_bytes();
    let mut stock: Vec<Frames> = (0..16).map(|_| Frames::allocate(PAGE).unwrap()).collect();
    let mut all = Vec::new();
    while let Some(largest) = with_allocator(|allocator| allocator.largest()) {
        all.push(Frames::allocate(largest.len()).unwrap());
    }
    // With one page of memory more each time it comes further, until it is done.
    let mut failures = 0;
    let ranges = loop {
        match space.map(&list, Access::Write, ANYWHERE) {
            Ok(ranges) => break ranges,
            Err(error) => assert_eq!(error, DmaError::OutOfMemory),
        }
        assert_eq!(space.free_bytes(), free);
        for page in (1..4096).map(|page| (1 << 39) - page * PAGE) {
            assert_eq!(space.translation().look(page), None);
        }
        failures += 1;
        drop(stock.pop().expect("so many tables are not needed"));
    };
    // The root has been there; a directory, and a table for each piece.
    assert_eq!(failures, 4);
    check(&space, &ranges, &list, 2);
    let window = space.hide(&ranges).unwrap();
    space.free(window);
    assert_eq!(space.free_bytes(), free);
}

#[test]
fn d9_a_low_mask_gets_low_addresses() {
    let _arena = host::arena();
    let mut space = space();
    let mask = DmaAddr::new((1 << 28) - 1);
    let list = list_of(&[(0x1800_0000, PAGE)]);
    let ranges = space.map(&list, Access::Write, mask).unwrap();
    assert_eq!(ranges.first().unwrap().last(), mask);
    check(&space, &ranges, &list, 2);
    let long = list_of(&[(0x1_0000_0000, 1 << 28)]);
    assert_eq!(
        space.map(&long, Access::Write, mask).err(),
        Some(DmaError::NoAddresses)
    );
}

#[test]
fn what_firmware_reserved_stays_where_it_is() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let memory = Phyr::new(PhysAddr::new(0x7f_1234), 100).unwrap();
    let space = super::space(hardware(), &[memory.to_same_bus_range()], &[memory]).unwrap();
    assert_eq!(
        space.translation().look(0x7f_1234),
        Some((0x7f_1234, 3, PAGE))
    );
    assert_eq!(space.translation().look(0x7f_0fff), None);
    drop(space);
    assert_eq!(arena.free_bytes(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Mappings come and go; each is right for as long as it is there, and gone afterwards.
    #[test]
    fn mappings_come_and_go(
        steps in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((0u64..1 << 34, 1u64..60_000), 1..12), 0usize..16),
            1..40,
        ),
    ) {
        let _arena = host::arena();
        let mut space = space();
        let free = space.free_bytes();
        let mut held: Vec<(PhyrList, DmaList)> = Vec::new();
        for (remove, pieces, which) in steps {
            if remove && !held.is_empty() {
                let (_, ranges) = held.remove(which % held.len());
                let window = space.hide(&ranges).unwrap();
                for page in window.pages(PAGE) {
                    prop_assert_eq!(space.translation().look(page.addr().get()), None);
                }
                space.free(window);
            } else {
                let list = list_of(&pieces);
                let ranges = space.map(&list, Access::Both, ANYWHERE).unwrap();
                held.push((list, ranges));
            }
            for (list, ranges) in &held {
                check(&space, ranges, list, 3);
            }
        }
        for (_, ranges) in held.drain(..) {
            let window = space.hide(&ranges).unwrap();
            space.free(window);
        }
        prop_assert_eq!(space.free_bytes(), free);
    }
}
