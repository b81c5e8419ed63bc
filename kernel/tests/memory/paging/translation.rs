//! From virtual ranges back to phyrs.

use kernel::memory::paging::{Cache, Leaf, MapError, Rights};

use super::machine::{map, memory, tables, translate};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::phyr;

const HERE: u64 = 0xffff_9000_0000_0000;

#[test]
fn what_touches_is_joined_whatever_leaves_map_it() {
    let arena = memory(64);
    let mut tables = tables(&arena);
    map(&mut tables, HERE, GIB_1 - MIB_2, MIB_2);
    map(&mut tables, HERE + MIB_2, GIB_1, 3 * KIB_4);
    map(
        &mut tables,
        HERE + MIB_2 + 3 * KIB_4,
        GIB_1 + 3 * KIB_4,
        KIB_4,
    );
    assert_eq!(
        translate(&tables, range(HERE, MIB_2 + 4 * KIB_4)),
        [(GIB_1 - MIB_2, MIB_2 + 4 * KIB_4)]
    );
}

#[test]
fn what_does_not_touch_stays_apart_and_in_order() {
    let arena = memory(64);
    let mut tables = tables(&arena);
    for (page, frame) in [9, 8, 3, 4, 3, 3].into_iter().enumerate() {
        map(
            &mut tables,
            HERE + page as u64 * KIB_4,
            frame * KIB_4,
            KIB_4,
        );
    }
    let expected = [(9, 1), (8, 1), (3, 2), (3, 1), (3, 1)]
        .map(|(frame, count)| (frame * KIB_4, count * KIB_4));
    assert_eq!(translate(&tables, range(HERE, 6 * KIB_4)), expected);
}

#[test]
fn ranges_are_made_of_bytes() {
    let arena = memory(64);
    let mut tables = tables(&arena);
    map(&mut tables, HERE, GIB_1, MIB_2);
    map(&mut tables, HERE + MIB_2, 8 * GIB_1, KIB_4);
    assert_eq!(translate(&tables, range(HERE + 5, 1)), [(GIB_1 + 5, 1)]);
    assert_eq!(
        translate(&tables, range(HERE + KIB_4 - 1, 2)),
        [(GIB_1 + KIB_4 - 1, 2)]
    );
    let seam = range(HERE + MIB_2 - 3, 10);
    assert_eq!(
        translate(&tables, seam),
        [(GIB_1 + MIB_2 - 3, 3), (8 * GIB_1, 7)]
    );
    assert_eq!(
        translate(&tables, range(HERE + MIB_2, KIB_4)),
        [(8 * GIB_1, KIB_4)]
    );
    let missing = HERE + MIB_2 + KIB_4;
    assert_eq!(
        tables.translate(range(missing - 1, 2)).map(|_| ()),
        Err(MapError::NotMapped(virt(missing)))
    );
}

#[test]
fn every_leaf_is_shown_in_order() {
    let arena = memory(64);
    let mut tables = tables(&arena);
    map(&mut tables, HERE, 2 * GIB_1, GIB_1 + MIB_2);
    // SAFETY: it is mapped in a model.
    unsafe {
        tables.map(
            virt(HERE + 2 * GIB_1),
            phyr(KIB_4, KIB_4),
            Rights::ReadExecute,
            Cache::Uncached,
        )
    }
    .unwrap();
    let mut leaves = Vec::new();
    tables.visit(range(HERE + GIB_1 - 16, 4 * GIB_1), |leaf| {
        leaves.push(leaf)
    });
    let leaf = |offset, phys, len, size, rights, cache| Leaf {
        virt: range(HERE + offset, len),
        phyr: phyr(phys, len),
        size,
        rights: Some(rights),
        user: false,
        cache: Some(cache),
    };
    let expected = [
        leaf(
            GIB_1 - 16,
            3 * GIB_1 - 16,
            16,
            GIB_1,
            Rights::ReadWrite,
            Cache::WriteBack,
        ),
        leaf(
            GIB_1,
            3 * GIB_1,
            MIB_2,
            MIB_2,
            Rights::ReadWrite,
            Cache::WriteBack,
        ),
        leaf(
            2 * GIB_1,
            KIB_4,
            KIB_4,
            KIB_4,
            Rights::ReadExecute,
            Cache::Uncached,
        ),
    ];
    assert_eq!(leaves, expected);
}

#[test]
fn c6_a_list_of_limited_length_stops_where_nothing_can_be_joined_any_more() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    // Pages 3 to 10 of memory, one by one; then two that touch nothing; then one more.
    for page in 0..8 {
        map(&mut tables, HERE + page * KIB_4, (3 + page) * KIB_4, KIB_4);
    }
    for (place, page) in [(8, 20), (9, 30), (10, 31)] {
        map(&mut tables, HERE + place * KIB_4, page * KIB_4, KIB_4);
    }
    let all = range(HERE + 5, 11 * KIB_4 - 5);
    let first = |entries| {
        let (list, bytes) = tables.translate_up_to(all, entries).unwrap();
        assert_eq!(list.bytes(), bytes);
        list.iter()
            .map(|phyr| (phyr.addr().get(), phyr.len()))
            .collect::<Vec<_>>()
    };
    let whole = (3 * KIB_4 + 5, 8 * KIB_4 - 5);
    assert_eq!(first(0), []);
    assert_eq!(first(1), [whole]);
    assert_eq!(first(2), [whole, (20 * KIB_4, KIB_4)]);
    let end = (30 * KIB_4, 2 * KIB_4);
    assert_eq!(first(3), [whole, (20 * KIB_4, KIB_4), end]);
    assert_eq!(first(100), first(3));
    let beyond = range(HERE, 12 * KIB_4);
    assert!(matches!(
        tables.translate_up_to(beyond, 3),
        Err(MapError::NotMapped(_))
    ));
    assert!(tables.translate_up_to(beyond, 2).is_ok(), "not looked at");
}
