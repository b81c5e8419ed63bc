//! Millions of random operations, each compared with the bitmap.

use std::env;

use kernel::memory::extents::{AllocError, ExtentAllocator, FreeError, Request};
use kernel::memory::window::PAGE;
use phyr::PhysAddr;

use super::bitmap::Bitmap;
use super::free;
use crate::arena::{Arena, phyr, read, write};
use crate::random::Random;

/// The words of each allocated page that are watched: some where records lie, and the last one.
const WATCHED: [u64; 5] = [0, 8, 40, 72, PAGE - 8];

/// The allocator, the model, and the memory that is out.
struct Bench<'a> {
    arena: &'a Arena,
    allocator: ExtentAllocator<&'a Arena>,
    model: Bitmap,
    first: u64,
    pages: u64,
    /// First page, number of pages, and the mark that was written there.
    allocated: Vec<(u64, u64, u64)>,
    marks: u64,
    random: Random,
}

impl<'a> Bench<'a> {
    fn new(arena: &'a Arena, seed: u64) -> Self {
        let first = arena.range().addr().get() / PAGE;
        let pages = arena.range().len() / PAGE;
        let mut allocator = ExtentAllocator::new(arena);
        let mut model = Bitmap::new(first, pages);
        free(&mut allocator, arena.range()).unwrap();
        model.set(first, pages, true);
        Self {
            arena,
            allocator,
            model,
            first,
            pages,
            allocated: Vec::new(),
            marks: 0,
            random: Random::new(seed),
        }
    }

    fn keep(&mut self, first: u64, count: u64) {
        assert_eq!(self.model.all(first, count), Some(true));
        self.model.set(first, count, false);
        self.marks += 1;
        for page in first..first + count {
            for offset in WATCHED {
                write(&self.arena, page * PAGE + offset, self.marks ^ page << 40);
            }
        }
        self.allocated.push((first, count, self.marks));
    }

    fn allocate(&mut self) {
        let count = self.random.size(self.pages / 8);
        let align = if self.random.one_in(2) {
            1
        } else {
            1 << self.random.below(9)
        };
        let limit = match self.random.below(8) {
            0 => Some((1 << 32) / PAGE),
            1 => Some(self.first + self.random.below(self.pages + 2)),
            _ => None,
        };
        let mut request = Request::bytes(count * PAGE).aligned(align * PAGE);
        request.below = limit.map(|limit| PhysAddr::new(limit * PAGE));
        match self.model.best_fit(count, align, limit.unwrap_or(u64::MAX)) {
            Some(place) => {
                assert_eq!(
                    self.allocator.allocate(request),
                    Ok(phyr(place * PAGE, count * PAGE)),
                    "{request:x?}"
                );
                self.keep(place, count);
            }
            None => assert_eq!(
                self.allocator.allocate(request),
                Err(AllocError::Exhausted(request))
            ),
        }
    }

    /// Any range inside the arena.
    fn anywhere(&mut self) -> (u64, u64) {
        let offset = self.random.below(self.pages);
        (
            self.first + offset,
            self.random.size((self.pages - offset).min(16)),
        )
    }

    fn allocate_at(&mut self) {
        let (first, count) = self.anywhere();
        let range = phyr(first * PAGE, count * PAGE);
        if self.model.all(first, count) == Some(true) {
            assert_eq!(self.allocator.allocate_at(range), Ok(range));
            self.keep(first, count);
        } else {
            assert_eq!(
                self.allocator.allocate_at(range),
                Err(AllocError::NotFree(range))
            );
        }
    }

    /// Frees an allocation, or a part from its middle.
    fn release(&mut self) {
        if self.allocated.is_empty() {
            return;
        }
        let chosen = self.random.below(self.allocated.len() as u64) as usize;
        let (first, count, mark) = self.allocated.swap_remove(chosen);
        for page in first..first + count {
            for offset in WATCHED {
                assert_eq!(
                    read(&self.arena, page * PAGE + offset),
                    mark ^ page << 40,
                    "page {page:#x} was written"
                );
            }
        }
        let (mut start, mut len) = (first, count);
        if self.random.one_in(8) {
            start += self.random.below(count);
            len = 1 + self.random.below(first + count - start);
        }
        free(&mut self.allocator, phyr(start * PAGE, len * PAGE)).unwrap();
        self.model.set(start, len, true);
        for (rest, count) in [
            (first, start - first),
            (start + len, first + count - (start + len)),
        ] {
            if count > 0 {
                self.allocated.push((rest, count, mark));
            }
        }
    }

    /// Frees what is free already, all or in part: an error, and nothing changes.
    fn release_wrongly(&mut self) {
        let (first, count) = self.anywhere();
        let range = phyr(first * PAGE, count * PAGE);
        if self.model.all(first, count) != Some(false) {
            let refused = free(&mut self.allocator, range);
            assert!(
                matches!(refused, Err(FreeError::AlreadyFree { .. })),
                "{range}: {refused:?}"
            );
        }
    }

    /// Compares everything there is to see.
    fn compare(&self) {
        self.allocator.check().unwrap();
        let extents = self
            .allocator
            .extents()
            .map(|extent| (extent.addr().get() / PAGE, extent.len() / PAGE));
        assert!(extents.eq(self.model.runs()));
        let runs = || self.model.runs().map(|(_, count)| count);
        assert_eq!(self.allocator.free_bytes(), runs().sum::<u64>() * PAGE);
        assert_eq!(
            self.allocator.largest().map(|extent| extent.len() / PAGE),
            runs().max()
        );
    }

    /// The memory fills and empties again in waves, so that it is sometimes full, sometimes in
    /// pieces, and sometimes whole.
    fn run(&mut self, operations: u64) {
        for operation in 0..operations {
            let filling = if operation / 5_000 % 2 == 0 { 6 } else { 3 };
            match self.random.below(10) {
                0 => self.allocate_at(),
                9 => self.release_wrongly(),
                dice if dice < filling => self.allocate(),
                _ => self.release(),
            }
            if operation % 499 == 0 {
                self.compare();
            }
        }
        while !self.allocated.is_empty() {
            self.release();
        }
        self.compare();
        assert!(
            self.allocator.extents().eq([self.arena.range()]),
            "all memory is one phyr again"
        );
    }
}

/// The number of operations; more on request, for a long night.
fn operations() -> u64 {
    env::var("PHYROS_OPERATIONS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(1_000_000)
}

/// Memory on both sides of 4 GiB, so that limits and alignments cut it in all ways.
#[test]
fn c9_small_memory_behaves_like_the_bitmap() {
    let arena = Arena::new(phyr((1 << 32) - 192 * PAGE, 320 * PAGE));
    Bench::new(&arena, 1).run(2 * operations());
}

/// More memory: the trees are higher.
#[test]
fn c9_larger_memory_behaves_like_the_bitmap() {
    let arena = Arena::new(phyr((1 << 32) - 1111 * PAGE, 4096 * PAGE));
    Bench::new(&arena, 2).run(operations() / 4);
}

/// Memory that starts at physical address 0.
#[test]
fn c9_the_lowest_memory_behaves_like_the_bitmap() {
    let arena = Arena::new(phyr(0, 64 * PAGE));
    Bench::new(&arena, 3).run(operations());
}
