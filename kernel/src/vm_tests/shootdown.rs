//! Memory and mappings that several cores use at once.
//!
//! QEMU's translator has a TLB for each virtual core, which forgets what that core is told to forget
//! and nothing else. So a core that was not told is seen here.

use super::crew::{others, together, wait_until};
use crate::arch::probe::{self, Probe};
use crate::cores::{self, CoreId, shootdown};
use crate::executor;
use crate::memory::frames::{Frames, with_allocator};
use crate::memory::heap;
use crate::memory::mapping::{self, Mapping};
use crate::memory::paging::{Cache, Rights};
use crate::memory::virt::VirtRange;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use vm_test::{seed, vm_test};

/// The mapping has ended, or may not be written to any more.
static ENDED: AtomicBool = AtomicBool::new(false);
/// How many cores were allowed to access it before.
static ALLOWED: AtomicUsize = AtomicUsize::new(0);

const WRITE_REFUSED: Probe = Probe::Fault {
    vector: 14,
    error: 3,
};
const NOT_MAPPED: Probe = Probe::Fault {
    vector: 14,
    error: 0,
};

/// What another core does in a round: it accesses the address until that has ended, and must be
/// refused from then on.
fn watch(core: CoreId, address: u64, access: fn(u64) -> Probe, refused: Probe) {
    let mut was_allowed = false;
    loop {
        let ended = ENDED.load(Ordering::Acquire);
        let result = access(address);
        if ended {
            assert_eq!(result, refused, "{core} remembers");
            break;
        }
        if result == Probe::Allowed && !was_allowed {
            was_allowed = true;
            ALLOWED.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Rounds in which one core ends what the others access all the time.
///
/// Between the rounds, and while one core waits for another, they sleep: where virtual cores share
/// the host's, one that spins takes the time that it waits for.
fn play(
    rounds: u64,
    access: fn(u64) -> Probe,
    refused: Probe,
    end: fn(Mapping) -> Option<Mapping>,
) {
    let before = shootdown::count();
    for _ in 0..rounds {
        let frames = Frames::zeroed(4096).unwrap();
        // SAFETY: the frames are this round's own, and hold nothing.
        let mapping =
            unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }.unwrap();
        let address = mapping.range().start().get();
        ENDED.store(false, Ordering::Release);
        ALLOWED.store(0, Ordering::Release);
        let others = others();
        let (count, watching) = (others.len(), others.into_iter());
        let watching: Vec<_> = watching
            .map(|core| {
                let errand = move || async move { watch(core, address, access, refused) };
                executor::spawn_on(core, errand)
            })
            .collect();
        wait_until(|| ALLOWED.load(Ordering::Acquire) == count);
        let rest = end(mapping);
        ENDED.store(true, Ordering::Release);
        for watch in watching {
            executor::block_on(watch);
        }
        drop(rest);
    }
    assert!(shootdown::count() - before >= rounds);
}

#[vm_test(machine = "smp=4", timeout = 120)]
fn a_mapping_that_has_ended_has_ended_on_all_cores() {
    play(20, probe::read, NOT_MAPPED, |mapping| {
        drop(mapping);
        None
    });
}

#[vm_test(machine = "smp=4", timeout = 120)]
fn a_right_that_was_taken_away_is_gone_on_all_cores() {
    // SAFETY: the page holds nothing.
    let write = |address| unsafe { probe::write(address) };
    play(20, write, WRITE_REFUSED, |mapping| {
        let range = mapping.range();
        // SAFETY: the page is only probed.
        let protected =
            mapping::with_tables(|tables| unsafe { tables.protect(range, Rights::ReadOnly) });
        protected.unwrap();
        Some(mapping)
    });
}

/// An interrupt that is sent is not one that was taken. A core that cannot be interrupted just now may still
/// use what it remembers, so who ends a mapping waits for it.
#[vm_test(machine = "smp=2", timeout = 120)]
fn a_core_that_cannot_be_interrupted_is_waited_for() {
    static IS_DEAF: AtomicBool = AtomicBool::new(false);
    static HAS_ENDED: AtomicBool = AtomicBool::new(false);
    let frames = Frames::zeroed(4096).unwrap();
    // SAFETY: the frames are this test's own, and hold nothing.
    let mapping =
        unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }.unwrap();
    let address = mapping.range().start().get();
    let before = shootdown::count();
    let other = others()[0];
    let deaf = executor::spawn_on(other, move || async move {
        assert_eq!(probe::read(address), Probe::Allowed);
        let was_waited_for = x86_64::instructions::interrupts::without_interrupts(|| {
            IS_DEAF.store(true, Ordering::Release);
            while shootdown::count() == before {
                core::hint::spin_loop();
            }
            // It was sent an interrupt, and has not taken it. Who has sent it has all the time in the world.
            (0..1_000_000).all(|_| {
                core::hint::spin_loop();
                !HAS_ENDED.load(Ordering::Acquire)
            })
        });
        assert!(was_waited_for, "nobody has waited for {other}");
        wait_until(|| HAS_ENDED.load(Ordering::Acquire));
        assert_eq!(probe::read(address), NOT_MAPPED, "{other} remembers");
    });
    wait_until(|| IS_DEAF.load(Ordering::Acquire));
    drop(mapping);
    HAS_ENDED.store(true, Ordering::Release);
    executor::block_on(deaf);
}

/// Maps `pages` pages that touch no others and unmaps them: how many flushes each core had for it.
fn flushes_for(pages: usize) -> Vec<u64> {
    let list: Vec<Frames> = (0..pages)
        .map(|_| Frames::allocate(4096).unwrap())
        .collect();
    let list = list.iter().map(Frames::phyr);
    let mut phyrs = phyr::PhyrList::new();
    list.for_each(|phyr| phyrs.push(phyr).unwrap());
    // SAFETY: nobody accesses the frames.
    let mapping =
        unsafe { Mapping::map_list(&phyrs, Rights::ReadWrite, Cache::WriteBack) }.unwrap();
    let counts = || cores::online().map(|core| cores::local_of(core).flushes());
    let before: Vec<u64> = counts().collect();
    drop(mapping);
    counts().zip(before).map(|(now, then)| now - then).collect()
}

#[vm_test(machine = "smp=4")]
fn sleeping_cores_forget_with_one_interrupt_each() {
    for pages in [1, 32, 33, 500] {
        assert_eq!(flushes_for(pages), [0, 1, 1, 1], "{pages} pages");
    }
}

#[vm_test]
fn a_core_alone_interrupts_nobody() {
    assert_eq!(flushes_for(10), [0]);
    assert_eq!(shootdown::count(), 0);
}

/// Else two cores could wait for each other: one for the lock, one for the answer.
#[vm_test(machine = "smp=2", should_panic = "while interrupts are disabled")]
fn nobody_wants_the_page_tables_with_interrupts_disabled() {
    x86_64::instructions::interrupts::disable();
    mapping::leaves(VirtRange::LOWER_HALF);
}

/// Bytes that nobody has but the heap, one extent after the other.
fn free_or_heap_bytes() -> u64 {
    let free: u64 =
        with_allocator(|allocator| allocator.extents().map(|extent| extent.len()).sum());
    free + heap::taken()
}

/// Numbers that look random: each core its own sequence.
struct Random(u64);

impl Random {
    fn of(core: CoreId) -> Self {
        Self(seed() ^ (core.index() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Enough heap that none has to be taken later.
fn fill_the_heap() {
    drop(alloc::vec![0u8; 24 << 20]);
}

#[vm_test(machine = "smp=4", timeout = 120)]
fn storms_of_mappings_from_all_cores_end() {
    fill_the_heap();
    let storm = |core: CoreId| {
        let mut random = Random::of(core);
        for _ in 0..100 {
            let pages = 1 + random.below(40);
            let mut frames = Frames::allocate(pages * 4096).unwrap();
            frames.bytes_mut().fill(core.index() as u8 + 1);
            // SAFETY: the frames are this core's own.
            let mapping =
                unsafe { Mapping::map(frames.phyr(), Rights::ReadOnly, Cache::WriteBack) };
            let mapping = mapping.unwrap();
            let at = random.below(pages * 4096) as usize;
            let byte = mapping.pointer().as_ptr().wrapping_add(at);
            // SAFETY: the byte is within the mapping.
            let byte = unsafe { byte.read_volatile() };
            assert_eq!(byte, core.index() as u8 + 1, "{core} sees another's memory");
        }
    };
    together(storm);
    let (before, count) = (free_or_heap_bytes(), shootdown::count());
    together(storm);
    assert_eq!(free_or_heap_bytes(), before, "no page and no table is lost");
    assert!(shootdown::count() - count >= 400);
}

#[vm_test(machine = "smp=4", timeout = 120)]
fn memory_from_all_cores_overlaps_nowhere_and_all_comes_back() {
    enum Piece {
        Frames(Frames),
        Heap(Vec<u8>),
    }
    impl Piece {
        fn bytes(&mut self) -> &mut [u8] {
            match self {
                Self::Frames(frames) => frames.bytes_mut(),
                Self::Heap(bytes) => bytes,
            }
        }
    }
    fill_the_heap();
    let stress = |core: CoreId| {
        let mut random = Random::of(core);
        let mut held: Vec<(u8, Piece)> = Vec::with_capacity(64);
        for step in 0..2000u32 {
            let mark = (core.index() as u8) << 6 | (step % 64) as u8;
            let mut piece = match random.below(2) {
                0 => Piece::Frames(Frames::allocate((1 + random.below(16)) * 4096).unwrap()),
                _ => Piece::Heap(alloc::vec![0; 1 + random.below(20_000) as usize]),
            };
            piece.bytes().fill(mark);
            if held.len() == held.capacity() {
                let (mark, mut old) = held.swap_remove(random.below(64) as usize);
                let whole = old.bytes().iter().all(|byte| *byte == mark);
                assert!(whole, "{core} finds what another has written");
            }
            held.push((mark, piece));
        }
        for (mark, mut old) in held {
            assert!(old.bytes().iter().all(|byte| *byte == mark), "{core}");
        }
    };
    let before = free_or_heap_bytes();
    together(stress);
    assert_eq!(free_or_heap_bytes(), before);
}
