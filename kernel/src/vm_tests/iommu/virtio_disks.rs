//! virtio disks and an IOMMU: the same binary without, behind, and past it.

use super::{CANARY, PAGE, faults, is_canary, page_of_canary, same_as_without};
use crate::block::blocking::wait;
use crate::dma::{Buffer, DmaLimits, Owner, map};
use crate::machine::machine;
use crate::memory::frames::Frames;
use crate::vm_tests::bare_disk::BareDisk;
use crate::vm_tests::disk;
use alloc::format;
use phyr::Phyr;
use vm_test::{control, pattern, seed, vm_test};

/// Reads into frames, and returns where these are.
fn read_into_frames() -> Phyr {
    let frames = page_of_canary();
    let phyr = frames.phyr();
    let frames = wait(disk().read(8, frames)).unwrap();
    let wrong = pattern::first_difference(seed(), 8 * 512, frames.bytes());
    assert_eq!(wrong, None);
    phyr
}

/// How often QEMU's IOMMU has found this memory, and how often it was asked for its physical address.
fn found_and_asked(phyr: Phyr) -> [u64; 2] {
    let phys = phyr.addr().get();
    [
        format!("vtd_dmar_translate -> gpa 0x{phys:x} "),
        format!("vtd_dmar_translate iova 0x{phys:x} -> "),
    ]
    .map(|text| control::trace_count(&text))
}

#[vm_test(machine = "virtio=modern,size=16M", timeout = 60)]
fn d8_a_virtio_disk_without_an_iommu() {
    assert!(machine().iommu.is_none());
    same_as_without();
}

#[vm_test(
    machine = "iommu,translated,size=16M,trace=vtd_dmar_translate",
    timeout = 60
)]
fn d8_a_virtio_disk_behind_an_iommu() {
    let phyr = read_into_frames();
    let [found, asked] = found_and_asked(phyr);
    assert!(found >= 1, "QEMU was led to {phyr}");
    assert_eq!(asked, 0, "{phyr} is no bus address");
    same_as_without();
    assert_eq!(faults(), []);
}

#[vm_test(
    machine = "iommu=caching-mode=on+aw-bits=48,translated,size=16M,queues=2,smp=4,switch",
    timeout = 60
)]
fn d8_virtio_behind_one_that_remembers_what_was_not_there() {
    same_as_without();
    assert_eq!(faults(), []);
}

/// It does not offer to ask, so it is told physical addresses: QEMU does not ask for it either.
#[vm_test(
    machine = "iommu,virtio,size=16M,trace=vtd_dmar_translate",
    timeout = 60
)]
fn d8_a_virtio_disk_that_goes_past_the_iommu() {
    assert!(machine().iommu.is_some());
    read_into_frames();
    same_as_without();
    assert_eq!(control::trace_count("vtd_dmar_translate"), 0);
    assert_eq!(faults(), []);
}

#[vm_test(machine = "iommu,translated,size=16M")]
fn d7_a_stale_address_of_a_virtio_disk_faults_and_changes_nothing() {
    let mut disk = BareDisk::start();
    let buffer = Buffer::from_device(page_of_canary().into_memory());
    let mapping = map(buffer, &disk.domain, &DmaLimits::NONE).unwrap();
    let stale = mapping.ranges().cursor().peek().unwrap();
    disk.read_to(8, stale);
    let memory = mapping.unmap().into_memory();
    let wrong = pattern::first_difference(seed(), 8 * 512, memory.bytes());
    assert_eq!((wrong, faults().len()), (None, 0));
    let mut frames = Frames::from_memory(memory).unwrap();
    assert_ne!(stale.addr().get(), frames.phyr().addr().get());
    // The same frames, and the same request.
    frames.bytes_mut().fill(CANARY);
    disk.read_to(8, stale);
    assert!(is_canary(frames.bytes(), frames.phyr()));
    let fault = faults()[0];
    let address = disk.device.function().address;
    let device = (address.bus(), address.device(), address.function());
    assert_eq!((fault.device, fault.page), (device, stale.addr()));
    assert_eq!(stale.len(), PAGE as u64);
}
