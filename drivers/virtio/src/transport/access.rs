//! Whether a device finds memory by itself, or asks the IOMMU (section 6.1, VIRTIO_F_ACCESS_PLATFORM).
//!
//! A virtio device is a program of the hypervisor, which sees all of the machine's memory. So one
//! that does not offer this feature uses physical addresses, and goes past an IOMMU even if
//! there is one. One that offers it means the addresses that any other device in its place would use.

use crate::platform::Registers;
use virtio_spec::F;

/// Whether the device with this common configuration offers to use bus addresses. If it does not,
/// it uses physical ones, whatever stands between other devices and memory.
///
/// May be asked before anything else is done with the device.
pub fn uses_bus_addresses(common: &impl Registers) -> bool {
    const DEVICE_FEATURE_SELECT: usize = 0x00;
    const DEVICE_FEATURE: usize = 0x04;
    let bit = F::ACCESS_PLATFORM.bits().to_ne().trailing_zeros();
    common.write32(DEVICE_FEATURE_SELECT, bit / 32);
    common.read32(DEVICE_FEATURE) >> (bit % 32) & 1 != 0
}
