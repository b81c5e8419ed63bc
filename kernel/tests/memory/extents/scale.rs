//! The amount of memory costs nothing; the number of extents costs its logarithm.

use std::cell::Cell;
use std::ptr::NonNull;

use kernel::memory::extents::{ExtentAllocator, Request};
use kernel::memory::window::{PAGE, Window};
use phyr::{Phyr, PhysAddr};

use super::free;
use crate::arena::{Arena, SparseArena, phyr};
use crate::random::Random;

const GIB: u64 = 1 << 30;

/// A window that counts how often it is looked through.
struct Counting<W> {
    window: W,
    looks: Cell<u64>,
}

// SAFETY: all answers are those of another window.
unsafe impl<W: Window> Window for &Counting<W> {
    fn covers(&self, range: Phyr) -> bool {
        self.window.covers(range)
    }

    fn pointer(&self, addr: PhysAddr) -> NonNull<u8> {
        self.looks.set(self.looks.get() + 1);
        self.window.pointer(addr)
    }
}

impl<W> Counting<W> {
    const fn new(window: W) -> Self {
        Self {
            window,
            looks: Cell::new(0),
        }
    }

    /// How many looks `work` takes.
    fn count<T>(&self, work: impl FnOnce() -> T) -> (u64, T) {
        let before = self.looks.get();
        let result = work();
        (self.looks.get() - before, result)
    }
}

#[test]
fn memory_costs_one_page_access_however_much_it_is() {
    for len in [64 << 20, 900 * GIB, 1 << 51] {
        let arena = SparseArena::default();
        let window = Counting::new(&arena);
        let mut allocator = ExtentAllocator::new(&window);
        let (looks, ()) = window.count(|| free(&mut allocator, phyr(GIB, len)).unwrap());
        assert!(looks < 32, "{looks} looks for {len:#x} bytes");
        assert_eq!(arena.touched(), 1);
        let (looks, range) = window.count(|| allocator.allocate(Request::bytes(len)).unwrap());
        assert!(looks < 32, "{looks} looks for {len:#x} bytes");
        assert_eq!(range, phyr(GIB, len));
        assert_eq!(arena.touched(), 1);
    }
}

/// A gibibyte is one phyr, and stays one however much memory there is.
#[test]
fn a_gibibyte_is_one_phyr() {
    let arena = SparseArena::default();
    let mut allocator = ExtentAllocator::new(&arena);
    free(&mut allocator, phyr(0x10_0000, 3 * GIB - 0x10_0000)).unwrap();
    free(&mut allocator, phyr(4 * GIB, 897 * GIB)).unwrap();
    let aligned = Request::bytes(GIB).aligned(GIB);
    let expected = [1, 2].into_iter().chain(4..901);
    for gib in expected {
        assert_eq!(allocator.allocate(aligned), Ok(phyr(gib * GIB, GIB)));
    }
    assert!(allocator.allocate(aligned).is_err());
    assert!(arena.touched() < 1024);
    allocator.check().unwrap();
}

/// The most looks that any operation of each kind takes, with `n` free extents.
fn dearest(n: u64) -> [u64; 6] {
    let arena = Arena::new(phyr(1 << 32, 4 * n * PAGE));
    let window = Counting::new(&arena);
    let mut allocator = ExtentAllocator::new(&window);
    let mut random = Random::new(n);
    // Each second page is free, in random order; so no page is aligned to more than two pages
    // except at odd positions, where it is not free.
    let first = (1 << 32) / PAGE;
    let mut pages: Vec<u64> = (0..2 * n).map(|index| first + 2 * index + 1).collect();
    for index in (1..pages.len()).rev() {
        pages.swap(index, random.below(index as u64 + 1) as usize);
    }
    for page in &pages[n as usize..] {
        free(&mut allocator, phyr(page * PAGE, PAGE)).unwrap();
    }
    let mut dearest = [0; 6];
    for page in &pages[..n.min(2000) as usize] {
        let range = phyr(page * PAGE, PAGE);
        let mut note = |kind: usize, looks: u64| dearest[kind] = dearest[kind].max(looks);
        note(0, window.count(|| free(&mut allocator, range).unwrap()).0);
        note(1, window.count(|| allocator.allocate_at(range).unwrap()).0);
        let (looks, taken) = window.count(|| allocator.allocate(Request::bytes(PAGE)).unwrap());
        note(2, looks);
        free(&mut allocator, taken).unwrap();
        // Long enough are all, aligned enough is none.
        let aligned = Request::bytes(PAGE).aligned(2 * PAGE);
        note(
            3,
            window.count(|| allocator.allocate(aligned).unwrap_err()).0,
        );
        let low = Request::bytes(PAGE).below(PhysAddr::new(page * PAGE));
        let (looks, taken) = window.count(|| allocator.allocate(low));
        note(4, looks);
        // Long enough are all, low enough is none.
        let lowest = Request::bytes(PAGE).below(PhysAddr::new((first + 1) * PAGE));
        note(
            5,
            window.count(|| allocator.allocate(lowest).unwrap_err()).0,
        );
        taken
            .into_iter()
            .for_each(|taken| free(&mut allocator, taken).unwrap());
    }
    allocator.check().unwrap();
    dearest
}

#[test]
fn an_operation_costs_the_logarithm_of_the_extents() {
    let few = dearest(256);
    let many = dearest(256 * 64);
    for (few, many) in few.into_iter().zip(many) {
        // 64 times the extents make the trees 6 levels higher, 9 at worst.
        assert!(
            many <= few * 9 / 4 + 16,
            "{few} looks with few extents, {many} with many"
        );
        assert!(many < 2000, "{many} looks");
    }
}
