//! What cannot be done is refused, and changes nothing.

use std::collections::BTreeSet;

use kernel::memory::paging::{Cache, Features, MapError, Rights};
use kernel::memory::virt::VirtError;
use phyr::Phyr;

use super::machine::{FEATURES, TABLES, Tables, account, map, memory, tables, tables_with, unmap};
use super::{GIB_1, KIB_4, MIB_2, range, virt, walker};
use crate::arena::{Arena, phyr, read};

const HERE: u64 = 0xffff_9000_0000_0000;

fn try_map(tables: &mut Tables<'_>, at: u64, memory: Phyr) -> Result<(), MapError> {
    // SAFETY: it is mapped in a model.
    unsafe { tables.map(virt(at), memory, Rights::ReadWrite, Cache::WriteBack) }.map(|_| ())
}

/// All words of all tables that can be reached.
fn contents(arena: &Arena) -> Vec<(u64, u64)> {
    let tables: BTreeSet<u64> = walker::tables(&arena, TABLES);
    let words = tables
        .iter()
        .flat_map(|table| (0..512).map(move |index| table + index * 8));
    words.map(|word| (word, read(&arena, word))).collect()
}

#[test]
fn what_is_mapped_is_not_mapped_over() {
    let arena = memory(32);
    let mut tables = tables(&arena);
    map(&mut tables, HERE + GIB_1, 8 * GIB_1, GIB_1);
    map(&mut tables, HERE + 2 * GIB_1 + MIB_2, 16 * GIB_1, MIB_2);
    map(
        &mut tables,
        HERE + 2 * GIB_1 + 3 * MIB_2 + KIB_4,
        32 * GIB_1,
        KIB_4,
    );
    let before = contents(&arena);
    let page = HERE + 2 * GIB_1 + 3 * MIB_2 + KIB_4;
    for (at, len, obstacle) in [
        (HERE + GIB_1, GIB_1, HERE + GIB_1),
        (HERE + GIB_1 + 5 * KIB_4, KIB_4, HERE + GIB_1 + 5 * KIB_4),
        (HERE, 4 * GIB_1, HERE + GIB_1),
        (HERE + KIB_4, GIB_1, HERE + GIB_1),
        (HERE + 2 * GIB_1, MIB_2 + KIB_4, HERE + 2 * GIB_1 + MIB_2),
        (page, KIB_4, page),
        (page - KIB_4, 3 * KIB_4, page),
        (page - KIB_4, MIB_2, page),
        (HERE + 2 * GIB_1 + 2 * MIB_2, 4 * MIB_2, page),
    ] {
        let refused = try_map(&mut tables, at, phyr(64 * GIB_1 + at % GIB_1, len));
        assert_eq!(
            refused,
            Err(MapError::AlreadyMapped(virt(obstacle))),
            "{len:#x} bytes at {at:#x}"
        );
        assert!(contents(&arena) == before);
        account(&mut tables, &arena);
    }
    assert_eq!(
        tables.flush().flushes(),
        (0, 0),
        "nothing has to be forgotten"
    );
}

#[test]
fn what_is_not_mapped_is_not_unmapped() {
    let arena = memory(32);
    let mut tables = tables(&arena);
    map(&mut tables, HERE, 0, GIB_1 + MIB_2);
    map(&mut tables, HERE + GIB_1 + MIB_2 + KIB_4, 8 * GIB_1, KIB_4);
    let before = contents(&arena);
    let gap = HERE + GIB_1 + MIB_2;
    for (at, len, missing) in [
        (HERE - KIB_4, KIB_4, HERE - KIB_4),
        (HERE - KIB_4, 2 * KIB_4, HERE - KIB_4),
        (HERE + GIB_1, MIB_2 + KIB_4, gap),
        (HERE + KIB_4, GIB_1 + MIB_2 + KIB_4, gap),
        (gap + 2 * KIB_4, KIB_4, gap + 2 * KIB_4),
        (0, GIB_1, 0),
    ] {
        let absent = Err(MapError::NotMapped(virt(missing)));
        // SAFETY: it is unmapped in a model.
        assert_eq!(unsafe { tables.unmap(range(at, len)) }.map(|_| ()), absent);
        // SAFETY: likewise.
        let protected = unsafe { tables.protect(range(at, len), Rights::ReadOnly) };
        assert_eq!(protected, absent);
        assert_eq!(tables.translate(range(at, len)).map(|_| ()), absent);
        assert!(contents(&arena) == before);
        account(&mut tables, &arena);
    }
    assert_eq!(tables.flush().flushes(), (0, 0));
}

