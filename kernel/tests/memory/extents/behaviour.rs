//! The allocator's promises, one at a time.

use kernel::memory::extents::{AllocError, ExtentAllocator, FreeError, Request};
use kernel::memory::window::PAGE;
use phyr::{Phyr, PhysAddr};

use super::free;
use crate::arena::{Arena, SparseArena, phyr, read, write};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// An allocator whose free extents are those.
fn with<'a>(arena: &'a SparseArena, extents: &[(u64, u64)]) -> ExtentAllocator<&'a SparseArena> {
    let mut allocator = ExtentAllocator::new(arena);
    for &(addr, len) in extents {
        free(&mut allocator, phyr(addr, len)).unwrap();
    }
    allocator
}

fn list<W: kernel::memory::window::Window>(allocator: &ExtentAllocator<W>) -> Vec<Phyr> {
    allocator.check().unwrap();
    allocator.extents().collect()
}

#[test]
fn nothing_comes_from_nothing() {
    let arena = SparseArena::default();
    let mut allocator = ExtentAllocator::new(&arena);
    assert_eq!(
        allocator.allocate(Request::bytes(PAGE)),
        Err(AllocError::Exhausted(Request::bytes(PAGE)))
    );
    assert_eq!(
        allocator.allocate_at(phyr(0, PAGE)),
        Err(AllocError::NotFree(phyr(0, PAGE)))
    );
    assert_eq!(
        (
            allocator.free_bytes(),
            allocator.largest(),
            allocator.extents().count()
        ),
        (0, None, 0)
    );
    allocator.check().unwrap();
    assert_eq!(arena.touched(), 0);
}

#[test]
fn senseless_requests_are_refused() {
    let arena = SparseArena::default();
    let mut allocator = with(&arena, &[(0, GIB)]);
    assert_eq!(
        allocator.allocate(Request::bytes(0)),
        Err(AllocError::ZeroLength)
    );
    assert_eq!(
        allocator.allocate(Request::bytes(PAGE + 1)),
        Err(AllocError::Unaligned)
    );
    for align in [0, 3, 3 * PAGE] {
        assert_eq!(
            allocator.allocate(Request::bytes(PAGE).aligned(align)),
            Err(AllocError::BadAlignment(align))
        );
    }
    for request in [
        Request::bytes(u64::MAX - (PAGE - 1)),
        Request::bytes(PAGE).below(PhysAddr::new(0)),
        Request::bytes(GIB + PAGE),
        Request::bytes(GIB).below(PhysAddr::new(GIB - 1)),
    ] {
        assert_eq!(
            allocator.allocate(request),
            Err(AllocError::Exhausted(request))
        );
    }
    assert_eq!(
        allocator.allocate_at(phyr(1, PAGE)),
        Err(AllocError::Unaligned)
    );
    assert_eq!(
        allocator.allocate_at(phyr(0, PAGE - 1)),
        Err(AllocError::Unaligned)
    );
    assert_eq!(list(&allocator), [phyr(0, GIB)]);
}

#[test]
fn small_alignments_mean_a_page() {
    let arena = SparseArena::default();
    let mut allocator = with(&arena, &[(PAGE, GIB)]);
    assert_eq!(
        allocator.allocate(Request::bytes(PAGE).aligned(1)),
        Ok(phyr(PAGE, PAGE))
    );
}

#[test]
fn the_smallest_extent_that_can_serve_is_taken() {
    let arena = SparseArena::default();
    let mut allocator = with(
        &arena,
        &[
            (GIB, 64 * MIB),
            (2 * GIB, 3 * MIB),
            (3 * GIB, 2 * MIB),
            (4 * GIB, 3 * MIB),
        ],
    );
    // Of two that are as long, the lower one; the rest of it is then the smallest.
    assert_eq!(
        allocator.allocate(Request::bytes(3 * MIB - PAGE)),
        Ok(phyr(2 * GIB, 3 * MIB - PAGE))
    );
    assert_eq!(
        allocator.allocate(Request::bytes(PAGE)),
        Ok(phyr(2 * GIB + 3 * MIB - PAGE, PAGE))
    );
    assert_eq!(
        allocator.allocate(Request::bytes(PAGE)),
        Ok(phyr(3 * GIB, PAGE))
    );
    assert_eq!(
        allocator.allocate(Request::bytes(3 * MIB)),
        Ok(phyr(4 * GIB, 3 * MIB))
    );
    assert_eq!(
        allocator.allocate(Request::bytes(3 * MIB)),
        Ok(phyr(GIB, 3 * MIB))
    );
    assert_eq!(
        list(&allocator),
        [
            phyr(GIB + 3 * MIB, 61 * MIB),
            phyr(3 * GIB + PAGE, 2 * MIB - PAGE)
        ]
    );
}

