//! Memory that a transfer may use.
//!
//! # The problem
//!
//! A [`DmaList`] is a description: anybody can make one, of any numbers. The device does not
//! ask whose memory that is. So a list alone must not be enough to send a device there.
//!
//! # The idea
//!
//! Reading and writing take a value whose type vouches for the ranges: a [`Target`] for what
//! the device writes, a [`Source`] for what it reads. To vouch is to write `unsafe impl`, with
//! the argument for it. A kernel does so once, for its mappings on the bus. From then on a
//! buffer in the wrong direction, or none at all, does not compile.
//!
//! - The implementer's duty is in the `Safety` section of each trait. It begins and ends with
//!   the borrow of the value.
//! - The driver's duty: it gives a device these ranges and no others, and gives back the
//!   borrow only when the device is done with them. For that it relies on its
//!   [platform](crate::Platform).
//! - These declarations, and those of the platform, are all that is unsafe in this crate.

use phyr::DmaList;

/// Memory that the device may read: what is written to a disk comes from there.
///
/// # Safety
///
/// For as long as the value is borrowed, and for all ranges of its list:
///
/// - they are memory that the device may read, and nothing that changes by being read;
/// - the memory stays where it is, and belongs to whoever has it now.
///
/// # Examples
///
/// A list of ranges is no source:
///
/// ```compile_fail,E0277
/// # use nvme::{Controller, Error, Platform};
/// fn save<P: Platform>(disk: &mut Controller<P>, list: &phyr::DmaList) -> Result<(), Error> {
///     disk.write(1, 0, list)
/// }
/// ```
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Source {
    /// The ranges in order, as the device sees them.
    fn ranges(&self) -> &DmaList;
}

/// Memory that the device may write: what is read from a disk arrives there.
///
/// # Safety
///
/// For as long as the value is borrowed, and for all ranges of its list:
///
/// - they are memory that the device may write, with whatever bytes;
/// - the memory stays where it is, and belongs to whoever has it now;
/// - nobody has a reference to it, or reads or writes it through a pointer.
///
/// # Examples
///
/// A list of ranges is no target:
///
/// ```compile_fail,E0277
/// # use nvme::{Controller, Error, Platform};
/// fn load<P: Platform>(disk: &mut Controller<P>, list: &phyr::DmaList) -> Result<(), Error> {
///     disk.read(1, 0, list)
/// }
/// ```
///
/// Neither is a source:
///
/// ```compile_fail,E0277
/// # use nvme::{Controller, Error, Platform, Source};
/// fn load<P: Platform>(disk: &mut Controller<P>, memory: &impl Source) -> Result<(), Error> {
///     disk.read(1, 0, memory)
/// }
/// ```
///
/// A target is:
///
/// ```
/// # use nvme::{Controller, Error, Platform, Target};
/// fn load<P: Platform>(disk: &mut Controller<P>, memory: &impl Target) -> Result<(), Error> {
///     disk.read(1, 0, memory)
/// }
/// ```
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Target {
    /// The ranges in order, as the device sees them.
    fn ranges(&self) -> &DmaList;
}
