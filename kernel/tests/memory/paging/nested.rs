//! Nested tables: what a CPU needs in each entry, and that they come and go without loss.

use kernel::memory::paging::{FrameSource, LeafCount, MapError, NestedTables};
use kernel::memory::window::PAGE;
use phyr::Phyr;
use std::cell::RefCell;
use std::collections::BTreeSet;

use super::machine::{FEATURES, TABLES, memory};
use super::walker::walk;
use super::{GIB_1, KIB_4, MIB_2};
use crate::arena::{Arena, phyr, read};

/// Tables that are out.
#[derive(Default)]
struct Pool {
    used: RefCell<BTreeSet<u64>>,
    limit: usize,
}

struct Source<'a>(&'a Pool);

// SAFETY: each page of the arena is handed out to one user at a time.
unsafe impl FrameSource for Source<'_> {
    fn allocate(&mut self) -> Option<Phyr> {
        let mut used = self.0.used.borrow_mut();
        let free = (0..self.0.limit as u64).map(|page| TABLES + page * PAGE);
        let page = free.into_iter().find(|page| !used.contains(page))?;
        used.insert(page);
        Some(phyr(page, PAGE))
    }

    fn free(&mut self, table: Phyr) {
        assert!(self.0.used.borrow_mut().remove(&table.addr().get()));
    }
}

fn pool(limit: usize) -> Pool {
    Pool {
        limit,
        ..Pool::default()
    }
}

fn tables<'a>(arena: &'a Arena, pool: &'a Pool) -> NestedTables<&'a Arena, Source<'a>> {
    NestedTables::new(arena, Source(pool), FEATURES).unwrap()
}

fn append(tables: &mut NestedTables<&Arena, Source<'_>>, addr: u64, len: u64) {
    // SAFETY: no guest ever uses the tables.
    unsafe { tables.append(phyr(addr, len)) }.unwrap();
}

/// Whether every entry on the way to `addr` is a user's, writable and executable.
fn is_open(arena: &Arena, root: u64, addr: u64) -> bool {
    const PRESENT_WRITABLE_USER: u64 = 0b111;
    let mut tables = Vec::new();
    walk(&arena, root, addr, |table| tables.push(table)).expect("it is mapped");
    let shifts = [39, 30, 21, 12];
    tables.iter().zip(shifts).all(|(table, shift)| {
        let entry = read(&arena, table + (addr >> shift) % 512 * 8);
        entry & PRESENT_WRITABLE_USER == PRESENT_WRITABLE_USER && entry >> 63 == 0
    })
}

#[test]
fn phyrs_lie_side_by_side_from_0_on_and_are_open_to_the_guest() {
    let (arena, pool) = (memory(16), pool(16));
    let mut nested = tables(&arena, &pool);
    append(&mut nested, 7 * GIB_1, GIB_1);
    append(&mut nested, 3 * MIB_2, MIB_2);
    append(&mut nested, 5 * KIB_4, 2 * KIB_4);
    let leaves = LeafCount {
        gib_1: 1,
        mib_2: 1,
        kib_4: 2,
    };
    assert_eq!(nested.leaves(), leaves);
    let root = nested.root().get();
    let behind = GIB_1 + MIB_2;
    for (addr, phys) in [
        (0, 7 * GIB_1),
        (GIB_1 - 1, 8 * GIB_1 - 1),
        (GIB_1, 3 * MIB_2),
        (behind - 1, 4 * MIB_2 - 1),
        (behind, 5 * KIB_4),
        (behind + 2 * KIB_4 - 1, 7 * KIB_4 - 1),
    ] {
        let found = walk(&&arena, root, addr, |_| ()).expect("it is mapped");
        assert_eq!(found.phys, phys, "at {addr:#x}");
        assert!(is_open(&arena, root, addr), "at {addr:#x}");
    }
    for outside in [behind + 2 * KIB_4, 2 * GIB_1, 1 << 39, (1 << 48) - 1] {
        assert_eq!(walk(&&arena, root, outside, |_| ()), None, "{outside:#x}");
    }
}

#[test]
fn all_tables_come_back() {
    let (arena, pool) = (memory(16), pool(16));
    let mut nested = tables(&arena, &pool);
    assert_eq!(pool.used.borrow().len(), 1);
    append(&mut nested, 7 * GIB_1, GIB_1);
    assert_eq!(
        pool.used.borrow().len(),
        2,
        "a root, and one table with a leaf"
    );
    append(&mut nested, 5 * KIB_4, KIB_4);
    assert_eq!(pool.used.borrow().len(), 4);
    drop(nested);
    assert!(pool.used.borrow().is_empty());
    // Those that map nothing, too.
    drop(tables(&arena, &pool));
    assert!(pool.used.borrow().is_empty());
}

#[test]
fn what_cannot_be_mapped_changes_nothing() {
    let (arena, few) = (memory(16), pool(2));
    let mut nested = tables(&arena, &few);
    append(&mut nested, 7 * GIB_1, GIB_1);
    let before = nested.leaves();
    let far = phyr(1 << FEATURES.physical_bits, KIB_4);
    for (bad, error) in [
        (phyr(5 * KIB_4, KIB_4), MapError::OutOfTableMemory),
        (phyr(5 * KIB_4, KIB_4 - 1), MapError::Misaligned),
        (far, MapError::BeyondPhysical(far)),
    ] {
        // SAFETY: no guest ever uses the tables.
        assert_eq!(unsafe { nested.append(bad) }, Err(error));
        assert_eq!(nested.leaves(), before);
    }
    append(&mut nested, 9 * GIB_1, GIB_1);
    let none = pool(0);
    let nothing = NestedTables::new(&arena, Source(&none), FEATURES);
    assert!(matches!(nothing, Err(MapError::OutOfTableMemory)));
}
