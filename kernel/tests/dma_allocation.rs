//! What the way to the bus asks of the allocator: nothing, where the numbers are the same.

use kernel::dma::{Access, Direct, DmaDomain, DmaLimits, Domain, Pieces};
use phyr::{DmaAddr, Phyr, PhyrList, PhysAddr};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Recorder;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's duties are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: `pointer` came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Recorder = Recorder;

const ENTRIES: u64 = 100_000;

fn list() -> PhyrList {
    let mut list = PhyrList::new();
    for entry in 0..ENTRIES {
        let phyr = Phyr::new(PhysAddr::new(entry * 0x2000), 0x1000);
        list.push(phyr.unwrap()).unwrap();
    }
    list
}

#[test]
fn d4_identity_reuses_the_list() {
    let pieces = Pieces::new(list()).unwrap();
    let place = core::ptr::from_ref(pieces.ranges());
    let limits = DmaLimits {
        alignment: 4096,
        granule: 4096,
        ..DmaLimits::NONE
    };
    let before = CALLS.get();
    // SAFETY: no device is told of the ranges.
    let pieces = unsafe { pieces.map(&Domain::DIRECT, &limits, Access::Write) }.unwrap();
    assert_eq!(
        CALLS.get(),
        before,
        "nothing is allocated, nothing is freed"
    );
    assert_eq!(core::ptr::from_ref(pieces.ranges()), place);
    assert_eq!(pieces.phyrs().len(), 0);
    assert_eq!(pieces.ranges().len() as u64, ENTRIES);
    for (entry, range) in pieces.ranges().iter().enumerate() {
        assert_eq!(range.addr().get(), entry as u64 * 0x2000);
        assert_eq!(range.len(), 0x1000);
    }
}

#[test]
fn d4_a_list_that_must_be_cut_is_what_costs_memory() {
    let pieces = Pieces::new(list()).unwrap();
    let limits = DmaLimits {
        max_segment: 0x800,
        ..DmaLimits::NONE
    };
    let before = CALLS.get();
    // SAFETY: no device is told of the ranges.
    let pieces = unsafe { pieces.map(&Domain::DIRECT, &limits, Access::Write) }.unwrap();
    assert!(CALLS.get() > before);
    assert_eq!(pieces.ranges().len() as u64, 2 * ENTRIES);
}

#[test]
fn d1_one_call_maps_a_list() {
    let list = list();
    let bytes = list.bytes();
    let before = CALLS.get();
    // SAFETY: no device is told of the ranges.
    let ranges = unsafe { Direct.map(list, Access::Read, DmaAddr::new(u64::MAX)) }.unwrap();
    assert_eq!(CALLS.get(), before);
    assert_eq!((ranges.len() as u64, ranges.bytes()), (ENTRIES, bytes));
}
