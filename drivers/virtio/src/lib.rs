//! virtio: drivers for the devices that hypervisors invent.
//!
//! # The problem
//!
//! A virtio device is a program of the hypervisor, and shares memory with the driver: the driver
//! writes descriptors, the device reads them, moves data by itself, and writes down what it has
//! done. It may be wrong in all of it, at any time. And a request that was given to it is the
//! device's until it says so, whatever becomes of the caller.
//!
//! # The idea
//!
//! A transfer is bus ranges in order, of any length: one descriptor for each, since virtio has no
//! page size. A request brings its memory as a value whose type vouches for it, [`Memory`], and the
//! driver owns that value until the device is done. All that is needed from the machine is one short
//! trait, [`Platform`], so the whole driver also runs on a host against a model of a device, which
//! can be made to misbehave in every way.
//!
//! # The layers
//!
//! 1. [`transport`]: finding the registers of a device, on PCI or in a window of memory; agreeing on features.
//! 2. `ring`, `chain`: the virtqueue, `split` or `packed`, which keeps a trusted copy of everything that
//!    it must not read back from the device.
//! 3. `device`: what all devices have in common, and how one is got back after a failure.
//! 4. devices: [`blk`], [`net`], [`pmem`], [`iommu`], and, over `plain`, [`rng`], [`balloon`], [`share`],
//!    [`console`] and [`gpu`].
//!
//! # Rules
//!
//! 1. The memory of a request belongs to the driver until the device is done with it, whatever
//!    becomes of the caller or the device.
//! 2. What the device writes is checked before it is used. A device that breaks a rule is reset;
//!    memory that it might still use when nobody can stop it is never used again.
//! 3. A feature is accepted only if this crate implements it. What a device offers is no reason.
//! 4. A range that a device names is used only after it was found to lie inside a BAR.
//! 5. Every wait ends: by an answer, by a time limit, or because the device is seen to be gone.
//! 6. Reading and writing allocate nothing, take no lock, and read no register. There is one exception: a
//!    frame that arrives in several pieces of memory comes with a list of them.
//! 7. There is no unsafe block here. What touches hardware is in the platform, and what vouches for
//!    memory is in its types: this crate only declares their duties, as the unsafe traits
//!    [`Platform`], [`SharedMemory`] and [`Memory`].
//!
//! Section numbers are those of the Virtual I/O Device (VIRTIO) specification 1.2.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod atomics;
pub mod balloon;
pub mod blk;
mod chain;
pub mod console;
mod device;
mod error;
pub mod gpu;
pub mod iommu;
mod link;
pub mod lock;
mod memory;
pub mod net;
mod options;
mod packed;
#[cfg(test)]
mod packed_tests;
mod plain;
mod platform;
pub mod pmem;
mod ring;
pub mod rng;
pub mod share;
mod split;
#[cfg(test)]
mod split_tests;
pub mod transport;
mod watch;

pub use error::{ConfigError, DeviceError, Error, Failure, RequestError, Violation, Waiting};
pub use memory::{Access, Memory, Ranges};
pub use platform::{OutOfMemory, Platform, Registers, SharedMemory};
