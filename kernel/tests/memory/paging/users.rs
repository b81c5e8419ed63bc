//! The U/S bit: all the way down for a program's tables, nowhere in the kernel's.

use kernel::memory::paging::{Cache, Rights};

use super::machine::{account, find, map, memory, tables, unmap};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::phyr;

const LOW: u64 = 1 << 40;

#[test]
fn only_a_programs_tables_are_for_programs() {
    for user in [false, true] {
        let arena = memory(16);
        let mut tables = tables(&arena);
        if user {
            tables = tables.for_user();
        }
        // A leaf of each size, each with a way of its own.
        for (offset, len) in [(0, GIB_1), (GIB_1, MIB_2), (2 * GIB_1, KIB_4)] {
            map(&mut tables, LOW + offset, 4 * GIB_1 + offset, len);
            assert_eq!(find(&arena, LOW + offset).unwrap().user, user);
        }
        let mut leaves = 0;
        tables.visit(range(LOW, 4 * GIB_1), |leaf| {
            assert_eq!(leaf.user, user);
            leaves += 1;
        });
        assert_eq!(leaves, 3);
    }
}

#[test]
fn what_is_split_or_protected_stays_for_programs() {
    let arena = memory(16);
    let mut tables = tables(&arena).for_user();
    map(&mut tables, LOW, 4 * GIB_1, GIB_1);
    let hole = LOW + 5 * MIB_2 + 3 * KIB_4;
    unmap(&mut tables, range(hole, KIB_4));
    let code = range(LOW + 7 * MIB_2, KIB_4);
    // SAFETY: nobody uses the memory, which is not there.
    unsafe { tables.protect(code, Rights::ReadExecute) }.unwrap();
    for at in [
        LOW,
        hole - KIB_4,
        hole + KIB_4,
        LOW + GIB_1 - 1,
        LOW + 7 * MIB_2,
    ] {
        assert!(find(&arena, at).unwrap().user, "{at:#x}");
    }
    assert_eq!(find(&arena, hole), None);
    // SAFETY: as above.
    unsafe {
        tables.map(
            virt(hole),
            phyr(KIB_4, KIB_4),
            Rights::ReadOnly,
            Cache::WriteBack,
        )
    }
    .unwrap();
    assert!(find(&arena, hole).unwrap().user);
    unmap(&mut tables, range(LOW, GIB_1));
    account(&mut tables, &arena);
}
