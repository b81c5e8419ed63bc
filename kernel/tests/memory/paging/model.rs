//! Random changes, each compared with a map from pages to frames.

use std::collections::BTreeMap;

use kernel::memory::paging::{Cache, Features, MapError, Rights};
use kernel::memory::virt::VirtRange;
use phyr::Phyr;

use super::machine::{FEATURES, Tables, account, allowed, find, greedy, memory, pat, tables_with};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::{Arena, phyr};
use crate::random::Random;

/// Where a page is mapped to, and how.
type Page = (u64, Rights, Cache);

/// An address space and what should be in it, in pages of the size `unit`.
struct Bench<'a> {
    arena: &'a Arena,
    tables: Tables<'a>,
    features: Features,
    unit: u64,
    base: u64,
    pages: u64,
    model: BTreeMap<u64, Page>,
    random: Random,
    /// How many changes were made, and how many were refused for lack of tables.
    made: u64,
    starved: u64,
}

impl Bench<'_> {
    /// Pages that are all mapped or all not; now and then any pages.
    fn part(&mut self, mapped: bool) -> (u64, u64, VirtRange) {
        let first = self.random.below(self.pages);
        let mut count = self.random.size(self.pages - first);
        if !self.random.one_in(8) {
            let fits = |page: &u64| self.model.contains_key(page) == mapped;
            count = (first..first + count).take_while(fits).count().max(1) as u64;
        }
        (
            first,
            count,
            range(self.base + first * self.unit, count * self.unit),
        )
    }

    /// The phyrs behind some pages, joined; or the first page that is not mapped.
    fn expected(&self, first: u64, count: u64) -> Result<Vec<Phyr>, MapError> {
        let mut phyrs: Vec<Phyr> = Vec::new();
        for page in first..first + count {
            let missing = MapError::NotMapped(virt(self.base + page * self.unit));
            let next = phyr(self.model.get(&page).ok_or(missing)?.0, self.unit);
            match phyrs.last_mut().map(|last| (last.try_merge(next), last)) {
                Some((Ok(joined), last)) => *last = joined,
                _ => phyrs.push(next),
            }
        }
        Ok(phyrs)
    }

    fn any_rights(&mut self) -> Rights {
        self.random
            .pick(&[Rights::ReadOnly, Rights::ReadWrite, Rights::ReadExecute])
    }

    fn map(&mut self) -> Result<(), MapError> {
        let (first, count, part) = self.part(false);
        let rights = self.any_rights();
        let cache = self
            .random
            .pick(&[Cache::WriteBack, Cache::Uncached, Cache::WriteCombining]);
        // Every other time the addresses differ only where the largest leaves do not look.
        let shift = if self.random.one_in(2) {
            self.random.below(1024) * self.unit
        } else {
            self.random.below(64) * GIB_1
        };
        let start = part.start().get() % (64 * GIB_1) + shift;
        let occupied = (first..first + count).find(|page| self.model.contains_key(page));
        let used = self.tables.frames().used.len();
        // SAFETY: it is mapped in a model.
        let mapped = unsafe {
            self.tables
                .map(part.start(), phyr(start, count * self.unit), rights, cache)
        };
        if let Some(page) = occupied {
            assert_eq!(
                mapped,
                Err(MapError::AlreadyMapped(virt(self.base + page * self.unit)))
            );
            return Ok(());
        }
        assert_eq!(mapped?, part);
        assert!(self.tables.frames().used.len() >= used);
        let leaves = self.tables.leaves(part);
        let fewest = greedy(
            part.start().get(),
            start,
            part.len(),
            self.features.gib_leaves,
        );
        assert_eq!((leaves.gib_1, leaves.mib_2, leaves.kib_4), fewest);
        self.made += 1;
        self.model.extend(
            (0..count).map(|page| (first + page, (start + page * self.unit, rights, cache))),
        );
        Ok(())
    }

    fn unmap(&mut self) -> Result<(), MapError> {
        let (first, count, part) = self.part(true);
        let expected = self.expected(first, count);
        // SAFETY: it is unmapped in a model.
        let phyrs = unsafe { self.tables.unmap(part) };
        if phyrs.as_ref().err() == Some(&MapError::OutOfTableMemory) {
            expected.expect("a range with a gap is refused for that");
            return Err(MapError::OutOfTableMemory);
        }
        assert_eq!(phyrs.map(|phyrs| phyrs.iter().collect()), expected);
        if expected.is_ok() {
            self.made += 1;
            self.model
                .retain(|page, _| !(first..first + count).contains(page));
        }
        Ok(())
    }

    fn protect(&mut self) -> Result<(), MapError> {
        let (first, count, part) = self.part(true);
        let rights = self.any_rights();
        // SAFETY: it is protected in a model.
        let result = unsafe { self.tables.protect(part, rights) };
        match (result, self.expected(first, count)) {
            (Err(MapError::OutOfTableMemory), Ok(_)) => return Err(MapError::OutOfTableMemory),
            (result, Err(missing)) => assert_eq!(result, Err(missing)),
            (result, Ok(_)) => {
                assert_eq!(result, Ok(()));
                self.made += 1;
                self.model
                    .range_mut(first..first + count)
                    .for_each(|(_, page)| page.1 = rights);
            }
        }
        Ok(())
    }

    fn replace(&mut self) -> Result<(), MapError> {
        let (first, count, part) = self.part(true);
        let rights = self.any_rights();
        let shift = if self.random.one_in(2) {
            self.random.below(1024) * self.unit
        } else {
            self.random.below(64) * GIB_1
        };
        let start = part.start().get() % (64 * GIB_1) + shift;
        let memory = phyr(start, count * self.unit);
        let before = self.tables.leaves(part).total();
        // SAFETY: it is replaced in a model.
        let result = unsafe { self.tables.replace(part, memory, rights, Cache::WriteBack) };
        match (result, self.expected(first, count)) {
            (Err(MapError::OutOfTableMemory), Ok(_)) => return Err(MapError::OutOfTableMemory),
            (result, Err(missing)) => assert_eq!(result, Err(missing)),
            (result, Ok(_)) => {
                assert_eq!(result, Ok(()));
                assert!(self.tables.leaves(part).total() >= before);
                self.made += 1;
                let page = |page| (start + page * self.unit, rights, Cache::WriteBack);
                self.model
                    .extend((0..count).map(|number| (first + number, page(number))));
            }
        }
        Ok(())
    }

    fn translate(&mut self) {
        let (first, count, part) = self.part(true);
        let phyrs = self
            .tables
            .translate(part)
            .map(|phyrs| phyrs.iter().collect());
        assert_eq!(phyrs, self.expected(first, count));
    }

    /// Compares what a CPU finds with the model, for every page.
    fn compare(&mut self) {
        for page in 0..self.pages {
            let start = self.base + page * self.unit;
            // The first and the last byte, as a page of the model may consist of smaller ones.
            for offset in [0, self.unit - 1] {
                let found = find(self.arena, start + offset);
                let found = found
                    .map(|found| (found.phys - offset, (found.write, found.execute), found.pat));
                let expected = self
                    .model
                    .get(&page)
                    .map(|(phys, rights, cache)| (*phys, allowed(*rights), pat(*cache)));
                assert_eq!(found, expected, "page {page}, at {:#x}", start + offset);
            }
        }
        account(&mut self.tables, self.arena);
    }

    fn run(&mut self, changes: u64) {
        for change in 0..changes {
            // The CPU looks around, and so remembers things.
            for _ in 0..4 {
                let page = self.random.below(self.pages);
                self.tables.flush().touch(self.base + page * self.unit);
            }
            let hungry = self.random.one_in(2);
            self.tables.frames().limit = if hungry {
                self.random.below(2) as usize
            } else {
                usize::MAX
            };
            let result = match self.random.below(10) {
                0..3 => self.map(),
                3..5 => self.unmap(),
                5..7 => self.protect(),
                7..9 => self.replace(),
                _ => {
                    self.translate();
                    Ok(())
                }
            };
            self.tables.flush().check();
            if let Err(error) = result {
                assert_eq!((error, hungry), (MapError::OutOfTableMemory, true));
                self.starved += 1;
            }
            if result.is_err() || change % 16 == 0 {
                self.compare();
            }
            if self.random.one_in(50) {
                self.clear();
            }
        }
        assert!(
            self.made > changes / 4,
            "{} of {changes} changes were made",
            self.made
        );
        assert!(
            self.starved > changes / 50,
            "{} of {changes} changes lacked tables",
            self.starved
        );
        self.clear();
    }

    /// Unmaps everything: no table is left.
    fn clear(&mut self) {
        self.tables.frames().limit = usize::MAX;
        for page in std::mem::take(&mut self.model).into_keys() {
            // SAFETY: it is unmapped in a model.
            unsafe {
                self.tables
                    .unmap(range(self.base + page * self.unit, self.unit))
            }
            .unwrap();
        }
        self.compare();
        self.tables.flush().check();
        assert_eq!(self.tables.frames().used.len(), 0);
    }
}

