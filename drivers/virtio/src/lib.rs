//! virtio: drivers for the devices that hypervisors invent.
//!
//! # What is here, and what will be
//!
//! A virtio driver has three layers. Only the first one exists so far, and of it only what
//! can be decided without touching a device.
//!
//! 1. **transport**: finding the device's registers and agreeing on features. Here are the
//!    parts that are pure logic: the [device status](transport::Step) and its order, the
//!    [feature negotiation](transport::Negotiation), and the
//!    [PCI capabilities](transport::Capability) that say where the registers are.
//! 2. **queue**: split and packed virtqueues. A request will be a
//!    [`DmaList`](phyr::DmaList), and a descriptor one bus range of it: virtio has no page
//!    size, so a phyr needs no cutting. The queue will keep trusted copies of everything
//!    that it must not read back from the device.
//! 3. **devices**: block, network, console, entropy, persistent memory; one file each.
//!
//! As in the `nvme` crate, what a driver needs from its platform will be one short trait,
//! and every driver will run on the host against a model of its device. There is no driver
//! yet, and nothing here pretends to be one.
//!
//! # Rules
//!
//! - A feature is accepted only if this crate implements it. What a device offers is no
//!   reason.
//! - A range that a device names is used only after it was found to lie inside a BAR.
//! - There is no unsafe code here.
//!
//! Section numbers are those of the Virtual I/O Device (VIRTIO) specification 1.2.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod transport;
