//! What lists ask of the allocator: little, in small pieces, and no for an answer.

#![cfg(feature = "alloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use phyr::{DmaAddr, ListError, Phyr, PhyrList, PhysAddr};

/// The system's allocator, with a record of what each thread asks it for.
struct Recorder;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    /// How many more allocations are granted; `None` is no limit.
    static GRANTED: Cell<Option<usize>> = const { Cell::new(None) };
}

// SAFETY: every request goes to the system's allocator unchanged, or is refused with
// a null pointer, which the trait allows.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match GRANTED.get() {
            Some(0) => return core::ptr::null_mut(),
            Some(more) => GRANTED.set(Some(more - 1)),
            None => {}
        }
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LARGEST.set(LARGEST.get().max(layout.size()));
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller's duties are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + 1);
        // SAFETY: `pointer` came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Recorder = Recorder;

/// What a thread asked for since the record began.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    allocations: usize,
    freed: usize,
    largest: usize,
    bytes: usize,
}

fn begin_record() {
    ALLOCATIONS.set(0);
    FREED.set(0);
    LARGEST.set(0);
    BYTES.set(0);
}

fn record() -> Record {
    Record {
        allocations: ALLOCATIONS.get(),
        freed: FREED.get(),
        largest: LARGEST.get(),
        bytes: BYTES.get(),
    }
}

const NOTHING: Record = Record {
    allocations: 0,
    freed: 0,
    largest: 0,
    bytes: 0,
};

/// Ranges of which no two touch.
fn scattered(entry: u64) -> Phyr {
    Phyr::new(PhysAddr::new(entry * 0x3000), 0x1000 + entry % 7).unwrap()
}

fn list_of(entries: u64) -> PhyrList {
    let mut list = PhyrList::new();
    for entry in 0..entries {
        list.push(scattered(entry)).unwrap();
    }
    list
}

#[test]
fn short_lists_need_no_memory() {
    begin_record();
    let list = list_of(8);
    assert_eq!(list.len(), 8);
    let copy = list.try_clone().unwrap();
    let on_bus = copy
        .map_to_bus(|range| Some(DmaAddr::new(range.addr().get())))
        .unwrap();
    let mut cursor = on_bus.cursor();
    while cursor.next(0x800).is_some() {}
    drop(on_bus);
    drop(list);
    assert_eq!(record(), NOTHING);
}

#[test]
fn d3_a_hundred_thousand_entries_in_small_pieces() {
    begin_record();
    let list = list_of(100_000);
    let grown = record();
    assert_eq!(list.len(), 100_000);
    assert!(grown.largest <= 4096, "{grown:?}");
    // A chunk for every 256, and a few for the way to them. Nothing was moved.
    assert!(grown.allocations <= 100_000 / 256 + 8, "{grown:?}");
    assert_eq!(grown.freed, 0);

    begin_record();
    assert!(list.iter().eq((0..100_000).map(scattered)));
    let mut cursor = list.cursor();
    let mut bytes = 0;
    while let Some(piece) = cursor.next(0x700) {
        bytes += piece.len();
    }
    assert_eq!(bytes, list.bytes());
    assert_eq!(record(), NOTHING);

    begin_record();
    drop(list);
    assert_eq!(record().freed, grown.allocations);
}

#[test]
fn the_way_to_the_bus_uses_the_same_storage() {
    let list = list_of(100_000);
    let bytes = list.bytes();

    begin_record();
    let bus = |range: Phyr| Some(DmaAddr::new(range.addr().get() + (1 << 40)));
    let list = list.map_to_bus(bus).unwrap();
    assert_eq!(record(), NOTHING);

    assert_eq!((list.len(), list.bytes()), (100_000, bytes));
    for (entry, range) in list.iter().enumerate() {
        let phyr = scattered(entry as u64);
        assert_eq!(range.addr().get(), phyr.addr().get() + (1 << 40));
        assert_eq!(range.len(), phyr.len());
    }
}

#[test]
fn d4_identity_needs_no_memory() {
    let list = list_of(100_000);
    begin_record();
    let list = list.to_same_bus_ranges();
    assert_eq!(record(), NOTHING);
    assert_eq!(list.len(), 100_000);
}

