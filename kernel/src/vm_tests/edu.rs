//! A device that reaches 28 bits of address and says nothing about the rest.
//!
//! QEMU's `edu` copies between memory and a page of its own. It leaves out the address bits from 28 on, and
//! writes to whatever is where the others point. So these tests own that place too, and look at it.

use crate::dma::{
    Access, Buffer, DmaError, DmaLimits, DmaMapping, DmaRanges, Domain, FromDevice, Memory, Owner,
    ToDevice, map, map_or_bounce,
};
use crate::machine::machine;
use crate::memory::frames::{self, Frames, with_allocator};
use crate::memory::scattered::Scattered;
use crate::mmio::RegisterWindow;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use alloc::boxed::Box;
use alloc::vec;
use phyr::{DmaAddr, DmaRange, Phyr, PhysAddr};
use vm_test::{host, pattern, seed, vm_test};

const PAGE: usize = 4096;
const CANARY: u8 = 0xc5;

/// Where the device's page is, for itself.
const INSIDE: u64 = 0x4_0000;

/// As much of it as is used here. (QEMU 7.2 dies of a copy that ends with its last byte.)
const ROOM: usize = 2048;

/// 28 lines of address.
const LIMITS: DmaLimits = DmaLimits {
    last: DmaAddr::new((1 << 28) - 1),
    max_segment: ROOM as u64,
    ..DmaLimits::NONE
};

/// The device (QEMU's `docs/specs/edu`).
struct Edu {
    device: Device<Ecam>,
    registers: RegisterWindow,
}

impl Edu {
    fn claim() -> Self {
        let is_edu = |function: &crate::pci::Function| {
            (function.vendor, function.device) == (0x1234, 0x11e8)
        };
        let function = machine().functions().into_iter().find(is_edu).unwrap();
        let device = machine().owners.as_ref().unwrap().claim(&function).unwrap();
        let registers = device.registers(0).unwrap();
        assert_eq!(registers.read32(0) & 0xff, 0xed);
        // SAFETY: it does nothing before it is told to, and is told of mappings only.
        unsafe { device.enable_bus_master() };
        Self { device, registers }
    }

    fn domain(&self) -> Domain {
        self.device.domain().unwrap()
    }

    /// Has it copy each range to or from the same bytes of its page.
    fn copy(&self, ranges: &DmaRanges, access: Access) {
        let (mut cursor, mut inside) = (ranges.cursor(), INSIDE);
        while let Some(range) = cursor.next(u64::MAX) {
            self.copy_range(range, inside, access);
            inside += range.len();
        }
    }

    fn copy_range(&self, range: DmaRange, inside: u64, access: Access) {
        const START: u32 = 1;
        const TO_MEMORY: u32 = 2;
        let (from, to, way) = match access {
            Access::Read => (range.addr().get(), inside, 0),
            _ => (inside, range.addr().get(), TO_MEMORY),
        };
        self.registers.write64(0x80, from);
        self.registers.write64(0x88, to);
        self.registers.write64(0x90, range.len());
        self.registers.write32(0x98, START | way);
        while self.registers.read32(0x98) & START != 0 {}
    }

    fn load(&self, mapping: DmaMapping<ToDevice>) -> Memory {
        self.copy(mapping.ranges(), Access::Read);
        mapping.unmap().into_memory()
    }

    fn store(&self, mapping: DmaMapping<FromDevice>) -> Memory {
        self.copy(mapping.ranges(), Access::Write);
        mapping.unmap().into_memory()
    }
}

/// So many pages from there on.
fn frames_at(addr: u64, pages: usize) -> Frames {
    let range = Phyr::new(PhysAddr::new(addr), (pages * PAGE) as u64).unwrap();
    let range = with_allocator(|allocator| allocator.allocate_at(range)).unwrap();
    // SAFETY: it was allocated to nobody else.
    unsafe { frames::adopt(range) }
}

/// Out of the device's reach, and what is there for it instead.
const HIGH: u64 = 0x1800_0000;
const ALIAS: u64 = HIGH & 0xfff_ffff;

