//! Memory on the bus: the same memory, as a device sees it.

use super::buffer::{Buffer, Direction, FromDevice, ToDevice};
use super::memory::{BufferError, Memory, Phyrs};
use super::ranges::DmaRanges;
use core::fmt;
use core::marker::PhantomData;
use phyr::{DmaAddr, DmaRange, Phyr};

/// What a device can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaLimits {
    /// The highest address that the device can put on the bus.
    pub last: DmaAddr,
    /// Each range must start at a multiple of this many bytes, a power of two.
    pub alignment: u64,
}

/// Memory on the bus.
///
/// Holding one tells you:
///
/// - the memory belongs to you, and a device may be told of its [`ranges`](Self::ranges), in this
///   direction;
/// - nobody can read or write the bytes. Not even you: there is no way to them.
///
/// It is given to the device by being given to its driver, and the driver gives it back when the
/// device is done. So whoever has it by value may [take it off the bus](Self::unmap).
#[derive(Debug)]
pub struct DmaMapping<D: Direction> {
    ranges: DmaRanges,
    memory: Memory,
    _direction: PhantomData<D>,
}

impl<D: Direction> DmaMapping<D> {
    /// The ranges to give to the device.
    #[inline]
    pub fn ranges(&self) -> &DmaRanges {
        &self.ranges
    }

    /// Takes the memory off the bus.
    #[inline]
    pub fn unmap(self) -> Buffer<D> {
        Buffer::of(self.memory)
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
    /// It cannot be said where the memory is.
    Buffer(BufferError),
    /// It is in many pieces, and there is no memory for the list of them.
    OutOfMemory,
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { index } => {
                write!(f, "the device cannot reach piece {index} of the memory")
            }
            Self::Buffer(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for a list of ranges"),
        }
    }
}

impl core::error::Error for DmaError {}

// ANCHOR: map
/// Puts memory on the bus. What is in one piece needs no allocation.
///
/// # Errors
/// Why not, and the memory.
#[inline(always)]
pub fn map<D: Direction>(
    buffer: Buffer<D>,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, (DmaError, Buffer<D>)> {
    match ranges(buffer.memory(), limits) {
        Ok(ranges) => Ok(DmaMapping {
            ranges,
            memory: buffer.into_memory(),
            _direction: PhantomData,
        }),
        Err(error) => Err((error, buffer)),
    }
}

/// Where the device sees memory.
#[inline(always)]
fn ranges(memory: &Memory, limits: &DmaLimits) -> Result<DmaRanges, DmaError> {
    match memory.phyrs().map_err(DmaError::Buffer)? {
        Phyrs::One(phyr) => {
            let range = to_bus(phyr, limits).and_then(|at| DmaRange::new(at, phyr.len()).ok());
            let range = range.ok_or(DmaError::Unreachable { index: 0 })?;
            Ok(DmaRanges::One(range))
        }
        Phyrs::List(list) => {
            let list = list.map_to_bus(|phyr| to_bus(phyr, limits));
            let list = list.map_err(|(index, _)| DmaError::Unreachable { index })?;
            DmaRanges::list(list).ok_or(DmaError::OutOfMemory)
        }
    }
}

/// Where the device sees a phyr: at the same address, if it can reach and use it there.
#[inline(always)]
fn to_bus(phyr: Phyr, limits: &DmaLimits) -> Option<DmaAddr> {
    let within = phyr.last().get() <= limits.last.get() && phyr.addr().is_aligned(limits.alignment);
    within.then(|| DmaAddr::new(phyr.addr().get()))
}
// ANCHOR_END: map

/// Memory on the bus in either direction: what a driver's queue keeps for a request.
///
/// One type for all requests, so that one queue carries them all; small, so that it is cheap to
/// hand on; without a lifetime, so that the queue may keep it for as long as the device takes.
#[derive(Debug)]
pub enum Transfer {
    /// A device reads it.
    ToDevice(DmaMapping<ToDevice>),
    /// A device writes it.
    FromDevice(DmaMapping<FromDevice>),
}

const _: () = assert!(size_of::<Option<Transfer>>() <= 64);

impl Transfer {
    /// The ranges to give to the device.
    #[inline]
    pub fn ranges(&self) -> &DmaRanges {
        match self {
            Self::ToDevice(mapping) => mapping.ranges(),
            Self::FromDevice(mapping) => mapping.ranges(),
        }
    }

    /// Takes the memory off the bus, and its direction off it.
    #[inline]
    pub fn into_memory(self) -> Memory {
        match self {
            Self::ToDevice(mapping) => mapping.memory,
            Self::FromDevice(mapping) => mapping.memory,
        }
    }
}

impl From<DmaMapping<ToDevice>> for Transfer {
    #[inline]
    fn from(mapping: DmaMapping<ToDevice>) -> Self {
        Self::ToDevice(mapping)
    }
}

impl From<DmaMapping<FromDevice>> for Transfer {
    #[inline]
    fn from(mapping: DmaMapping<FromDevice>) -> Self {
        Self::FromDevice(mapping)
    }
}

impl TryFrom<Transfer> for DmaMapping<ToDevice> {
    type Error = Transfer;

    fn try_from(transfer: Transfer) -> Result<Self, Transfer> {
        match transfer {
            Transfer::ToDevice(mapping) => Ok(mapping),
            other => Err(other),
        }
    }
}

impl TryFrom<Transfer> for DmaMapping<FromDevice> {
    type Error = Transfer;

    fn try_from(transfer: Transfer) -> Result<Self, Transfer> {
        match transfer {
            Transfer::FromDevice(mapping) => Ok(mapping),
            other => Err(other),
        }
    }
}

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
