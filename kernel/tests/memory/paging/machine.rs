//! A machine for page tables: memory for the tables, a source of them that keeps accounts, and
//! a CPU that remembers everything it ever read until it is told to forget.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kernel::memory::paging::{Cache, Features, Flush, FrameSource, PageTables, Rights};
use kernel::memory::virt::VirtRange;
use kernel::memory::window::PAGE;
use phyr::{Phyr, PhysAddr};

use super::walker::{self, Translation, walk};
use super::{GIB_1, KIB_4, MIB_2};
use crate::arena::{Arena, phyr, write};

/// Where the memory for tables starts.
pub(crate) const TABLES: u64 = 0x70_0000_0000;

/// Memory for `count` tables. It contains garbage, as memory does.
pub(crate) fn memory(count: u64) -> Arena {
    let arena = Arena::new(phyr(TABLES, count * PAGE));
    for word in (TABLES..TABLES + count * PAGE).step_by(8) {
        write(&&arena, word, 0xffff_ffff_ffff_ffff);
    }
    arena
}

/// What the CPU remembers.
#[derive(Default)]
struct Memory {
    /// Leaves by their first address, as they were when they were read.
    leaves: BTreeMap<u64, Translation>,
    /// Tables that upper entries referred to.
    tables: BTreeSet<u64>,
    /// Reported, but not settled.
    reported: Vec<VirtRange>,
    /// How many leaves were ever reported, and how often that was settled.
    reports: usize,
    settled: usize,
}

/// A CPU that reads the tables whenever it likes, and remembers.
#[derive(Clone)]
pub(crate) struct Cpu<'a> {
    arena: &'a Arena,
    memory: Rc<RefCell<Memory>>,
}

impl Cpu<'_> {
    /// Uses the address, with what is remembered or else what is in the tables.
    pub(crate) fn touch(&self, virt: u64) {
        let mut memory = self.memory.borrow_mut();
        let found = walk(&self.arena, TABLES, virt, |table| {
            memory.tables.insert(table);
        });
        if let Some(found) = found {
            memory
                .leaves
                .entry(virt & !(found.size - 1))
                .or_insert(Translation {
                    phys: found.phys & !(found.size - 1),
                    ..found
                });
        }
    }

    /// Panics if the CPU remembers something that the tables no longer say.
    pub(crate) fn check(&self) {
        let memory = self.memory.borrow();
        assert!(memory.reported.is_empty(), "a change was not settled");
        for (&start, leaf) in &memory.leaves {
            // Of a large page each part could have changed; look at some of each size.
            let offsets = (0..9)
                .map(|part| (leaf.size / 9 * part) & !(PAGE - 1))
                .chain([leaf.size - PAGE]);
            for offset in offsets {
                let now = walk(&self.arena, TABLES, start + offset, |_| ());
                let now = now.map(|now| (now.phys, now.write, now.execute, now.pat));
                let remembered = (leaf.phys + offset, leaf.write, leaf.execute, leaf.pat);
                assert_eq!(
                    now,
                    Some(remembered),
                    "the CPU remembers {leaf:x?} at {start:#x}, offset {offset:#x}"
                );
            }
        }
    }

    /// How many leaves were reported as changed, and how often changes were settled.
    pub(crate) fn flushes(&self) -> (usize, usize) {
        let memory = self.memory.borrow();
        (memory.reports, memory.settled)
    }
}

impl Flush for Cpu<'_> {
    fn leaf(&mut self, leaf: VirtRange) {
        // A CPU may read the tables in the middle of a change, too: here what comes before.
        self.touch(leaf.start().get());
        self.touch(leaf.start().get().saturating_sub(PAGE));
        let mut memory = self.memory.borrow_mut();
        memory.reported.push(leaf);
        memory.reports += 1;
    }

    fn settle(&mut self) {
        let mut memory = self.memory.borrow_mut();
        assert!(!memory.reported.is_empty(), "there is nothing to settle");
        let reported = std::mem::take(&mut memory.reported);
        let touches = |start: u64, leaf: &Translation, range: &VirtRange| {
            start <= range.last().get() && range.start().get() < start + leaf.size
        };
        memory
            .leaves
            .retain(|&start, leaf| !reported.iter().any(|range| touches(start, leaf, range)));
        memory.tables.clear();
        memory.settled += 1;
    }
}

/// A source of tables that keeps accounts.
pub(crate) struct Frames<'a> {
    free: Vec<u64>,
    /// The tables that are out, the root among them.
    pub(crate) used: BTreeSet<u64>,
    /// How many more are handed out.
    pub(crate) limit: usize,
    /// Tables that came from elsewhere and were handed in.
    pub(crate) foreign: BTreeSet<u64>,
    cpu: Cpu<'a>,
}

// SAFETY: each frame is a page of the arena, and is handed out to one user at a time.
unsafe impl FrameSource for Frames<'_> {
    fn allocate(&mut self) -> Option<Phyr> {
        self.limit = self.limit.checked_sub(1)?;
        let frame = self.free.pop().expect("the arena is large enough");
        self.used.insert(frame);
        Some(phyr(frame, PAGE))
    }

    fn free(&mut self, table: Phyr) {
        let frame = table.addr().get();
        assert_eq!(table.len(), PAGE);
        let memory = self.cpu.memory.borrow();
        assert!(
            memory.reported.is_empty(),
            "a table is freed before the change is settled"
        );
        assert!(
            !memory.tables.contains(&frame),
            "a table is freed that the CPU remembers"
        );
        drop(memory);
        if self.used.remove(&frame) {
            // Garbage, so that nobody relies on what a table contained.
            (0..512)
                .for_each(|index| write(&self.cpu.arena, frame + index * 8, 0xdead_0000_0000_0fff));
            self.free.push(frame);
        } else {
            assert!(
                self.foreign.insert(frame),
                "the table at {frame:#x} is freed twice"
            );
        }
    }
}