#[test]
fn only_whole_pages_are_mapped() {
    let arena = memory(8);
    let mut tables = tables(&arena);
    for (at, addr, len) in [
        (1, 0, KIB_4),
        (0, 1, KIB_4),
        (0, 0, KIB_4 + 1),
        (0, 0, 1),
        (512, 512, KIB_4),
    ] {
        assert_eq!(
            try_map(&mut tables, HERE + at, phyr(addr, len)),
            Err(MapError::Misaligned)
        );
    }
    map(&mut tables, HERE, 0, MIB_2);
    for part in [
        range(HERE + 1, KIB_4),
        range(HERE, KIB_4 - 1),
        range(HERE + 8, KIB_4),
    ] {
        // SAFETY: it is unmapped in a model.
        let unmapped = unsafe { tables.unmap(part) };
        assert_eq!(unmapped.map(|_| ()), Err(MapError::Misaligned));
        // SAFETY: likewise.
        let protected = unsafe { tables.protect(part, Rights::ReadOnly) };
        assert_eq!(protected, Err(MapError::Misaligned));
    }
}

#[test]
fn the_hole_and_the_end_are_not_crossed() {
    let arena = memory(8);
    let mut tables = tables(&arena);
    for at in [0x7fff_ffff_f000, 0xffff_ffff_ffff_f000] {
        let refused = try_map(&mut tables, at, phyr(0, 2 * KIB_4));
        assert!(matches!(
            refused,
            Err(MapError::Address(VirtError::LeavesHalf { .. }))
        ));
    }
    assert_eq!(tables.frames().used.len(), 0);
}

#[test]
fn the_cpu_must_be_able_to_address_the_memory() {
    let arena = memory(8);
    for physical_bits in [36, 40, 52, 64] {
        let mut tables = tables_with(
            &arena,
            Features {
                physical_bits,
                ..FEATURES
            },
        );
        let end = 1 << physical_bits.min(52);
        for beyond in [
            phyr(end, KIB_4),
            phyr(end - KIB_4, 2 * KIB_4),
            phyr(u64::MAX - (2 * KIB_4 - 1), KIB_4),
        ] {
            assert_eq!(
                try_map(&mut tables, HERE, beyond),
                Err(MapError::BeyondPhysical(beyond))
            );
        }
        assert_eq!(try_map(&mut tables, HERE, phyr(end - KIB_4, KIB_4)), Ok(()));
    }
}

/// With ever more memory for tables, a change is refused until there is enough. A refusal changes
/// nothing and keeps no table; success takes no more tables than the tree then has.
#[test]
fn a_change_that_runs_out_of_tables_is_not_begun() {
    let arena = memory(64);
    // A tail in another directory, whose tables exist, and a head in a part that has none.
    let (at, len) = (HERE + 512 * GIB_1 - MIB_2 - KIB_4, GIB_1 + 3 * MIB_2);
    let mut refusals = 0;
    for limit in 0.. {
        let mut tables = tables(&arena);
        map(&mut tables, HERE + 514 * GIB_1, 0, KIB_4);
        let before = contents(&arena);
        tables.frames().limit = limit;
        let result = try_map(&mut tables, at, phyr(at % GIB_1, len));
        account(&mut tables, &arena);
        if result.is_ok() {
            assert_eq!(tables.frames().limit, 0, "all that was there was needed");
            break;
        }
        assert_eq!(result, Err(MapError::OutOfTableMemory));
        assert!(contents(&arena) == before);
        refusals += 1;
    }
    // Pointers, directory and page table before the boundary, directory and page table after it.
    assert_eq!(refusals, 5);
}

#[test]
fn a_split_that_runs_out_of_tables_is_not_begun() {
    let arena = memory(64);
    let cut = range(HERE + 3 * KIB_4, GIB_1 - 5 * KIB_4);
    for protecting in [false, true] {
        let mut refusals = 0;
        for limit in 0.. {
            let mut tables = tables(&arena);
            map(&mut tables, HERE, 0, GIB_1);
            let before = contents(&arena);
            tables.frames().limit = limit;
            let result = if protecting {
                // SAFETY: it is protected in a model.
                unsafe { tables.protect(cut, Rights::ReadOnly) }
            } else {
                // SAFETY: it is unmapped in a model.
                unsafe { tables.unmap(cut) }.map(|_| ())
            };
            account(&mut tables, &arena);
            if result.is_ok() {
                break;
            }
            assert_eq!(result, Err(MapError::OutOfTableMemory));
            assert!(contents(&arena) == before);
            assert_eq!(tables.flush().flushes(), (0, 0));
            refusals += 1;
        }
        // A directory for the gibibyte, a page table for each of the two leaves that are cut.
        assert_eq!(refusals, 3);
    }
}

#[test]
fn an_error_is_followed_by_success() {
    let arena = memory(16);
    let mut tables = tables(&arena);
    tables.frames().limit = 1;
    assert_eq!(
        try_map(&mut tables, HERE, phyr(0, KIB_4)),
        Err(MapError::OutOfTableMemory)
    );
    tables.frames().limit = 3;
    let mapped = map(&mut tables, HERE, 0, KIB_4);
    assert_eq!(unmap(&mut tables, mapped), [(0, KIB_4)]);
}
