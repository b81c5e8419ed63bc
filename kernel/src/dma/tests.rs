//! Memory on its way to a device and back, on the host's memory.

use super::*;
use crate::memory::frames::{Frames, host};
use phyr::DmaAddr;

const LIMITS: DmaLimits = DmaLimits {
    last: DmaAddr::new(u64::MAX),
    alignment: 4,
};

#[test]
fn frames_go_to_the_bus_as_one_range_and_come_back() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let mut frames = Frames::zeroed(3 * 4096).unwrap();
    let phyr = frames.phyr();
    frames.bytes_mut()[4096..].fill(7);
    let part = frames.into_memory().part(4096..4096 + 512).unwrap();
    let part = part.part(4..104).expect("parts are relative to the part");
    let mapping = map(Buffer::to_device(part), &LIMITS).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.len(), ranges.bytes()), (1, 100));
    let first = ranges.cursor().peek().unwrap();
    assert_eq!(first.addr().get(), phyr.addr().get() + 4100);
    let memory = Transfer::from(mapping).into_memory();
    assert_eq!(memory.bytes(), [7; 100]);
    let memory = memory.part(0..101).unwrap_err();
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let memory = memory.part(5..4).unwrap_err();
    assert_eq!(memory.whole().len(), 3 * 4096);
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn what_the_device_cannot_reach_comes_back() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let frames = Frames::allocate(4096).unwrap();
    let low = DmaLimits {
        last: DmaAddr::new(frames.phyr().last().get() - 1),
        ..LIMITS
    };
    let unreachable = DmaError::Unreachable { index: 0 };
    let (error, buffer) = map(Buffer::from_device(frames.into_memory()), &low).unwrap_err();
    assert_eq!(error, unreachable);
    let odd = buffer.into_memory().part(2..514).unwrap();
    let (error, buffer) = map(Buffer::from_device(odd), &LIMITS).unwrap_err();
    assert_eq!(error, unreachable);
    let nothing = buffer.into_memory().part(0..0).unwrap();
    let (error, buffer) = map(Buffer::from_device(nothing), &LIMITS).unwrap_err();
    assert_eq!(error, DmaError::Buffer(BufferError::Empty));
    drop(Frames::from_memory(buffer.into_memory()).unwrap());
    assert_eq!(arena.free_bytes(), before);
}

#[test]
fn memory_remembers_what_it_was_made_of() {
    let memory = vec![1_u8, 2, 3].into_memory();
    let memory = Frames::from_memory(memory).unwrap_err();
    assert_eq!(Vec::from_memory(memory).unwrap(), [1, 2, 3]);
}

#[test]
fn a_mapping_is_dropped_with_its_memory() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let frames = Frames::allocate(4096).unwrap();
    let mapping = map(Buffer::from_device(frames.into_memory()), &LIMITS).unwrap();
    assert_eq!(arena.free_bytes(), before - 4096);
    drop(mapping);
    assert_eq!(arena.free_bytes(), before);
}
