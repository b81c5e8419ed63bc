//! The same drivers behind an IOMMU, and what a device may not do there. What is true of any IOMMU is a function
//! here, and a test for each kind.
//!
//! QEMU's controller reports success for a transfer that the IOMMU refused. So nothing here believes a status: content
//! and canaries say what happened, QEMU's trace says which addresses were used, and the IOMMU's own record says
//! what was refused.

mod virtio_disks;
mod virtio_iommu;

use super::held::Controller;
use super::transfers::{read_of_every_kind, write_and_look};
use super::{disk, scattered};
use crate::dma::{Buffer, DmaLimits, DmaMapping, Domain, FromDevice, Owner, map};
use crate::iommu::Fault;
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::memory::heap;
use crate::memory::virt::VirtRange;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use phyr::{DmaRange, Phyr};
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: usize = 4096;
const CANARY: u8 = 0xc5;

fn faults() -> Vec<Fault> {
    machine().iommu.as_ref().unwrap().take_faults()
}

/// The phyrs behind memory that is in pieces.
fn phyrs(bytes: &[u8]) -> Vec<Phyr> {
    let list = crate::memory::translate(VirtRange::of(bytes).unwrap()).unwrap();
    list.iter().collect()
}

/// Gives the controller a read to bus addresses, by hand, as one data block descriptor (NVM Express base
/// specification 2.0, section 4.1.2).
fn read_to(controller: &mut Controller, block: u64, range: DmaRange) {
    const READ_WITH_SGL: u64 = 2 | 1 << 14;
    // The first block, and how many more there are.
    let words = [block, range.len() / 512 - 1];
    let data = [range.addr().get(), range.len()];
    let registers = &controller.registers;
    controller
        .pair
        .send_with(registers, READ_WITH_SGL, data, words);
    // Success, whatever has become of it.
    assert_eq!(controller.pair.wait(), 0);
}

fn page_of_canary() -> Frames {
    let mut frames = Frames::allocate(PAGE as u64).unwrap();
    frames.bytes_mut().fill(CANARY);
    frames
}

fn mapped(controller: &Controller, frames: Frames) -> DmaMapping<FromDevice> {
    let domain = controller.device.domain().unwrap();
    let buffer = Buffer::from_device(frames.into_memory());
    map(buffer, &domain, &DmaLimits::NONE).unwrap()
}

fn is_canary(bytes: &[u8], memory: Phyr) -> bool {
    let sum = memory.len() * u64::from(CANARY);
    bytes.iter().all(|byte| *byte == CANARY) && host::sum(memory) == sum
}

/// Lets the controller read into so many pages that do not touch, as one range. Returns the range, and where the
/// pages are.
fn scattered_pages_are_one_range(count: usize) -> (DmaRange, Vec<Phyr>) {
    let mut memory = scattered(count);
    memory.bytes_mut().fill(CANARY);
    let pages = phyrs(memory.bytes());
    assert_eq!(pages.len(), count, "no two pages touch");
    let mut controller = Controller::start();
    let domain = controller.device.domain().unwrap();
    let buffer = Buffer::from_device(Box::new(memory).into_memory());
    control::trace_mark();
    let mapping = map(buffer, &domain, &DmaLimits::NONE).unwrap();
    let ranges = mapping.ranges();
    assert_eq!((ranges.len(), ranges.bytes()), (1, (count * PAGE) as u64));
    let range = ranges.cursor().peek().unwrap();
    read_to(&mut controller, 0, range);
    let memory = mapping.unmap().into_memory();
    assert_eq!(pattern::first_difference(seed(), 0, memory.bytes()), None);
    // QEMU's controller was told of one range, and QEMU's IOMMU found the pages.
    let first = range.addr().get();
    let told = format!("pci_nvme_map_addr addr 0x{first:x} len {}", range.len());
    assert_eq!(control::trace_count(&told), 1);
    assert_eq!(control::trace_count("pci_nvme_map_addr"), 1);
    for (page, phyr) in pages.iter().enumerate() {
        let offset = (page * PAGE) as u64;
        host::assert_pattern(*phyr, seed(), offset);
        assert_ne!(first + offset, phyr.addr().get());
    }
    assert_eq!(faults(), []);
    (range, pages)
}

#[vm_test(
    machine = "iommu,nvme,size=16M,trace=vtd_dmar_*+pci_nvme_map_addr",
    timeout = 60
)]
fn d6_64_scattered_pages_are_one_range() {
    let (range, pages) = scattered_pages_are_one_range(64);
    for (page, phyr) in pages.iter().enumerate() {
        let bus = range.addr().get() + (page * PAGE) as u64;
        let found = control::trace_count(&format!(
            "vtd_dmar_translate iova 0x{bus:x} -> gpa 0x{:x} ",
            phyr.addr().get()
        ));
        assert!(found >= 1, "{bus:#x} is {phyr}");
    }
}

