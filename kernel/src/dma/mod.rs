//! The way from memory to the bus.
//!
//! A device is given addresses and then reads and writes on its own. Three things must hold for
//! as long as it does: the memory stays where it is, it belongs to whoever started the transfer,
//! and nobody reads what is half written. So memory goes to a device by value, in three steps, and
//! comes back the same way:
//!
//! ```text
//! Frames, Vec<u8>, … ─► Memory ─► Buffer<direction> ─► DmaMapping<direction> ─► the driver's queue
//!                       owned     to be read, or       on the bus: nobody can
//!                                 to be written        see the bytes
//! ```
//!
//! 1. A [`Memory`] owns memory of any kind. A call that waits may [`lend()`] instead.
//! 2. A [`Buffer`] says in which [`Direction`] the bytes will go.
//! 3. [`map`] makes a [`DmaMapping`] of it: the same memory as the device sees it, within what the
//!    device can take ([`DmaLimits`]). Where it cannot, [`map_or_bounce`] copies.
//!
//! A driver takes the mapping and not its numbers: `duties` says why it can be believed. It keeps
//! it, as a [`Transfer`], until the device is done, and only then gives it back. A request whose
//! future was dropped goes the same way, with nobody there to take the memory: it is freed then.
//!
//! This module is the only place where a physical address becomes a bus address. What the number is
//! then, the device's [`Domain`] says. Without an IOMMU the two are the same number; the types still
//! differ, so nobody else can rely on it.
//!
//! Direction is in the type. Memory that a device is to write cannot be given to one to read:
//!
//! ```
//! # use kernel::dma::{Buffer, DmaLimits, DmaMapping, Domain, FromDevice, ToDevice, map};
//! fn load(buffer: Buffer<FromDevice>, limits: &DmaLimits) -> Option<DmaMapping<FromDevice>> {
//!     map(buffer, &Domain::DIRECT, limits).ok()
//! }
//! ```
//!
//! ```compile_fail,E0308
//! # use kernel::dma::{Buffer, DmaLimits, DmaMapping, Domain, FromDevice, ToDevice, map};
//! fn save(buffer: Buffer<FromDevice>, limits: &DmaLimits) -> Option<DmaMapping<ToDevice>> {
//!     map(buffer, &Domain::DIRECT, limits).ok()
//! }
//! ```
//!
//! And what is on the bus has no bytes to look at:
//!
//! ```compile_fail,E0599
//! # use kernel::dma::{DmaMapping, FromDevice};
//! fn d19_what_is_on_the_bus_has_no_bytes(mapping: &DmaMapping<FromDevice>) -> u8 {
//!     mapping.bytes()[0]
//! }
//! ```

mod bounce;
mod buffer;
mod common;
mod domain;
mod duties;
mod lend;
mod limits;
mod mapping;
mod memory;
mod mixed;
mod own_memory;
mod owner;
mod ranges;
mod ring;

pub use bounce::{map_or_bounce, map_without_io};
pub use buffer::{Buffer, Direction, FromDevice, ToDevice};
pub use common::Common;
pub use domain::{Access, Direct, DmaDomain, Domain, Domains};
pub use lend::{lend, lend_mut};
pub use limits::DmaLimits;
pub use mapping::{DmaError, DmaMapping, Transfer, map, map_taken};
pub use memory::{BufferError, Memory, Phyrs};
pub use mixed::Mixed;
pub use own_memory::with_own_memory;
pub use owner::Owner;
pub use ranges::{DmaRanges, Pieces};
pub use ring::DmaMemory;

#[cfg(test)]
mod tests;