#[test]
fn an_extent_that_is_long_enough_only_unaligned_is_passed_over() {
    let arena = SparseArena::default();
    let mut allocator = with(
        &arena,
        &[
            (5 * MIB, 3 * MIB - PAGE),
            (GIB, 64 * MIB),
            (2 * GIB + MIB, 3 * MIB),
        ],
    );
    let aligned = Request::bytes(2 * MIB).aligned(2 * MIB);
    assert_eq!(
        allocator.allocate(aligned),
        Ok(phyr(2 * GIB + 2 * MIB, 2 * MIB))
    );
    assert_eq!(allocator.allocate(aligned), Ok(phyr(GIB, 2 * MIB)));
}

#[test]
fn every_alignment_is_kept() {
    let arena = SparseArena::default();
    for shift in 0..52 {
        let mut allocator = with(&arena, &[(PAGE, (1 << 52) - PAGE)]);
        let align = 1 << shift;
        let range = allocator
            .allocate(Request::bytes(PAGE).aligned(align))
            .unwrap();
        assert_eq!(range, phyr(align.max(PAGE), PAGE));
        allocator.check().unwrap();
        free(&mut allocator, range).unwrap();
        assert_eq!(list(&allocator), [phyr(PAGE, (1 << 52) - PAGE)]);
    }
}

#[test]
fn limits_are_kept_though_a_better_fit_lies_above() {
    let arena = SparseArena::default();
    let mut allocator = with(&arena, &[(4 * GIB - MIB, 3 * MIB), (8 * GIB, MIB)]);
    let low = Request::bytes(MIB).below(PhysAddr::new(4 * GIB));
    assert_eq!(allocator.allocate(low), Ok(phyr(4 * GIB - MIB, MIB)));
    assert_eq!(allocator.allocate(low), Err(AllocError::Exhausted(low)));
    assert_eq!(
        allocator.allocate(Request::bytes(MIB)),
        Ok(phyr(8 * GIB, MIB))
    );
}

#[test]
fn a_series_of_allocations_ascends_and_joins() {
    let arena = SparseArena::default();
    let mut allocator = with(&arena, &[(GIB, GIB)]);
    let mut whole = allocator.allocate(Request::bytes(PAGE)).unwrap();
    for _ in 0..1000 {
        let next = allocator.allocate(Request::bytes(PAGE)).unwrap();
        whole = whole.try_merge(next).unwrap();
    }
    assert_eq!(whole, phyr(GIB, 1001 * PAGE));
}

#[test]
fn freed_memory_joins_what_it_touches() {
    let arena = SparseArena::default();
    let whole = phyr(MIB, 3 * PAGE);
    let [low, middle, high] = [0, 1, 2].map(|page| phyr(MIB + page * PAGE, PAGE));
    for order in [
        [low, middle, high],
        [low, high, middle],
        [middle, low, high],
        [middle, high, low],
        [high, low, middle],
        [high, middle, low],
    ] {
        let mut allocator = with(&arena, &[(0, PAGE), (2 * MIB, PAGE)]);
        for range in order {
            free(&mut allocator, range).unwrap();
            allocator.check().unwrap();
        }
        assert_eq!(
            list(&allocator),
            [phyr(0, PAGE), whole, phyr(2 * MIB, PAGE)]
        );
        assert_eq!(allocator.free_bytes(), 5 * PAGE);
    }
}

#[test]
fn memory_cannot_be_freed_twice() {
    let arena = SparseArena::default();
    let free_extent = phyr(MIB, MIB);
    let mut allocator = with(&arena, &[(MIB, MIB), (4 * MIB, MIB)]);
    for (addr, len) in [
        (MIB, MIB),
        (MIB, PAGE),
        (2 * MIB - PAGE, PAGE),
        (MIB + PAGE, PAGE),
        (MIB - PAGE, 2 * PAGE),
        (2 * MIB - PAGE, 2 * PAGE),
        (0, 3 * MIB),
    ] {
        let range = phyr(addr, len);
        assert_eq!(
            free(&mut allocator, range),
            Err(FreeError::AlreadyFree {
                range,
                free: free_extent
            })
        );
    }
    let range = phyr(0, 16 * MIB);
    assert!(free(&mut allocator, range).is_err());
    assert_eq!(list(&allocator), [free_extent, phyr(4 * MIB, MIB)]);
}