#[test]
fn a_refusal_of_the_bus_gives_the_same_storage_back() {
    let list = list_of(1000);
    begin_record();
    let refuse_one = |range: Phyr| {
        let allowed = range != scattered(777);
        allowed.then(|| DmaAddr::new(range.addr().get()))
    };
    let (index, list) = list.map_to_bus(refuse_one).unwrap_err();
    assert_eq!(record(), NOTHING);
    assert_eq!(index, 777);
    assert!(list.iter().eq((0..1000).map(scattered)));
}

/// No memory is an error and no abort, at each of the places where some is asked for:
/// the first chunk, the next ones, the directory, and the levels that it grows by.
#[test]
fn without_memory_a_list_stays_as_it_is() {
    let mut list = PhyrList::new();
    let mut refusals = 0;
    for entry in 0..40_000 {
        let before = (list.len(), list.bytes());
        let mut granted = 0;
        loop {
            GRANTED.set(Some(granted));
            let pushed = list.push(scattered(entry));
            GRANTED.set(None);
            match pushed {
                Ok(()) => break,
                Err(error) => assert_eq!(error, ListError::OutOfMemory),
            }
            assert_eq!((list.len(), list.bytes()), before);
            assert_eq!(list.last(), entry.checked_sub(1).map(scattered));
            refusals += 1;
            granted += 1;
            assert!(granted < 8, "refused with {granted} allocations granted");
        }
    }
    assert!(list.iter().eq((0..40_000).map(scattered)));
    // Each chunk was refused once, then the directory, and twice the level it grew by.
    assert_eq!(refusals, (40_000 - 8usize).div_ceil(256) + 3);
}

#[test]
fn without_memory_there_is_no_copy() {
    let list = list_of(1000);
    for granted in 0..4 {
        GRANTED.set(Some(granted));
        let copy = list.try_clone();
        GRANTED.set(None);
        assert_eq!(copy.err(), Some(ListError::OutOfMemory));
    }
    assert_eq!(list.try_clone().as_ref(), Ok(&list));
}

/// Pages 3 to 10 of some memory are one entry in their order, and eight in any in which no two touch.
#[test]
fn a8_what_touches_is_joined_when_it_is_added() {
    let list = |order: [u64; 8]| {
        let mut list = PhyrList::new();
        for page in order {
            list.push(Phyr::new(PhysAddr::new(page << 12), 1 << 12).unwrap())
                .unwrap();
        }
        list
    };
    let joined = list([3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!((joined.len(), joined.bytes()), (1, 8 << 12));
    let apart = list([3, 5, 7, 9, 4, 6, 8, 10]);
    assert_eq!((apart.len(), apart.bytes()), (8, 8 << 12));
    let some = list([3, 4, 8, 9, 10, 7, 5, 6]);
    assert_eq!(some.len(), 4);
}

/// A list that is filled for each request needs memory once, up to a chunk's worth.
#[test]
fn a_cleared_list_keeps_a_chunk() {
    let mut list = list_of(200);
    begin_record();
    for _ in 0..10 {
        list.clear();
        for entry in 0..200 {
            list.push(scattered(entry)).unwrap();
        }
    }
    assert_eq!(record(), NOTHING);
    assert!(list.iter().eq((0..200).map(scattered)));
}

/// And the worst case costs what the entries take, and a little for the way to them.
#[test]
fn d21_a_gigabyte_of_pages_that_do_not_touch_takes_16_bytes_a_page() {
    const PAGES: usize = 1 << 18;
    begin_record();
    let list = list_of(PAGES as u64);
    let grown = record();
    assert_eq!(list.len(), PAGES);
    let entries = PAGES * 16;
    assert!(grown.bytes >= entries - 8 * 16, "{grown:?}");
    assert!(grown.bytes <= entries + entries / 100, "{grown:?}");
}

/// Neighbours that touch cost nothing, however many there are.
#[test]
fn d21_a_gigabyte_page_by_page_is_one_entry() {
    begin_record();
    let mut list = PhyrList::new();
    for page in 0..1 << 18 {
        list.push(Phyr::new(PhysAddr::new(page << 12), 1 << 12).unwrap())
            .unwrap();
    }
    assert_eq!((list.len(), list.bytes()), (1, 1 << 30));
    assert_eq!(record(), NOTHING);
}
