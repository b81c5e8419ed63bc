//! Memory on its way to a device and back, on the host's memory.

mod bounced;
mod domains;
mod limits;

use super::*;
use crate::memory::frames::{Frames, host};
use phyr::{DmaAddr, DmaList, Phyr, PhyrList, PhysAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const LIMITS: DmaLimits = DmaLimits {
    alignment: 4,
    ..DmaLimits::NONE
};

/// A bus on which devices see memory further up, and which counts.
#[derive(Debug, Default)]
struct Offset {
    up: u64,
    mapped: AtomicUsize,
    unmapped: AtomicUsize,
    /// What was taken off, in order.
    taken_off: crate::lock::Mutex<Vec<(u64, u64)>>,
}

impl Offset {
    fn new(up: u64) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            up,
            ..Self::default()
        })
    }
}

// SAFETY: no device is on this bus.
unsafe impl DmaDomain for Offset {
    fn granule(&self) -> Option<u64> {
        None
    }

    fn fixed(&self, phyr: Phyr) -> Option<DmaAddr> {
        phyr.addr().get().checked_add(self.up).map(DmaAddr::new)
    }

    fn below(&self, last: DmaAddr) -> Option<PhysAddr> {
        let below = last.get().saturating_sub(self.up).checked_add(1)?;
        Some(PhysAddr::new(below))
    }

    unsafe fn map(
        &self,
        list: PhyrList,
        _: Access,
        _: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)> {
        let list = list.map_to_bus(|phyr| self.fixed(phyr));
        let list = list.map_err(|(index, list)| (DmaError::Unreachable { index }, list))?;
        self.mapped.fetch_add(1, SeqCst);
        Ok(list)
    }

    fn unmap(&self, list: &DmaList) {
        self.unmapped.fetch_add(1, SeqCst);
        let ranges = list.iter().map(|range| (range.addr().get(), range.len()));
        self.taken_off.lock().extend(ranges);
    }
}

#[test]
fn frames_go_to_the_bus_as_one_range_and_come_back() {
    let arena = host::arena();
    let before = arena.free_bytes();
    let mut frames = Frames::zeroed(3 * 4096).unwrap();
    let phyr = frames.phyr();
    frames.bytes_mut()[4096..].fill(7);
    let part = frames.into_memory().part(4096..4096 + 512).unwrap();
    let part = part.part(4..104).expect("parts are relative to the part");
    let mapping = map(Buffer::to_device(part), &Domain::DIRECT, &LIMITS).unwrap();
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
    let direct = Domain::DIRECT;
    let unreachable = DmaError::Unreachable { index: 0 };
    let buffer = Buffer::from_device(frames.into_memory());
    let (error, buffer) = map(buffer, &direct, &low).unwrap_err();
    assert_eq!(error, unreachable);
    let odd = buffer.into_memory().part(2..514).unwrap();
    let (error, buffer) = map(Buffer::from_device(odd), &direct, &LIMITS).unwrap_err();
    assert_eq!(error, unreachable);
    let nothing = buffer.into_memory().part(0..0).unwrap();
    let (error, buffer) = map(Buffer::from_device(nothing), &direct, &LIMITS).unwrap_err();
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
    let buffer = Buffer::from_device(frames.into_memory());
    let mapping = map(buffer, &Domain::DIRECT, &LIMITS).unwrap();
    assert_eq!(arena.free_bytes(), before - 4096);
    drop(mapping);
    assert_eq!(arena.free_bytes(), before);
}