#[test]
fn only_whole_pages_in_view_are_taken() {
    let arena = Arena::new(phyr(MIB, MIB));
    let mut allocator = ExtentAllocator::new(&arena);
    for range in [
        phyr(MIB + 1, PAGE),
        phyr(MIB, PAGE - 1),
        phyr(MIB + 8, PAGE - 8),
    ] {
        assert_eq!(
            free(&mut allocator, range),
            Err(FreeError::Unaligned(range))
        );
    }
    for range in [
        phyr(0, PAGE),
        phyr(MIB, MIB + PAGE),
        phyr(MIB - PAGE, 2 * PAGE),
        phyr(u64::MAX - (PAGE - 1), PAGE - 1),
    ] {
        assert!(matches!(
            free(&mut allocator, range),
            Err(FreeError::OutOfView(_) | FreeError::Unaligned(_))
        ));
    }
    assert_eq!(allocator.extents().count(), 0);
}

#[test]
fn a_given_range_is_carved_out() {
    let arena = SparseArena::default();
    let mut allocator = with(&arena, &[(MIB, MIB)]);
    let [first, middle, last] = [MIB, MIB + 16 * PAGE, 2 * MIB - PAGE].map(|addr| phyr(addr, PAGE));
    for range in [first, middle, last] {
        assert_eq!(allocator.allocate_at(range), Ok(range));
        assert_eq!(
            allocator.allocate_at(range),
            Err(AllocError::NotFree(range))
        );
    }
    for range in [
        phyr(MIB, MIB),
        phyr(MIB + 15 * PAGE, 2 * PAGE),
        phyr(0, PAGE),
        phyr(2 * MIB, PAGE),
    ] {
        assert_eq!(
            allocator.allocate_at(range),
            Err(AllocError::NotFree(range))
        );
    }
    assert_eq!(
        list(&allocator),
        [
            phyr(MIB + PAGE, 15 * PAGE),
            phyr(MIB + 17 * PAGE, MIB - 18 * PAGE)
        ]
    );
}

/// When all memory is allocated, the allocator has written nowhere in it and keeps nothing but
/// its root; the memory's owner may overwrite every byte, and can give all of it back.
#[test]
fn nothing_is_kept_outside_free_memory() {
    let arena = Arena::new(phyr(16 * MIB, 4 * MIB));
    let mut allocator = ExtentAllocator::new(&arena);
    assert!(size_of_val(&allocator) <= 64);
    free(&mut allocator, arena.range()).unwrap();
    let mut taken = Vec::new();
    while let Ok(range) = allocator.allocate(Request::bytes((1 + taken.len() as u64 % 7) * PAGE)) {
        taken.push(range);
    }
    while let Ok(range) = allocator.allocate(Request::bytes(PAGE)) {
        taken.push(range);
    }
    assert_eq!(
        taken.iter().map(|range| range.len()).sum::<u64>(),
        arena.range().len()
    );
    assert_eq!(
        (allocator.free_bytes(), allocator.extents().count()),
        (0, 0)
    );
    let words = || (arena.range().addr().get()..=arena.range().last().get()).step_by(8);
    words().for_each(|addr| write(&&arena, addr, u64::MAX));
    allocator.check().unwrap();
    assert!(allocator.allocate(Request::bytes(PAGE)).is_err());
    assert!(words().all(|addr| read(&&arena, addr) == u64::MAX));
    for range in taken.iter().rev() {
        free(&mut allocator, *range).unwrap();
    }
    assert_eq!(list(&allocator), [arena.range()]);
}

/// A write to free memory is the one thing that breaks the allocator; `check` finds it.
#[test]
fn a_stray_write_to_free_memory_is_found() {
    let arena = Arena::new(phyr(0, MIB));
    let mut allocator = ExtentAllocator::new(&arena);
    for page in [0, 2, 4, 6, 8] {
        free(&mut allocator, phyr(page * PAGE, PAGE)).unwrap();
    }
    allocator.check().unwrap();
    // The first word of a record is the extent's length.
    let len = read(&&arena, 4 * PAGE);
    assert_eq!(len, PAGE);
    write(&&arena, 4 * PAGE, 2 * PAGE);
    assert!(allocator.check().is_err());
    write(&&arena, 4 * PAGE, len);
    allocator.check().unwrap();
}
