//! Memory that is shared with something outside of the machine (QEMU's `ivshmem-plain` and
//! `ivshmem-doorbell`; "Device Specification for Inter-VM shared memory device" in QEMU's documentation).
//!
//! Base address register 2 is the memory. Register 0 has a few registers for interrupts, which nobody
//! here uses.

use crate::memory::regions::{Kind, Provider};
use crate::pci::Function;
use crate::pci::device::{BarPart, Device, DeviceError};
use crate::pci::ecam::Ecam;
use crate::storage::Name;
use alloc::sync::Arc;

/// The base address register of the memory.
const MEMORY: u8 = 2;

/// Whether a function is such memory.
pub(super) fn is_it(function: &Function) -> bool {
    (function.vendor, function.device) == (0x1af4, 0x1110)
}

/// Gives out its memory.
pub(super) fn open(device: &Device<Ecam>) -> Result<Arc<Provider>, DeviceError> {
    // Only if there is something to name.
    let function = device.function();
    function.bar(MEMORY).ok_or(DeviceError::NoBar(MEMORY))?;
    let name = Name::numbered("ivshmem");
    // SAFETY: by its specification the register is linear memory, and has no other purpose.
    unsafe {
        device
            .bars()
            .memory(MEMORY, BarPart::All, name, Kind::Shared)
    }
}
