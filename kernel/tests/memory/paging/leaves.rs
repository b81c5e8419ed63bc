//! A phyr is mapped with the largest leaves that fit.

use kernel::memory::paging::{Cache, Features, LeafCount, Rights};
use kernel::memory::virt::VirtRange;

use super::machine::{
    FEATURES, account, allowed, find, greedy, map, memory, pat, tables, tables_with, translate,
    unmap,
};
use super::{GIB_1, KIB_4, MIB_2, range, virt};
use crate::arena::phyr;
use crate::random::Random;

/// Some place in the upper half, at a multiple of 1 GiB.
const HERE: u64 = 0xffff_9000_0000_0000;

#[test]
fn a7_a_gibibyte_is_one_leaf_and_one_phyr() {
    let arena = memory(8);
    let mut tables = tables(&arena);
    let mapped = map(&mut tables, HERE, 7 * GIB_1, GIB_1);
    assert_eq!(
        tables.leaves(mapped),
        LeafCount {
            gib_1: 1,
            mib_2: 0,
            kib_4: 0
        }
    );
    assert_eq!(translate(&tables, mapped), [(7 * GIB_1, GIB_1)]);
    // The root, which the machine had, refers to one more table, and that to the memory.
    assert_eq!(tables.frames().used.len(), 1);
    assert_eq!(unmap(&mut tables, mapped), [(7 * GIB_1, GIB_1)]);
    assert_eq!(tables.frames().used.len(), 0);
}

#[test]
fn c8_one_leaf_of_each_size() {
    let arena = memory(8);
    let mut tables = tables(&arena);
    let mapped = map(&mut tables, HERE, 7 * GIB_1, GIB_1 + MIB_2 + KIB_4);
    assert_eq!(
        tables.leaves(mapped),
        LeafCount {
            gib_1: 1,
            mib_2: 1,
            kib_4: 1
        }
    );
    assert_eq!(
        translate(&tables, mapped),
        [(7 * GIB_1, GIB_1 + MIB_2 + KIB_4)]
    );
    assert_eq!(tables.frames().used.len(), 3);
}

#[test]
fn a_cpu_without_gibibyte_leaves_gets_none() {
    let arena = memory(8);
    let mut tables = tables_with(
        &arena,
        Features {
            gib_leaves: false,
            ..FEATURES
        },
    );
    // SAFETY: it is mapped in a model.
    let mapped = unsafe {
        tables.map(
            virt(HERE),
            phyr(7 * GIB_1, GIB_1 + KIB_4),
            Rights::ReadWrite,
            Cache::WriteBack,
        )
    };
    assert_eq!(
        tables.leaves(mapped.unwrap()),
        LeafCount {
            gib_1: 0,
            mib_2: 512,
            kib_4: 1
        }
    );
    assert_eq!(
        translate(&tables, mapped.unwrap()),
        [(7 * GIB_1, GIB_1 + KIB_4)]
    );
}

#[test]
fn addresses_that_differ_in_their_low_bits_get_smaller_leaves() {
    let arena = memory(600);
    let mut tables = tables(&arena);
    let all = map(&mut tables, HERE, MIB_2, GIB_1);
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 0,
            mib_2: 512,
            kib_4: 0
        }
    );
    unmap(&mut tables, all);
    let all = map(&mut tables, HERE, KIB_4, 2 * MIB_2);
    assert_eq!(
        tables.leaves(all),
        LeafCount {
            gib_1: 0,
            mib_2: 0,
            kib_4: 1024
        }
    );
    assert_eq!(translate(&tables, all), [(KIB_4, 2 * MIB_2)]);
}

#[test]
fn any_cut_is_greedy() {
    let arena = memory(2000);
    let mut tables = tables(&arena);
    let mut random = Random::new(7);
    for _ in 0..200 {
        let unit = random.pick(&[KIB_4, MIB_2, GIB_1]);
        let (mut start, mut len) = (random.below(4) * unit, (1 + random.below(3)) * unit);
        for unit in [KIB_4, MIB_2] {
            start += random.below(3) * unit;
            len += random.below(3) * unit;
        }
        let shift = random.pick(&[0, 0, MIB_2, GIB_1]);
        let mapped = map(&mut tables, HERE + start, 64 * GIB_1 + shift + start, len);
        assert_eq!(
            translate(&tables, mapped),
            [(64 * GIB_1 + shift + start, len)]
        );
        account(&mut tables, &arena);
        assert_eq!(
            unmap(&mut tables, mapped),
            [(64 * GIB_1 + shift + start, len)]
        );
        assert_eq!(tables.frames().used.len(), 0);
    }
}

#[test]
fn the_oracle_is_right_about_a_known_case() {
    assert_eq!(
        greedy(
            GIB_1 - KIB_4,
            GIB_1 - KIB_4,
            GIB_1 + 2 * MIB_2 + KIB_4,
            true
        ),
        (1, 2, 1)
    );
    assert_eq!(greedy(0, GIB_1, GIB_1, false), (0, 512, 0));
}

#[test]
fn both_ends_of_both_halves_can_be_mapped() {
    let arena = memory(32);
    let mut tables = tables(&arena);
    for half in [VirtRange::LOWER_HALF, VirtRange::UPPER_HALF] {
        let last_page = half.last().get() - (KIB_4 - 1);
        for start in [half.start().get(), last_page] {
            map(&mut tables, start, GIB_1, KIB_4);
            assert_eq!(find(&arena, start).map(|found| found.phys), Some(GIB_1));
        }
        assert_eq!(tables.leaves(half).kib_4, 2);
        assert_eq!(
            unmap(&mut tables, range(last_page, KIB_4)),
            [(GIB_1, KIB_4)]
        );
        assert_eq!(tables.leaves(half).total(), 1);
        let last_gib = half.last().get() - (GIB_1 - 1);
        map(&mut tables, last_gib, GIB_1, GIB_1);
        assert_eq!(
            find(&arena, half.last().get()).map(|found| found.phys),
            Some(2 * GIB_1 - 1)
        );
    }
}

#[test]
fn rights_and_cache_are_what_the_cpu_finds() {
    let arena = memory(16);
    for rights in [Rights::ReadOnly, Rights::ReadWrite, Rights::ReadExecute] {
        for cache in [Cache::WriteBack, Cache::Uncached, Cache::WriteCombining] {
            let mut tables = tables(&arena);
            let len = GIB_1 + MIB_2 + KIB_4;
            // SAFETY: it is mapped in a model.
            let mapped = unsafe { tables.map(virt(HERE), phyr(0, len), rights, cache) }.unwrap();
            for offset in [0, GIB_1, GIB_1 + MIB_2] {
                let found = find(&arena, HERE + offset).unwrap();
                assert_eq!((found.write, found.execute), allowed(rights));
                assert_eq!(found.pat, pat(cache));
            }
            tables.visit(mapped, |leaf| {
                assert_eq!((leaf.rights, leaf.cache), (Some(rights), Some(cache)))
            });
        }
    }
}