/// Tells the controller of memory again that has been taken off the bus. That is refused for `reason`.
fn a_stale_address_faults(reason: u8) {
    let mut controller = Controller::start();
    let mapping = mapped(&controller, page_of_canary());
    let stale = mapping.ranges().cursor().peek().unwrap();
    read_to(&mut controller, 8, stale);
    let memory = mapping.unmap().into_memory();
    let position = 8 * 512;
    assert_eq!(
        pattern::first_difference(seed(), position, memory.bytes()),
        None
    );
    assert_eq!(faults(), []);
    // The same frames, which nobody else has had meanwhile, and the same command.
    let mut frames = Frames::from_memory(memory).unwrap();
    frames.bytes_mut().fill(CANARY);
    read_to(&mut controller, 8, stale);
    assert!(is_canary(frames.bytes(), frames.phyr()));
    let address = controller.device.function().address;
    let fault = Fault {
        device: (address.bus(), address.device(), address.function()),
        page: stale.addr(),
        read: false,
        reason,
    };
    assert_eq!(faults().first(), Some(&fault));
    assert_eq!(faults(), []);
    // And the controller goes on.
    let mapping = mapped(&controller, frames);
    let at = mapping.ranges().cursor().peek().unwrap();
    read_to(&mut controller, 16, at);
    let memory = mapping.unmap().into_memory();
    assert_eq!(
        pattern::first_difference(seed(), 16 * 512, memory.bytes()),
        None
    );
}

#[vm_test(machine = "iommu,nvme,size=16M,trace=vtd_dmar_*")]
fn d7_a_stale_address_faults_and_changes_nothing() {
    // The entry allows no writing (VT-d, table 7.1).
    a_stale_address_faults(5);
    assert!(control::trace_count("vtd_dmar_fault") >= 1);
}

/// Tells the controller of memory that is on the bus, where the CPU sees it.
fn a_physical_address_faults() {
    let mut controller = Controller::start();
    let frames = page_of_canary();
    let phys = frames.phyr();
    let mapping = mapped(&controller, frames);
    let bus = mapping.ranges().cursor().peek().unwrap();
    assert_ne!(bus.addr().get(), phys.addr().get());
    // While the very memory is on the bus, at another address.
    read_to(&mut controller, 8, phys.to_same_bus_range());
    let fault = faults()[0];
    assert_eq!((fault.page.get(), fault.read), (phys.addr().get(), false));
    let memory = mapping.unmap().into_memory();
    assert!(is_canary(memory.bytes(), phys));
}

#[vm_test(machine = "iommu,nvme,size=16M")]
fn d5_a_physical_address_is_no_bus_address() {
    a_physical_address_faults();
}

/// Has the controller read what it is to write. That is refused for `reason`.
fn reading_what_is_to_be_written_faults(reason: u8) {
    const WRITE: u64 = 1;
    let mut controller = Controller::start();
    let mut frames = Frames::allocate(PAGE as u64).unwrap();
    pattern::fill(seed() ^ 7, 0, frames.bytes_mut());
    let mapping = mapped(&controller, frames);
    let at = mapping.ranges().cursor().peek().unwrap().addr();
    let registers = &controller.registers;
    let data = [at.get(), 0];
    controller.pair.send_with(registers, WRITE, data, [8, 7]);
    controller.pair.wait();
    let fault = faults()[0];
    let found = (fault.page, fault.read, fault.reason);
    assert_eq!(found, (at, true, reason));
}

#[vm_test(machine = "iommu,nvme,size=16M")]
fn what_a_device_is_to_write_it_cannot_read() {
    reading_what_is_to_be_written_faults(6);
}

/// Starts a controller that has no driver any more. What it wants is refused for `reason`.
fn without_a_driver_nothing_is_reached(reason: u8) {
    let controller = Controller::start();
    let function = controller.device.function().clone();
    drop(controller);
    // Its queues were taken off the bus, and it was told of physical addresses instead.
    let owners = machine().owners.as_ref().unwrap();
    let device = owners.claim(&function).unwrap();
    let registers = device.registers(0).unwrap();
    let mut frames = Frames::allocate(2 * PAGE as u64).unwrap();
    frames.bytes_mut().fill(CANARY);
    let phyr = frames.phyr();
    registers.write32(0x14, 0);
    while registers.read32(0x1c) & 1 != 0 {}
    registers.write32(0x24, 15 << 16 | 15);
    registers.write64(0x28, phyr.addr().get());
    registers.write64(0x30, phyr.addr().get() + PAGE as u64);
    faults();
    // SAFETY: the controller is told of frames that are this test's own.
    unsafe { device.enable_bus_master() };
    registers.write32(0x14, 4 << 20 | 6 << 16 | 1);
    while registers.read32(0x1c) & 1 == 0 {}
    registers.write32(0x1000, 1);
    let fault = loop {
        if let Some(fault) = faults().first() {
            break *fault;
        }
    };
    assert_eq!(
        (fault.page.get(), fault.reason),
        (phyr.addr().get(), reason)
    );
    registers.write32(0x14, 0);
    while registers.read32(0x1c) & 1 != 0 {}
    assert!(is_canary(frames.bytes(), phyr));
}