/// Page tables on this machine.
pub(crate) type Tables<'a> = PageTables<&'a Arena, Frames<'a>, Cpu<'a>>;

/// A CPU with everything.
pub(crate) const FEATURES: Features = Features {
    gib_leaves: true,
    physical_bits: 46,
};

/// An empty address space, whose tables come from `arena`.
pub(crate) fn tables(arena: &Arena) -> Tables<'_> {
    tables_with(arena, FEATURES)
}

/// An empty address space on a CPU with other features.
pub(crate) fn tables_with(arena: &Arena, features: Features) -> Tables<'_> {
    (0..512).for_each(|index| write(&arena, TABLES + index * 8, 0));
    existing(arena, 1, features)
}

/// An address space whose root and other tables, `count` altogether, are in the arena already.
pub(crate) fn existing(arena: &Arena, count: u64, features: Features) -> Tables<'_> {
    let pages = arena.range().len() / PAGE;
    let cpu = Cpu {
        arena,
        memory: Rc::default(),
    };
    let free = (count..pages)
        .rev()
        .map(|page| TABLES + page * PAGE)
        .collect();
    let frames = Frames {
        free,
        used: BTreeSet::new(),
        limit: usize::MAX,
        foreign: BTreeSet::new(),
        cpu: cpu.clone(),
    };
    // SAFETY: the tables are the arena's, and the CPU model reads them only.
    unsafe { PageTables::adopt(PhysAddr::new(TABLES), arena, frames, cpu, features) }
}

/// What a CPU finds at `virt`.
pub(crate) fn find(arena: &Arena, virt: u64) -> Option<Translation> {
    walk(&arena, TABLES, virt, |_| ())
}

/// Checks that the tables in use are those that can be reached, and that none is empty.
pub(crate) fn account(tables: &mut Tables<'_>, arena: &Arena) {
    let mut reachable = walker::tables(&arena, TABLES);
    assert!(reachable.remove(&TABLES));
    assert_eq!(reachable, tables.frames().used);
}

/// Write and execute, as `rights` would have them.
pub(crate) const fn allowed(rights: Rights) -> (bool, bool) {
    match rights {
        Rights::ReadOnly => (false, false),
        Rights::ReadWrite => (true, false),
        Rights::ReadExecute => (false, true),
    }
}

/// The PAT entry that `cache` should select.
pub(crate) const fn pat(cache: Cache) -> u64 {
    match cache {
        Cache::WriteBack => 0,
        Cache::WriteCombining => 1,
        Cache::Uncached => 3,
    }
}

/// How many leaves of 1 GiB, 2 MiB and 4 KiB a range takes if the largest is always taken.
pub(crate) fn greedy(virt: u64, phys: u64, len: u64, gib_leaves: bool) -> (u64, u64, u64) {
    let mut counts = [0; 3];
    let mut done = 0;
    while done < len {
        let fits = |size: u64| {
            (virt + done).is_multiple_of(size)
                && (phys + done).is_multiple_of(size)
                && done + size <= len
        };
        let kind = if gib_leaves && fits(GIB_1) {
            0
        } else if fits(MIB_2) {
            1
        } else {
            2
        };
        counts[kind] += 1;
        done += [GIB_1, MIB_2, KIB_4][kind];
    }
    (counts[0], counts[1], counts[2])
}

/// Maps with the usual rights, and checks the leaves.
pub(crate) fn map(tables: &mut Tables<'_>, virt: u64, phys: u64, len: u64) -> VirtRange {
    // SAFETY: nothing uses these addresses; they are mapped in a model.
    let mapped = unsafe {
        tables.map(
            super::virt(virt),
            phyr(phys, len),
            Rights::ReadWrite,
            Cache::WriteBack,
        )
    };
    let mapped = mapped.unwrap();
    assert_eq!(mapped, super::range(virt, len));
    let count = tables.leaves(mapped);
    assert_eq!(
        (count.gib_1, count.mib_2, count.kib_4),
        greedy(virt, phys, len, true)
    );
    mapped
}

/// Unmaps, and says what was mapped as numbers.
pub(crate) fn unmap(tables: &mut Tables<'_>, range: VirtRange) -> Vec<(u64, u64)> {
    // SAFETY: as in `map`.
    let phyrs = unsafe { tables.unmap(range) }.unwrap();
    phyrs
        .iter()
        .map(|phyr| (phyr.addr().get(), phyr.len()))
        .collect()
}

/// Changes rights.
pub(crate) fn protect(tables: &mut Tables<'_>, range: VirtRange, rights: Rights) {
    // SAFETY: as in `map`.
    unsafe { tables.protect(range, rights) }.unwrap();
}

/// What is mapped, as numbers.
pub(crate) fn translate(tables: &Tables<'_>, range: VirtRange) -> Vec<(u64, u64)> {
    let phyrs = tables.translate(range).unwrap();
    phyrs
        .iter()
        .map(|phyr| (phyr.addr().get(), phyr.len()))
        .collect()
}
