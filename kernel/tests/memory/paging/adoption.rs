//! Tables that someone else has made.

use std::collections::BTreeSet;

use kernel::memory::paging::{Cache, MapError, Rights};
use kernel::memory::window::PAGE;

use super::machine::{
    FEATURES, TABLES, allowed, existing, find, memory, protect, translate, unmap,
};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::{Arena, phyr, write};

/// Entry 0 of each of four tables refers to the next; the rest is free. Returns the memory.
fn loaded(upper: u64) -> Arena {
    let arena = memory(32);
    (TABLES..TABLES + 4 * PAGE)
        .step_by(8)
        .for_each(|word| write(&&arena, word, 0));
    for table in 0..3 {
        write(
            &&arena,
            TABLES + table * PAGE,
            (TABLES + (table + 1) * PAGE) | upper,
        );
    }
    arena
}

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LARGE: u64 = 0x80;
const NO_EXECUTE: u64 = 1 << 63;

#[test]
fn what_was_mapped_before_is_used_on() {
    let arena = loaded(PRESENT | WRITABLE);
    // The loader's page 3, and memory of 2 MiB that is writable and executable.
    write(
        &&arena,
        TABLES + 3 * PAGE + 3 * 8,
        0x5000 | PRESENT | NO_EXECUTE,
    );
    write(
        &&arena,
        TABLES + 2 * PAGE + 8,
        GIB_1 | PRESENT | WRITABLE | LARGE,
    );
    let mut tables = existing(&arena, 4, FEATURES);
    assert_eq!(
        translate(&tables, range(3 * KIB_4, KIB_4)),
        [(0x5000, KIB_4)]
    );
    let mut rights = Vec::new();
    tables.visit(range(0, GIB_1), |leaf| rights.push(leaf.rights));
    assert_eq!(
        rights,
        [Some(Rights::ReadOnly), None],
        "what W^X forbids is told"
    );

    protect(&mut tables, range(MIB_2, MIB_2), Rights::ReadExecute);
    assert_eq!(
        find(&arena, MIB_2).map(|found| (found.write, found.execute)),
        Some(allowed(Rights::ReadExecute))
    );
    // SAFETY: it is mapped in a model.
    unsafe {
        tables.map(
            virt(4 * KIB_4),
            phyr(0, KIB_4),
            Rights::ReadWrite,
            Cache::WriteBack,
        )
    }
    .unwrap();
    assert_eq!(
        tables.frames().used,
        BTreeSet::new(),
        "the loader's tables have room"
    );
}

#[test]
fn the_source_is_told_of_tables_that_are_not_its_own() {
    let arena = loaded(PRESENT | WRITABLE);
    write(
        &&arena,
        TABLES + 3 * PAGE + 3 * 8,
        0x5000 | PRESENT | WRITABLE | NO_EXECUTE,
    );
    let mut tables = existing(&arena, 4, FEATURES);
    tables.flush().touch(3 * KIB_4);
    assert_eq!(
        unmap(&mut tables, range(3 * KIB_4, KIB_4)),
        [(0x5000, KIB_4)]
    );
    assert_eq!(
        tables.frames().foreign,
        [1, 2, 3].map(|page| TABLES + page * PAGE).into()
    );
}

/// Entries above the leaves may restrict; then a leaf's rights would be a lie.
#[test]
fn restrictions_from_above_are_seen() {
    for (upper, kept, refused) in [
        (
            PRESENT | NO_EXECUTE | WRITABLE,
            Rights::ReadWrite,
            Rights::ReadExecute,
        ),
        (PRESENT, Rights::ReadExecute, Rights::ReadWrite),
    ] {
        let arena = loaded(upper);
        write(
            &&arena,
            TABLES + 3 * PAGE + 3 * 8,
            0x5000 | PRESENT | WRITABLE,
        );
        let mut tables = existing(&arena, 4, FEATURES);
        tables.visit(range(0, MIB_2), |leaf| assert_eq!(leaf.rights, Some(kept)));
        let page = range(3 * KIB_4, KIB_4);
        // SAFETY: it is protected in a model.
        let result = unsafe { tables.protect(page, refused) };
        assert_eq!(result, Err(MapError::Restricted(page.start())));
        protect(&mut tables, page, kept);
        // SAFETY: it is mapped in a model.
        let mapped = unsafe { tables.map(virt(0), phyr(0, KIB_4), refused, Cache::WriteBack) };
        assert_eq!(mapped, Err(MapError::Restricted(virt(0))));
        // SAFETY: likewise.
        unsafe { tables.map(virt(0), phyr(0, KIB_4), kept, Cache::WriteBack) }.unwrap();
        assert_eq!(
            find(&arena, 0).map(|found| (found.write, found.execute)),
            Some(allowed(kept))
        );
    }
}