#[vm_test(machine = "iommu,nvme,size=16M")]
fn a_device_without_a_driver_reaches_nothing() {
    // There is no entry for it among the devices (VT-d, table 7.1).
    without_a_driver_nothing_is_reached(2);
}

/// Reads and writes as they are tested elsewhere.
fn same_as_without() {
    read_of_every_kind(&*disk());
    write_and_look(&*disk(), 100, PAGE);
    write_and_look(&*disk(), 4000, 3 << 20);
    let mut memory = scattered(513);
    disk().read_now(16000, memory.bytes_mut()).unwrap();
    let difference = pattern::first_difference(seed(), 16000 * 512, memory.bytes());
    assert_eq!(difference, None);
}

#[vm_test(machine = "nvme,size=16M", timeout = 60)]
fn d8_the_same_binary_without_an_iommu() {
    assert!(machine().iommu.is_none());
    same_as_without();
}

#[vm_test(machine = "iommu,nvme,size=16M", timeout = 60)]
fn d8_the_same_binary_behind_an_iommu() {
    same_as_without();
    assert_eq!(faults(), []);
}

#[vm_test(
    machine = "iommu=caching-mode=on+aw-bits=48,nvme,size=16M,mdts=0",
    timeout = 60
)]
fn d8_behind_one_that_remembers_what_was_not_there() {
    same_as_without();
    assert_eq!(faults(), []);
}

#[vm_test(
    machine = "iommu,nvme,size=16M,switch,firmware=qboot,smp=4",
    timeout = 60
)]
fn d8_behind_an_iommu_and_a_switch() {
    same_as_without();
    assert_eq!(faults(), []);
}

/// How many orders to forget the IOMMU got for a mapping, and for its end.
fn orders() -> [u64; 2] {
    let controller = Controller::start();
    let orders = || control::trace_count("vtd_reg_write addr 0xf8 ");
    control::trace_mark();
    let mapping = mapped(&controller, page_of_canary());
    let begun = orders();
    drop(mapping);
    [begun, orders() - begun]
}

#[vm_test(machine = "iommu,nvme,trace=vtd_reg_write")]
fn a_mapping_is_announced_by_nothing_and_ended_by_one_order() {
    assert_eq!(orders(), [0, 1]);
}

#[vm_test(machine = "iommu=caching-mode=on,nvme,trace=vtd_reg_write")]
fn a_mapping_is_announced_where_the_iommu_remembers_what_was_not_there() {
    assert_eq!(orders(), [1, 1]);
}

#[vm_test]
fn d4_identity_asks_the_heap_for_nothing() {
    let memory = Box::new(scattered(1000)).into_memory();
    let mut cost = [0; 2];
    for (memory, cost) in [memory, page_of_canary().into_memory()]
        .into_iter()
        .zip(&mut cost)
    {
        // What a description of the memory costs by itself.
        let before = heap::requests();
        drop(memory.phyrs().unwrap());
        let described = heap::requests() - before;
        let buffer = Buffer::from_device(memory);
        let before = heap::requests();
        let mapping = map(buffer, &Domain::DIRECT, &DmaLimits::NONE).unwrap();
        let memory = mapping.unmap().into_memory();
        *cost = heap::requests() - before - described;
        drop(memory);
    }
    assert_eq!(cost, [0, 0]);
}

/// Exactly, because the clock counts instructions.
#[vm_test(machine = "icount")]
fn e19_one_range_costs_few_instructions() {
    const TIMES: u64 = 1000;
    const LIMITS: DmaLimits = DmaLimits {
        alignment: 4,
        ..DmaLimits::NONE
    };
    let domain = core::hint::black_box(Domain::DIRECT);
    let mut memory = page_of_canary().into_memory();
    let start = crate::arch::cpu::time_stamp();
    for _ in 0..TIMES {
        let mapping = map(Buffer::from_device(memory), &domain, &LIMITS).unwrap();
        let transfer = core::hint::black_box(crate::dma::Transfer::from(mapping));
        memory = transfer.into_memory();
    }
    let each = (crate::arch::cpu::time_stamp() - start) / TIMES;
    crate::println!("{each} instructions to map and unmap one range");
    assert!(each < 180, "{each}");
}