fn run(unit: u64, base: u64, pages: u64, features: Features, changes: u64) {
    let arena = memory(4096);
    let tables = tables_with(&arena, features);
    let random = Random::new(unit ^ base);
    let model = BTreeMap::new();
    Bench {
        arena: &arena,
        tables,
        features,
        unit,
        base,
        pages,
        model,
        random,
        made: 0,
        starved: 0,
    }
    .run(changes);
}

/// Leaves of 4 KiB and 2 MiB, on both sides of a boundary between two entries of the root.
#[test]
fn small_pages_behave_like_the_map() {
    run(
        KIB_4,
        0xffff_8080_0000_0000 - 700 * KIB_4,
        2000,
        FEATURES,
        30_000,
    );
}

/// Leaves of 2 MiB and 1 GiB.
#[test]
fn large_pages_behave_like_the_map() {
    run(MIB_2, 0x80_0000_0000 - 700 * MIB_2, 2000, FEATURES, 30_000);
}

/// The same on a CPU without leaves of 1 GiB.
#[test]
fn large_pages_behave_like_the_map_without_gibibyte_leaves() {
    run(
        MIB_2,
        0x80_0000_0000,
        1200,
        Features {
            gib_leaves: false,
            ..FEATURES
        },
        10_000,
    );
}