/// Three pages of canary, of which the middle one is where a write to `HIGH` would go.
fn canary() -> Frames {
    let mut canary = frames_at(ALIAS - PAGE as u64, 3);
    canary.bytes_mut().fill(CANARY);
    canary
}

fn is_intact(canary: &Frames) -> bool {
    let all = canary.phyr().len();
    canary.bytes().iter().all(|byte| *byte == CANARY)
        && host::sum(canary.phyr()) == all * u64::from(CANARY)
}

/// Some of the pattern goes from high memory through the device to other high memory. Returns how much
/// was copied on the way, there and back.
fn round_trip(edu: &Edu) -> [u64; 2] {
    let canary = canary();
    let domain = edu.domain();
    let mut source = frames_at(HIGH, 1);
    pattern::fill(seed(), 0, source.bytes_mut());
    let mut target = frames_at(HIGH + 0x10_0000, 3);
    target.bytes_mut().fill(CANARY);
    let there = target.phyr();

    let source = source.into_memory().part(0..ROOM).unwrap();
    let mapping = map_or_bounce(Buffer::to_device(source), &domain, &LIMITS).unwrap();
    let out = mapping.ranges().bounced();
    drop(edu.load(mapping));

    // Not where a page begins, and not to the end of one.
    let part = PAGE + 100..PAGE + ROOM - 100;
    let memory = target.into_memory().part(part.clone()).unwrap();
    let mapping = map_or_bounce(Buffer::from_device(memory), &domain, &LIMITS).unwrap();
    let back = mapping.ranges().bounced();
    let target = edu.store(mapping).whole();
    let bytes = target.bytes();
    let difference = pattern::first_difference(seed(), 0, &bytes[part.clone()]);
    assert_eq!(difference, None);
    let around = bytes[..part.start].iter().chain(&bytes[part.end..]);
    assert!(around.clone().all(|byte| *byte == CANARY));
    let inner = there.sub(part.start as u64, part.len() as u64).unwrap();
    host::assert_pattern(inner, seed(), 0);
    assert!(is_intact(&canary));
    [out, back]
}

#[vm_test(machine = "edu,ram=1G")]
fn d9_what_28_bits_do_not_reach_is_refused() {
    let edu = Edu::claim();
    let source = frames_at(HIGH, 1).into_memory();
    let refused = map(Buffer::to_device(source), &edu.domain(), &LIMITS);
    assert_eq!(refused.unwrap_err().0, DmaError::Unreachable { index: 0 });
    // Up to the last byte that it reaches.
    let reached = frames_at((1 << 28) - PAGE as u64, 1).into_memory();
    assert!(map(Buffer::to_device(reached), &edu.domain(), &LIMITS).is_ok());
}

#[vm_test(machine = "edu,ram=1G")]
fn d9_what_28_bits_do_not_reach_is_copied_both_ways() {
    let room = ROOM as u64;
    assert_eq!(round_trip(&Edu::claim()), [room, room - 200]);
}

/// The canary is where it matters: if nobody looked at the mask, the device would write there.
#[vm_test(machine = "edu,ram=1G")]
fn d9_without_the_mask_somebody_elses_memory_is_written() {
    let edu = Edu::claim();
    let canary = canary();
    let careless = DmaLimits {
        last: DmaAddr::new(u64::MAX),
        ..LIMITS
    };
    let mut target = frames_at(HIGH, 1);
    target.bytes_mut().fill(CANARY);
    let target = target.into_memory().part(0..ROOM).unwrap();
    let mapping = map(Buffer::from_device(target), &edu.domain(), &careless).unwrap();
    let target = edu.store(mapping).whole();
    assert!(target.bytes().iter().all(|byte| *byte == CANARY));
    assert!(!is_intact(&canary));
    // The device's page is zeros at first, and that is what lies there now.
    let (before, there) = canary.bytes().split_at(PAGE);
    assert!(before.iter().all(|byte| *byte == CANARY));
    assert!(there[..ROOM].iter().all(|byte| *byte == 0));
}

