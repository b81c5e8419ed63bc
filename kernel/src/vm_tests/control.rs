//! A machine that the host changes under the kernel.

use super::disk;
use crate::block::BlockError;
use alloc::vec;
use vm_test::{control, vm_test};

#[vm_test(machine = "nvme")]
fn a_disk_fails_where_it_is_told_to_and_only_there() {
    let mut bytes = vec![0; 512];
    let mut read = |block| disk().read_now(block, &mut bytes);
    assert_eq!(read(8), Ok(()));
    control::faults(0, "read at 4096");
    assert!(matches!(read(8), Err(BlockError::Device(_))));
    assert_eq!(read(9), Ok(()));
    // What fails once is tried again by the driver.
    control::faults(0, "read once");
    assert_eq!(read(9), Ok(()));
    control::faults(0, "read");
    assert!(matches!(read(9), Err(BlockError::Device(_))));
    control::faults(0, "");
    assert_eq!(read(8), Ok(()));
}

#[vm_test(machine = "trace=pci_nvme_read+pci_nvme_mmio_doorbell_*,nvme")]
fn qemu_tells_which_commands_a_driver_has_given() {
    let mut bytes = vec![0; 512];
    disk().read_now(0, &mut bytes).unwrap();
    control::trace_mark();
    disk().read_now(77, &mut bytes).unwrap();
    assert_eq!(control::trace_count("pci_nvme_read"), 1);
    assert_eq!(control::trace_count("pci_nvme_read lba 0x4d"), 1);
    assert_eq!(control::trace_count("pci_nvme_mmio_doorbell_sq"), 1);
    control::trace_mark();
    assert_eq!(control::trace_count("pci_nvme_*"), 0);
}
