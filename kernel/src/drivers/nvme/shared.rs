//! Memory that the driver and its controller both use: RAM, or memory of the controller's own.
//!
//! Where it is, is decided once. Afterwards an access is a check and a load or a store, and does not
//! ask. Each is one atomic access of 64 bits: no more than 8 bytes is what a controller in QEMU takes
//! for its own memory, and less than a word is nothing that the other side could see by halves.
//!
//! The controller's memory is mapped uncached. So entries of a queue arrive there in the order in
//! which they were written, a word at a time; a fence before the doorbell is the driver's.

use crate::dma::DmaMemory;
use crate::memory::virt::VirtAddr;
use crate::mmio::RegisterWindow;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange, Phyr};

/// Memory that the driver shares with the controller.
pub struct Shared {
    /// Where it begins, for the processor.
    start: VirtAddr,
    bytes: usize,
    bus: DmaRange,
    _holder: Holder,
}

/// What keeps the memory there.
#[expect(dead_code, reason = "it is only held")]
enum Holder {
    Ram(DmaMemory),
    Controller(RegisterWindow),
}

impl Shared {
    pub(super) fn in_ram(memory: DmaMemory) -> Self {
        let bus = memory.bus();
        Self {
            start: VirtAddr::of(memory.pointer().as_ptr()),
            bytes: bus.len() as usize,
            bus,
            _holder: Holder::Ram(memory),
        }
    }

    /// Memory of the controller, and where it is.
    pub(super) fn in_the_controller(window: RegisterWindow, part: Phyr) -> Self {
        // As for RAM: the bus has it where the processor has it.
        let bus = DmaRange::new(DmaAddr::new(part.addr().get()), part.len());
        Self {
            start: window.start(),
            bytes: window.len(),
            bus: bus.expect("a phyr is a range"),
            _holder: Holder::Controller(window),
        }
    }

    /// The word at `offset`, of a line of so many bytes that is aligned to its length.
    #[inline(always)]
    fn word(&self, offset: usize, line: usize) -> *const AtomicU64 {
        let inside = offset
            .checked_add(line)
            .is_some_and(|end| end <= self.bytes);
        if !inside || !offset.is_multiple_of(line) {
            self.is_outside(offset);
        }
        let start = core::ptr::with_exposed_provenance::<u8>(self.start.get() as usize);
        start.wrapping_add(offset).cast()
    }

    #[cold]
    fn is_outside(&self, offset: usize) -> ! {
        let bytes = self.bytes;
        panic!("offset {offset:#x} in shared memory of {bytes:#x} bytes");
    }
}

// SAFETY: `bus` is one range that stays: of frames of its own, or of a base address register that is
// mapped and that only its driver uses.
unsafe impl nvme::SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        self.bus
    }

    #[inline(always)]
    fn load64(&self, offset: usize) -> u64 {
        let word = self.word(offset, 8);
        // SAFETY: `word` has seen that it is in bounds and aligned, since all memory here starts at a
        // multiple of 8; it is mapped while `self` holds it, and both sides only make whole accesses.
        unsafe { &*word }.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn store64(&self, offset: usize, value: u64) {
        let word = self.word(offset, 8);
        // SAFETY: as in `load64`.
        unsafe { &*word }.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    fn store_line(&self, offset: usize, line: &[u64; 8]) {
        let first = self.word(offset, 64);
        for (index, value) in line.iter().enumerate() {
            let word = first.wrapping_add(index);
            // SAFETY: as in `load64`, for all eight words of the line.
            unsafe { &*word }.store(*value, Ordering::Relaxed);
        }
    }
}
