//! Transport: finding the registers of a device on PCI, and setting it up.
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
//! `common` has the accesses.

mod access;
mod blocks;
mod capability;
mod common;
mod device;
mod features;
mod status;

pub use access::uses_bus_addresses;
pub use blocks::{Blocks, shared_memory};
pub use capability::{Capability, CapabilityError, Kind, Notify};
pub(crate) use common::{Common, Rings};
pub use device::DeviceKind;
pub use features::{Accepted, Chosen, FeatureError, Negotiation};
pub use status::{StatusError, Step};
