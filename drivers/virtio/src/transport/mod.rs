//! Transport: finding the registers of a device, and setting it up.
//!
//! The order of a set-up is the specification's (section 3.1.1). Reset the device and wait
//! until its status is 0. Acknowledge it, and say that there is a driver. Choose features,
//! write them, set FEATURES_OK, and read the status again: only if the bit is still there
//! has the device accepted them. Set up queues. Say that the driver is ready.
//!
//! The types follow that order. [`Negotiation`] gives [`Chosen`] features for what a device
//! offers; only the status that was read back turns them into [`Accepted`] ones.
//!
//! What can be decided without touching a device is in `capability`, `features` and `status`;
//! `common` has what is done with the registers, and `isr` what a device asks for by a line that it shares with others. Where they are differs: on PCI, capabilities say it, and `pci` has
//! the accesses; a device without a bus has them in a window of its own, see [`mmio`].

mod access;
mod blocks;
mod capability;
mod common;
mod device;
mod features;
mod isr;
pub mod mmio;
mod pci;
mod status;

pub use access::uses_bus_addresses;
pub use blocks::{Blocks, shared_memory};
pub use capability::{Capability, CapabilityError, Kind, Notify};
pub(crate) use common::{Common, Rings};
pub use device::DeviceKind;
pub use features::{Accepted, Chosen, FeatureError, Negotiation};
pub use isr::{Asked, ask};
pub use status::{StatusError, Step};

use crate::platform::{Platform, Registers};

/// Where a device has the registers that all devices have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// In the blocks that its PCI capabilities name (section 4.1).
    #[default]
    Pci,
    /// In a window of memory (section 4.2).
    Mmio,
}

/// Notifies a queue, at the place that it was told when it was introduced.
#[inline]
pub(crate) fn notify<P: Platform>(platform: &P, at: usize, queue: u16) {
    match platform.transport() {
        Transport::Pci => platform.notify().write16(at, queue),
        Transport::Mmio => platform.notify().write32(at, queue.into()),
    }
}
