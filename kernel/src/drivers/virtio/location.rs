//! Where a device is: the address by which people and other modules know it.

use crate::pci::PciAddress;
use core::fmt;
use phyr::PhysAddr;

/// Where a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// A function of a PCI device.
    Function(PciAddress),
    /// Registers without a bus, which begin here.
    Window(PhysAddr),
}

impl PartialEq<PciAddress> for Location {
    fn eq(&self, other: &PciAddress) -> bool {
        *self == Self::Function(*other)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(address) => write!(f, "{address}"),
            Self::Window(address) => write!(f, "{address}"),
        }
    }
}
