//! The same behind an IOMMU that is a virtio device. QEMU's trace says what it was told, and what it has found.

use super::{
    PAGE, a_physical_address_faults, a_stale_address_faults, faults, mapped, page_of_canary,
    reading_what_is_to_be_written_faults, same_as_without, scattered_pages_are_one_range,
    without_a_driver_nothing_is_reached,
};
use crate::dma::{Buffer, DmaLimits, Owner, map};
use crate::machine::machine;
use crate::vm_tests::held::Controller;
use crate::vm_tests::scattered;
use alloc::boxed::Box;
use alloc::format;
use vm_test::{control, vm_test};

/// Reasons of faults (virtio 1.2, section 5.13.6.10).
const NO_DOMAIN: u8 = 1;
const NO_MAPPING: u8 = 2;

#[vm_test(
    machine = "virtio-iommu,nvme,size=16M,trace=virtio_iommu_*",
    timeout = 60
)]
fn d8_the_same_binary_behind_a_virtio_iommu() {
    assert!(machine().iommu.is_some());
    same_as_without();
    assert_eq!(faults(), []);
    let counts = ["attach", "map", "unmap_done", "translate_out"];
    let counts = counts.map(|event| control::trace_count(&format!("virtio_iommu_{event}")));
    assert_eq!(counts[0], 1, "one device has a driver");
    assert!(counts[1..].iter().all(|count| *count > 10), "{counts:?}");
}

#[vm_test(
    machine = "virtio-iommu,translated,size=16M,trace=virtio_iommu_translate_out",
    timeout = 60
)]
fn d8_a_virtio_disk_behind_a_virtio_iommu() {
    same_as_without();
    assert_eq!(faults(), []);
    assert!(control::trace_count("virtio_iommu_translate_out") > 10);
}

/// Such a disk is told physical addresses, and nobody translates them.
#[vm_test(
    machine = "virtio-iommu,virtio,size=16M,trace=virtio_iommu_*",
    timeout = 60
)]
fn d8_a_virtio_disk_that_goes_past_a_virtio_iommu() {
    same_as_without();
    assert_eq!(faults(), []);
    // But for its interrupts, which are written to this address.
    let translated = || control::trace_count("virtio_iommu_translate");
    let messages = control::trace_count("virtio_iommu_translate addr=0xfee00000 ");
    assert_eq!(translated(), messages);
    assert_eq!(control::trace_count("virtio_iommu_map"), 0);
}

#[vm_test(machine = "virtio-iommu,nvme,size=16M,switch,smp=4", timeout = 60)]
fn d8_behind_a_virtio_iommu_and_a_switch() {
    same_as_without();
    assert_eq!(faults(), []);
}

/// This firmware numbers no buses, so its table knows of the first bus only.
#[vm_test(
    machine = "virtio-iommu,nvme,size=16M,switch,firmware=qboot",
    timeout = 60
)]
fn d8_behind_a_virtio_iommu_that_firmware_knows_little_of() {
    same_as_without();
    assert_eq!(faults(), []);
}

#[vm_test(
    machine = "virtio-iommu,nvme,size=16M,trace=virtio_iommu_*+pci_nvme_map_addr",
    timeout = 60
)]
fn d6_64_scattered_pages_are_one_range_of_a_virtio_iommu() {
    let (range, pages) = scattered_pages_are_one_range(64);
    for (page, phyr) in pages.iter().enumerate() {
        let bus = range.addr().get() + (page * PAGE) as u64;
        let (last, phys) = (bus + PAGE as u64 - 1, phyr.addr().get());
        // What the device may write, and where that was found.
        let told = format!(
            "virtio_iommu_map domain=0 virt_start=0x{bus:x} virt_end=0x{last:x} \
             phys_start=0x{phys:x} flags=2"
        );
        assert_eq!(control::trace_count(&told), 1, "{told}");
        let found = format!("virtio_iommu_translate_out 0x{bus:x} -> 0x{phys:x} ");
        assert!(control::trace_count(&found) >= 1, "{found}");
    }
    assert_eq!(control::trace_count("virtio_iommu_map"), 64);
    let undone = format!(
        "virtio_iommu_unmap domain=0 virt_start=0x{:x} ",
        range.addr().get()
    );
    assert_eq!(control::trace_count(&undone), 1);
}

#[vm_test(machine = "virtio-iommu,nvme,trace=virtio_queue_notify")]
fn pieces_of_a_mapping_are_told_in_batches_and_undone_at_once() {
    let controller = Controller::start();
    let domain = controller.device.domain().unwrap();
    let notifications = || control::trace_count("virtio_queue_notify");
    for (pages, batches) in [(1, 1), (64, 1), (65, 2)] {
        let memory = Box::new(scattered(pages)).into_memory();
        control::trace_mark();
        let mapping = map(Buffer::from_device(memory), &domain, &DmaLimits::NONE).unwrap();
        assert_eq!(notifications(), batches, "{pages} pages");
        drop(mapping);
        assert_eq!(notifications(), batches + 1, "{pages} pages");
    }
}

#[vm_test(machine = "virtio-iommu,nvme,size=16M,trace=virtio_iommu_report_fault")]
fn d7_a_stale_address_faults_behind_a_virtio_iommu() {
    a_stale_address_faults(NO_MAPPING);
    assert!(control::trace_count("virtio_iommu_report_fault") >= 1);
}

#[vm_test(machine = "virtio-iommu,nvme,size=16M")]
fn d5_a_physical_address_is_no_bus_address_of_a_virtio_iommu() {
    a_physical_address_faults();
}

#[vm_test(machine = "virtio-iommu,nvme,size=16M")]
fn what_a_device_is_to_write_it_cannot_read_through_a_virtio_iommu() {
    reading_what_is_to_be_written_faults(NO_MAPPING);
}

#[vm_test(machine = "virtio-iommu,nvme,size=16M")]
fn a_device_without_a_driver_reaches_nothing_through_a_virtio_iommu() {
    without_a_driver_nothing_is_reached(NO_DOMAIN);
}

/// More requests than the queue has room for, again and again.
#[vm_test(machine = "virtio-iommu,nvme,size=16M", timeout = 60)]
fn mappings_come_and_go_by_the_hundred() {
    let controller = Controller::start();
    for _ in 0..10 {
        let held: alloc::vec::Vec<_> = (0..100)
            .map(|_| mapped(&controller, page_of_canary()))
            .collect();
        drop(held);
    }
    assert_eq!(faults(), []);
}
