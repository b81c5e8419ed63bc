//! Maps as firmware reports them, sound and odd.

use super::*;
use std::vec::Vec;

fn phyr(addr: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(addr), len).unwrap()
}

fn map(entries: &[(u64, u64, u32)]) -> MemoryMap {
    MemoryMap::new(
        entries
            .iter()
            .map(|&(addr, len, number)| (phyr(addr, len), number)),
    )
    .unwrap()
}

fn listed(map: &MemoryMap) -> Vec<(u64, u64, Kind)> {
    map.regions()
        .map(|r| (r.range.addr().get(), r.range.last().get(), r.kind))
        .collect()
}

#[test]
fn unsorted_entries_are_sorted_and_neighbours_joined() {
    let map = map(&[
        (0x20_0000, 0x10_0000, 1),
        (0x8000, 0x1000, 2),
        (0x10_0000, 0x10_0000, 1),
    ]);
    assert_eq!(
        listed(&map),
        [
            (0x8000, 0x8fff, Kind::Reserved(2)),
            (0x10_0000, 0x2f_ffff, Kind::Ram)
        ]
    );
}

#[test]
fn ram_shrinks_to_pages_and_the_rest_grows() {
    let map = map(&[(0x100, 0x9fb00, 1), (0x9fc00, 0x400, 2)]);
    assert_eq!(
        listed(&map),
        [
            (0x1000, 0x9efff, Kind::Ram),
            (0x9f000, 0x9ffff, Kind::Reserved(2))
        ]
    );
}

#[test]
fn a_reservation_inside_ram_wins_whatever_the_order() {
    for entries in [
        [(0, 0x10000, 1), (0x4000, 0x2000, 4)],
        [(0x4000, 0x2000, 4), (0, 0x10000, 1)],
    ] {
        assert_eq!(
            listed(&map(&entries)),
            [
                (0, 0x3fff, Kind::Ram),
                (0x4000, 0x5fff, Kind::Reserved(4)),
                (0x6000, 0xffff, Kind::Ram)
            ]
        );
    }
}

#[test]
fn doubly_reported_ram_counts_once() {
    let map = map(&[(0x10_0000, 0x10_0000, 1), (0x18_0000, 0x10_0000, 1)]);
    assert_eq!(listed(&map), [(0x10_0000, 0x27_ffff, Kind::Ram)]);
}

#[test]
fn allocations_come_from_the_front_in_one_piece_and_join() {
    let mut map = map(&[(0, 0xa_0000, 1), (0x10_0000, 0x10_0000, 1)]);
    assert_eq!(map.allocate(5000), Ok(phyr(0x10_0000, 0x2000)));
    assert_eq!(map.allocate(1), Ok(phyr(0x10_2000, 0x1000)));
    assert_eq!(
        listed(&map),
        [
            (0, 0x9_ffff, Kind::Ram),
            (0x10_0000, 0x10_2fff, Kind::Loader),
            (0x10_3000, 0x1f_ffff, Kind::Ram)
        ]
    );
}

#[test]
fn claims_split_ram_and_leave_reservations() {
    let mut map = map(&[(0x10_0000, 0x10_0000, 1), (0x20_0000, 0x1000, 2)]);
    map.claim(phyr(0x1f_f800, 0x1000)).unwrap();
    map.claim(phyr(0x18_0010, 1)).unwrap();
    assert_eq!(
        listed(&map),
        [
            (0x10_0000, 0x17_ffff, Kind::Ram),
            (0x18_0000, 0x18_0fff, Kind::Loader),
            (0x18_1000, 0x1f_efff, Kind::Ram),
            (0x1f_f000, 0x1f_ffff, Kind::Loader),
            (0x20_0000, 0x20_0fff, Kind::Reserved(2)),
        ]
    );
}

#[test]
fn memory_is_taken_neither_low_nor_above_4_gib() {
    let mut map = map(&[(0, 0xa_0000, 1), (1 << 32, 1 << 30, 1)]);
    assert_eq!(
        map.allocate(1),
        Err(MapError::OutOfMemory {
            needed: 4096,
            largest: 0
        })
    );
}

#[test]
fn too_little_memory_says_how_much_is_missing() {
    let mut map = map(&[(0x10_0000, 0x10_0000, 1)]);
    let error = map.allocate(0x20_0000).unwrap_err();
    assert_eq!(
        error,
        MapError::OutOfMemory {
            needed: 0x20_0000,
            largest: 0x10_0000
        }
    );
    assert!(std::format!("{error}").contains("2048 KiB are needed"));
    assert!(map.allocate(u64::MAX).is_err());
}

#[test]
fn too_many_regions_are_an_error() {
    let entries = (0..300).map(|index| (phyr(index * 0x2000, 0x1000), 1));
    assert_eq!(
        MemoryMap::new(entries).err(),
        Some(MapError::TooManyRegions)
    );
}

#[test]
fn the_top_of_the_address_space_is_no_trap() {
    let map = map(&[(u64::MAX - 0xfff, 0x1000, 2), (0x10_0000, 0x1000, 1)]);
    assert_eq!(map.regions().count(), 2);
}
