//! Copies: as few as must be, in both directions.

use super::*;

/// A device that reaches the first half of `frames` only.
fn half(frames: &Frames) -> DmaLimits {
    DmaLimits {
        last: DmaAddr::new(frames.phyr().addr().get() + frames.phyr().len() / 2 - 1),
        ..LIMITS
    }
}

/// What the device sees, byte by byte, and may change.
fn device_memory(ranges: &DmaRanges) -> Vec<*mut u8> {
    let mut cursor = ranges.cursor();
    let mut all = Vec::new();
    while let Some(range) = cursor.next(u64::MAX) {
        use crate::memory::window::Window;
        let start = crate::memory::frames::window().pointer(PhysAddr::new(range.addr().get()));
        all.extend((0..range.len() as usize).map(|at| start.as_ptr().wrapping_add(at)));
    }
    all
}

/// Frames high up, and room further down for copies.
fn high_frames(pages: u64) -> (Frames, Frames) {
    let low = Frames::allocate(16 * 4096).unwrap();
    let high = Frames::allocate(pages * 4096).unwrap();
    assert!(low.phyr().last() < high.phyr().addr());
    (low, high)
}

#[test]
fn e20_only_what_is_out_of_reach_is_copied_to_the_device() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let (low, mut frames) = high_frames(4);
    drop(low);
    let limits = half(&frames);
    for (index, byte) in frames.bytes_mut().iter_mut().enumerate() {
        *byte = (index / 7) as u8;
    }
    let expected = frames.bytes().to_vec();
    let start = frames.phyr().addr().get();
    let buffer = Buffer::to_device(frames.into_memory());
    let (error, buffer) = map(buffer, &Domain::DIRECT, &limits).unwrap_err();
    assert_eq!(error, DmaError::Unreachable { index: 0 });
    let mapping = map_or_bounce(buffer, &Domain::DIRECT, &limits).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.bytes(), ranges.bounced()), (4 * 4096, 2 * 4096));
    let first = ranges.cursor().peek().unwrap();
    assert_eq!((first.addr().get(), first.len()), (start, 2 * 4096));
    for (byte, expected) in device_memory(ranges).into_iter().zip(&expected) {
        // SAFETY: the mapping owns the memory.
        assert_eq!(unsafe { *byte }, *expected);
    }
    let mut cursor = ranges.cursor();
    while let Some(range) = cursor.next(u64::MAX) {
        assert!(range.last() <= limits.last, "{range}");
    }
    let buffer = mapping.unmap();
    assert_eq!(buffer.bytes(), expected);
    drop(buffer);
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn e20_what_the_device_wrote_is_copied_back_and_what_it_left_is_as_it_was() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let (low, mut frames) = high_frames(4);
    drop(low);
    let limits = half(&frames);
    frames.bytes_mut().fill(0xc5);
    let buffer = Buffer::from_device(frames.into_memory());
    let mapping = map_or_bounce(buffer, &Domain::DIRECT, &limits).unwrap();
    for (index, byte) in device_memory(mapping.ranges()).into_iter().enumerate() {
        if index % 3 == 0 {
            // SAFETY: the mapping owns the memory; this is the device.
            unsafe { *byte = index as u8 };
        }
    }
    let mut buffer = mapping.unmap();
    for (index, byte) in buffer.bytes_mut().iter().enumerate() {
        let expected = if index % 3 == 0 { index as u8 } else { 0xc5 };
        assert_eq!(*byte, expected, "{index}");
    }
    drop(buffer);
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn misaligned_memory_is_copied_whole() {
    let _arena = host::arena();
    let frames = Frames::zeroed(8192).unwrap();
    let part = frames.into_memory().part(2..4002).unwrap();
    let mapping = map_or_bounce(Buffer::from_device(part), &Domain::DIRECT, &LIMITS).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.len(), ranges.bounced()), (1, 4000));
    for byte in device_memory(ranges) {
        // SAFETY: as above.
        unsafe { *byte = 9 };
    }
    let memory = Transfer::from(mapping).into_memory();
    assert_eq!(memory.bytes(), [9; 4000]);
    let all = memory.whole();
    assert_eq!(
        (all.bytes()[1], all.bytes()[2], all.bytes()[4002]),
        (0, 9, 0)
    );
}

#[test]
fn without_memory_within_reach_the_buffer_comes_back() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let frames = Frames::zeroed(4096).unwrap();
    let limits = DmaLimits {
        last: DmaAddr::new(0xfff),
        ..LIMITS
    };
    let buffer = Buffer::from_device(frames.into_memory());
    let (error, buffer) = map_or_bounce(buffer, &Domain::DIRECT, &limits).unwrap_err();
    assert_eq!(error, DmaError::OutOfMemory);
    assert_eq!(buffer.len(), 4096);
    drop(buffer);
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn copies_lie_where_the_bus_sees_them_low_enough() {
    let _arena = host::arena();
    let bus = Offset::new(0x1000_0000);
    let domain = Domain::new(bus.clone());
    let (low, frames) = high_frames(2);
    drop(low);
    let last = 0x1000_0000 + frames.phyr().addr().get() - 1;
    let limits = DmaLimits {
        last: DmaAddr::new(last),
        ..LIMITS
    };
    let buffer = Buffer::to_device(frames.into_memory());
    let mapping = map_or_bounce(buffer, &domain, &limits).unwrap();
    let range = mapping.ranges().cursor().peek().unwrap();
    assert!(range.last().get() <= last && range.addr().get() > 0x1000_0000);
    assert_eq!(mapping.ranges().bounced(), 8192);
    drop(mapping);
    assert_eq!(bus.mapped.load(SeqCst), bus.unmapped.load(SeqCst));
}