#[vm_test(machine = "edu,ram=1G")]
fn e20_of_a_buffer_only_the_part_out_of_reach_is_copied() {
    let edu = Edu::claim();
    let canary = canary();
    let (low, high) = (frames_at(0x400_0000, 1), frames_at(HIGH, 1));
    let mut both = Scattered::map(vec![low, high]).unwrap();
    pattern::fill(seed(), 0, both.bytes_mut());
    let half = ROOM / 2;
    let middle = PAGE - half..PAGE + half;
    let memory = Box::new(both).into_memory().part(middle.clone()).unwrap();
    let mapping = map_or_bounce(Buffer::to_device(memory), &edu.domain(), &LIMITS).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.len(), ranges.bounced()), (2, half as u64));
    let first = ranges.cursor().peek().unwrap();
    assert_eq!(first.addr().get(), 0x400_0000 + (PAGE - half) as u64);
    let mut memory = edu.load(mapping);
    memory.bytes_mut().fill(0);
    let mapping = map_or_bounce(Buffer::from_device(memory), &edu.domain(), &LIMITS).unwrap();
    assert_eq!(mapping.ranges().bounced(), half as u64);
    let both = edu.store(mapping).whole();
    assert_eq!(pattern::first_difference(seed(), 0, both.bytes()), None);
    assert!(is_intact(&canary));
}

#[vm_test(machine = "edu,iommu,ram=1G")]
fn d9_behind_an_iommu_28_bits_reach_everything() {
    let edu = Edu::claim();
    assert_eq!(round_trip(&edu), [0, 0], "nothing is copied");
    let domain = edu.domain();
    let memory = frames_at(HIGH, 1).into_memory();
    let mapping = map(Buffer::to_device(memory), &domain, &LIMITS).unwrap();
    assert_eq!(mapping.ranges().len(), 2);
    let first = mapping.ranges().cursor().peek().unwrap();
    assert!(first.last() <= LIMITS.last);
    let iommu = machine().iommu.as_ref().unwrap();
    assert_eq!(iommu.take_faults(), []);
}

/// One phyr of 64 KiB is cut to what the device takes at once. It copies the same 2 KiB to each piece.
#[vm_test(machine = "edu")]
fn d10_64_kib_in_one_phyr_are_cut_to_what_the_device_takes() {
    const LEN: usize = 64 << 10;
    // Wherever it begins.
    const START: usize = PAGE - 1;
    let edu = Edu::claim();
    let mut source = Frames::allocate(PAGE as u64).unwrap();
    pattern::fill(seed(), 0, source.bytes_mut());
    let source = source.into_memory().part(0..ROOM).unwrap();
    let mapping = map(Buffer::to_device(source), &edu.domain(), &LIMITS).unwrap();
    drop(edu.load(mapping));
    let mut frames = Frames::allocate((LEN + 2 * PAGE) as u64).unwrap();
    frames.bytes_mut().fill(CANARY);
    let phyr = frames.phyr();
    let memory = frames.into_memory().part(START..START + LEN).unwrap();
    let mapping = map(Buffer::from_device(memory), &edu.domain(), &LIMITS).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.len(), ranges.bytes()), (LEN / ROOM, LEN as u64));
    let mut cursor = ranges.cursor();
    while let Some(range) = cursor.next(u64::MAX) {
        edu.copy_range(range, INSIDE, Access::Write);
    }
    let memory = mapping.unmap().into_memory().whole();
    let bytes = memory.bytes();
    for piece in bytes[START..START + LEN].chunks(ROOM) {
        assert_eq!(pattern::first_difference(seed(), 0, piece), None);
    }
    let mut around = bytes[..START].iter().chain(&bytes[START + LEN..]);
    assert!(around.all(|byte| *byte == CANARY));
    // The host sees the same bytes.
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    assert_eq!(host::sum(phyr), sum);
}
