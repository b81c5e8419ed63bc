//! Leaves that a range cuts are split, and only those.

use kernel::memory::paging::{Cache, LeafCount, Rights};

use super::machine::{account, allowed, find, map, memory, protect, tables, translate, unmap};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::phyr;

const HERE: u64 = 0xffff_9000_0000_0000;

#[test]
fn a_page_leaves_a_gibibyte() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 8 * GIB_1, GIB_1);
    let offset = 5 * MIB_2 + 7 * KIB_4;
    assert_eq!(
        unmap(&mut tables, range(HERE + offset, KIB_4)),
        [(8 * GIB_1 + offset, KIB_4)]
    );
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 0,
            mib_2: 511,
            kib_4: 511
        }
    );
    assert_eq!(
        translate(&tables, range(HERE, offset)),
        [(8 * GIB_1, offset)]
    );
    let rest = GIB_1 - offset - KIB_4;
    assert_eq!(
        translate(&tables, range(HERE + offset + KIB_4, rest)),
        [(8 * GIB_1 + offset + KIB_4, rest)]
    );
    assert_eq!(find(&arena, HERE + offset), None);
    account(&mut tables, &arena);
    // The gap is filled again by other memory.
    map(&mut tables, HERE + offset, KIB_4, KIB_4);
    let (before, after) = ((8 * GIB_1, offset), (8 * GIB_1 + offset + KIB_4, rest));
    assert_eq!(unmap(&mut tables, all), [before, (KIB_4, KIB_4), after]);
    assert_eq!(tables.frames().used.len(), 0);
}

#[test]
fn what_is_cut_at_a_leaf_boundary_is_not_split_further() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 0, 3 * GIB_1);
    unmap(&mut tables, range(HERE + GIB_1, GIB_1));
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 2,
            mib_2: 0,
            kib_4: 0
        }
    );
    unmap(&mut tables, range(HERE + MIB_2, MIB_2));
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 1,
            mib_2: 511,
            kib_4: 0
        }
    );
    account(&mut tables, &arena);
}

#[test]
fn rights_change_in_the_range_and_nowhere_else() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 0, 2 * GIB_1);
    let part = range(HERE + MIB_2 - KIB_4, GIB_1);
    protect(&mut tables, part, Rights::ReadExecute);
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 0,
            mib_2: 2 * 512 - 2,
            kib_4: 2 * 512
        }
    );
    assert_eq!(translate(&tables, all), [(0, 2 * GIB_1)]);
    for (offset, rights) in [
        (0, Rights::ReadWrite),
        (MIB_2 - 2 * KIB_4, Rights::ReadWrite),
        (MIB_2 - KIB_4, Rights::ReadExecute),
        (GIB_1, Rights::ReadExecute),
        (GIB_1 + MIB_2 - 2 * KIB_4, Rights::ReadExecute),
        (GIB_1 + MIB_2 - KIB_4, Rights::ReadWrite),
        (2 * GIB_1 - 1, Rights::ReadWrite),
    ] {
        let found = find(&arena, HERE + offset).unwrap();
        assert_eq!(
            (found.phys, (found.write, found.execute)),
            (offset, allowed(rights)),
            "{offset:#x}"
        );
    }
    account(&mut tables, &arena);
}

#[test]
fn rights_that_are_there_already_cost_nothing() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 0, GIB_1 + MIB_2);
    tables.frames().limit = 0;
    protect(&mut tables, range(HERE + KIB_4, GIB_1), Rights::ReadWrite);
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 1,
            mib_2: 1,
            kib_4: 0
        }
    );
    assert_eq!(tables.flush().flushes(), (0, 0));
}

#[test]
fn a_whole_leaf_changes_rights_in_place() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 0, GIB_1);
    tables.frames().limit = 0;
    for rights in [Rights::ReadOnly, Rights::ReadExecute, Rights::ReadWrite] {
        protect(&mut tables, all, rights);
        assert_eq!(tables.leaves(all).gib_1, 1);
        tables.visit(all, |leaf| assert_eq!(leaf.rights, Some(rights)));
    }
    assert_eq!(tables.flush().flushes(), (3, 3));
}

#[test]
fn a_split_keeps_the_cache_mode() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    // SAFETY: it is mapped in a model.
    let all = unsafe {
        tables.map(
            virt(HERE),
            phyr(0, GIB_1),
            Rights::ReadWrite,
            Cache::Uncached,
        )
    }
    .unwrap();
    protect(&mut tables, range(HERE, KIB_4), Rights::ReadOnly);
    assert_eq!(tables.leaves(all).total(), 511 + 512);
    tables.visit(all, |leaf| assert_eq!(leaf.cache, Some(Cache::Uncached)));
}

#[test]
fn every_leaf_that_changes_is_forgotten() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, 0, GIB_1 + MIB_2 + 2 * KIB_4);
    for offset in [0, GIB_1, GIB_1 + MIB_2, GIB_1 + MIB_2 + KIB_4] {
        tables.flush().touch(HERE + offset);
    }
    // One page of each of the two large leaves, and a small leaf.
    for (offset, reports) in [(KIB_4, 3), (GIB_1 + 9 * KIB_4, 2), (GIB_1 + MIB_2, 1)] {
        let (before, settled) = tables.flush().flushes();
        unmap(&mut tables, range(HERE + offset, KIB_4));
        tables.flush().check();
        assert_eq!(tables.flush().flushes(), (before + reports, settled + 1));
    }
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 0,
            mib_2: 511,
            kib_4: 511 + 511 + 1
        }
    );
}
