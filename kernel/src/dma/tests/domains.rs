//! Buses on which the numbers differ, and what is undone there.

use super::*;

fn list_of(ranges: &[(u64, u64)]) -> PhyrList {
    let mut list = PhyrList::new();
    for &(addr, len) in ranges {
        list.push(Phyr::new(PhysAddr::new(addr), len).unwrap())
            .unwrap();
    }
    list
}

#[test]
fn d5_where_the_numbers_differ_the_device_gets_the_bus_address() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let bus = Offset::new(0x40_0000_0000);
    let domain = Domain::new(bus.clone());
    let frames = Frames::allocate(8192).unwrap();
    let phyr = frames.phyr();
    let mapping = map(Buffer::from_device(frames.into_memory()), &domain, &LIMITS).unwrap();
    let range = mapping.ranges().cursor().peek().unwrap();
    assert_eq!(range.addr().get(), phyr.addr().get() + 0x40_0000_0000);
    assert_eq!((range.len(), mapping.ranges().len()), (8192, 1));
    // The mask is about bus addresses.
    let low = DmaLimits {
        last: DmaAddr::new(0x40_0000_0000),
        ..LIMITS
    };
    let buffer = mapping.unmap();
    assert_eq!((bus.mapped.load(SeqCst), bus.unmapped.load(SeqCst)), (1, 1));
    let (error, buffer) = map(buffer, &domain, &low).unwrap_err();
    assert_eq!(error, DmaError::Unreachable { index: 0 });
    // What was begun for it is undone.
    assert_eq!((bus.mapped.load(SeqCst), bus.unmapped.load(SeqCst)), (2, 2));
    drop(buffer);
    let shared = DmaMemory::allocate(100, &domain, DmaAddr::new(u64::MAX)).unwrap();
    assert!(shared.bus().addr().get() > 0x40_0000_0000);
    assert_eq!(bus.unmapped.load(SeqCst), 2);
    drop(shared);
    assert_eq!(bus.unmapped.load(SeqCst), 3);
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn e9_what_is_taken_off_is_what_was_put_on() {
    let bus = Offset::new(0x1000);
    let domain = Domain::new(bus.clone());
    // Unequal, of which one is cut, and two touch on the bus where no list says so.
    let pieces = Pieces::new(list_of(&[
        (0x8000, 0x200),
        (0x2000, 0x3800),
        (0x9000, 0x10),
    ]));
    let limits = DmaLimits {
        max_segment: 0x1000,
        ..LIMITS
    };
    // SAFETY: no device is on this bus.
    let pieces = unsafe { pieces.unwrap().map(&domain, &limits, Access::Write) }.unwrap();
    assert_eq!(pieces.ranges().len(), 6);
    assert_eq!(bus.unmapped.load(SeqCst), 0);
    drop(pieces);
    assert_eq!(bus.unmapped.load(SeqCst), 1);
    let mut whole = DmaList::new();
    for (addr, len) in bus.taken_off.lock().drain(..) {
        whole
            .push(phyr::DmaRange::new(DmaAddr::new(addr), len).unwrap())
            .unwrap();
    }
    let expected = list_of(&[(0x9000, 0x200), (0x3000, 0x3800), (0xa000, 0x10)]);
    assert_eq!(whole, expected.to_same_bus_ranges());
}

#[test]
fn e19_where_nothing_was_done_nothing_is_undone() {
    let arena = host::arena();
    let frames = Frames::allocate(4096).unwrap();
    let mapping = map(
        Buffer::from_device(frames.into_memory()),
        &Domain::DIRECT,
        &LIMITS,
    );
    let mapping = mapping.unwrap();
    // There is nothing in it that could be undone: no handle, no list.
    assert!(matches!(mapping.ranges(), DmaRanges::One(_)));
    drop(mapping);
    drop(arena);
}

#[test]
fn a_mapping_keeps_its_domain() {
    let _arena = host::arena();
    let bus = Offset::new(0x1000);
    let domain = Domain::new(bus.clone());
    let frames = Frames::allocate(4096).unwrap();
    let mapping = map(Buffer::to_device(frames.into_memory()), &domain, &LIMITS).unwrap();
    drop(domain);
    assert_eq!(std::sync::Arc::strong_count(&bus), 2);
    drop(mapping);
    assert_eq!(std::sync::Arc::strong_count(&bus), 1);
    assert_eq!(bus.unmapped.load(SeqCst), 1);
}
