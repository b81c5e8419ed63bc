//! The way from memory to the bus.
//!
//! A device is given addresses and then reads and writes on its own. Three things must hold for
//! as long as it does: the memory stays where it is, it belongs to whoever started the transfer,
//! and nobody reads what is half written. So memory goes to a device in two steps:
//!
//! 1. a [`Buffer`] borrows the memory, in one [`Direction`], and knows its phyrs;
//! 2. [`map`] makes a [`DmaMapping`] of it: the same memory as the device sees it, within what the
//!    device can reach.
//!
//! A driver takes the mapping and not its numbers: `duties` says why it can be believed.
//!
//! This module is the only place where a physical address becomes a bus address. Without an
//! IOMMU the two are the same number; the types still differ, so nobody else can rely on it.

mod buffer;
mod duties;
mod ring;

pub use buffer::{Buffer, BufferError, Direction, FromDevice, ToDevice};
pub use ring::DmaMemory;

use core::fmt;
use core::marker::PhantomData;
use phyr::{DmaAddr, DmaList, Phyr};

/// What a device can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaLimits {
    /// The highest address that the device can put on the bus.
    pub last: DmaAddr,
    /// Each range must start at a multiple of this many bytes, a power of two.
    pub alignment: u64,
}

/// Memory on the bus, for as long as the borrow of it lasts.
///
/// Holding one tells you that the device may reach these ranges, in this direction. So a driver
/// fills memory that the device may write:
///
/// ```
/// # use kernel::dma::{DmaMapping, FromDevice};
/// # use nvme::{Controller, Error, Platform};
/// fn load<P: Platform>(
///     disk: &mut Controller<P>,
///     memory: &DmaMapping<'_, FromDevice>,
/// ) -> Result<(), Error> {
///     disk.read(1, 0, memory)
/// }
/// ```
///
/// Memory that the device may only read does not compile there:
///
/// ```compile_fail,E0277
/// # use kernel::dma::{DmaMapping, ToDevice};
/// # use nvme::{Controller, Error, Platform};
/// fn load<P: Platform>(
///     disk: &mut Controller<P>,
///     memory: &DmaMapping<'_, ToDevice>,
/// ) -> Result<(), Error> {
///     disk.read(1, 0, memory)
/// }
/// ```
///
/// It is for the other way:
///
/// ```
/// # use kernel::dma::{DmaMapping, ToDevice};
/// # use nvme::{Controller, Error, Platform};
/// fn save<P: Platform>(
///     disk: &mut Controller<P>,
///     memory: &DmaMapping<'_, ToDevice>,
/// ) -> Result<(), Error> {
///     disk.write(1, 0, memory)
/// }
/// ```
///
/// And what the device is to write is nothing to write to a disk:
///
/// ```compile_fail,E0277
/// # use kernel::dma::{DmaMapping, FromDevice};
/// # use nvme::{Controller, Error, Platform};
/// fn save<P: Platform>(
///     disk: &mut Controller<P>,
///     memory: &DmaMapping<'_, FromDevice>,
/// ) -> Result<(), Error> {
///     disk.write(1, 0, memory)
/// }
/// ```
#[derive(Debug)]
pub struct DmaMapping<'a, D: Direction> {
    list: DmaList,
    _memory: PhantomData<(&'a mut [u8], D)>,
}

impl<D: Direction> DmaMapping<'_, D> {
    /// The ranges to give to the device.
    pub fn ranges(&self) -> &DmaList {
        &self.list
    }
}

/// Why memory cannot be given to a device. The caller copies through other memory, or gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DmaError {
    /// A piece lies where the device cannot reach, or is not aligned enough for it.
    Unreachable {
        /// Its position in the list.
        index: usize,
    },
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { index } => {
                write!(f, "the device cannot reach piece {index} of the memory")
            }
        }
    }
}

impl core::error::Error for DmaError {}

// ANCHOR: map
/// Puts memory on the bus. Nothing is allocated: the list of phyrs becomes the list of ranges.
pub fn map<'a, D: Direction>(
    buffer: Buffer<'a, D>,
    limits: &DmaLimits,
) -> Result<DmaMapping<'a, D>, DmaError> {
    match buffer.into_list().map_to_bus(|phyr| to_bus(phyr, limits)) {
        Ok(list) => Ok(DmaMapping {
            list,
            _memory: PhantomData,
        }),
        Err((index, _)) => Err(DmaError::Unreachable { index }),
    }
}

/// Where the device sees a phyr: at the same address, if it can reach and use it there.
fn to_bus(phyr: Phyr, limits: &DmaLimits) -> Option<DmaAddr> {
    let within = phyr.last().get() <= limits.last.get() && phyr.addr().is_aligned(limits.alignment);
    within.then(|| DmaAddr::new(phyr.addr().get()))
}
// ANCHOR_END: map

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    const LIMITS: DmaLimits = DmaLimits {
        last: DmaAddr::new(0xffff_ffff),
        alignment: 4,
    };

    fn bus(addr: u64, len: u64) -> Option<u64> {
        to_bus(Phyr::new(PhysAddr::new(addr), len).unwrap(), &LIMITS).map(DmaAddr::get)
    }

    #[test]
    fn the_last_byte_must_be_reachable_and_the_first_aligned() {
        assert_eq!(bus(0x1000, 0x1000), Some(0x1000));
        assert_eq!(bus(0xffff_f000, 0x1000), Some(0xffff_f000));
        assert_eq!(bus(0xffff_f000, 0x1001), None);
        assert_eq!(bus(1 << 32, 1), None);
        assert_eq!(bus(0x1002, 4), None);
    }
}
