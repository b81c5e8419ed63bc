//! Memory on the bus: the same memory, as a device sees it.

use super::buffer::{Buffer, Direction, FromDevice, ToDevice};
use super::domain::{Access, Domain};
use super::limits::DmaLimits;
use super::memory::{BufferError, Memory, Phyrs};
use super::ranges::DmaRanges;
use core::fmt;
use core::marker::PhantomData;

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
///
/// It knows itself what is to be undone then, from its own list, and does it too when it is dropped. Most of
/// the time that is nothing.
#[derive(Debug)]
pub struct DmaMapping<D: Direction> {
    // Off the bus before the memory is freed: fields are dropped in this order.
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

    /// The mapping of a buffer that is at these ranges.
    #[inline]
    pub(super) fn of(ranges: DmaRanges, buffer: Buffer<D>) -> Self {
        Self {
            ranges,
            memory: buffer.into_memory(),
            _direction: PhantomData,
        }
    }

    /// Takes the memory off the bus.
    #[inline]
    pub fn unmap(self) -> Buffer<D> {
        Buffer::of(self.into_memory())
    }

    #[inline]
    fn into_memory(self) -> Memory {
        let mut memory = self.memory;
        self.ranges.end(&mut memory, D::ACCESS);
        memory
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
    /// A piece meets the one before it where the device cannot go from one to the other.
    Gap {
        /// Its position in the list.
        index: usize,
    },
    /// It is in more pieces than the device takes.
    TooManyPieces {
        /// How many there are.
        pieces: usize,
    },
    /// The device has no addresses left for it.
    NoAddresses,
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
            Self::Gap { index } => {
                write!(
                    f,
                    "the device cannot go on with piece {index} of the memory"
                )
            }
            Self::TooManyPieces { pieces } => {
                write!(f, "the device does not take {pieces} pieces of memory")
            }
            Self::NoAddresses => f.write_str("the device has no bus addresses left"),
            Self::Buffer(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for a list of ranges"),
        }
    }
}

impl core::error::Error for DmaError {}

// ANCHOR: map
/// Puts memory on the bus of a device. What is in one piece needs no allocation where the device sees
/// it at its physical address, and a list becomes the other list.
///
/// # Errors
/// Why not, and the memory.
#[inline(always)]
pub fn map<D: Direction>(
    buffer: Buffer<D>,
    domain: &Domain,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, (DmaError, Buffer<D>)> {
    let mut buffer = buffer;
    match map_taken(&mut buffer, domain, limits) {
        Ok(mapping) => Ok(mapping),
        Err(error) => Err((error, buffer)),
    }
}

/// As [`map`], and takes the memory out of a buffer that stays where it is: that of a request.
///
/// # Errors
/// Why not. The memory is in the buffer.
#[inline(always)]
pub fn map_taken<D: Direction>(
    buffer: &mut Buffer<D>,
    domain: &Domain,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, DmaError> {
    let ranges = ranges(buffer.memory(), domain, limits, D::ACCESS)?;
    Ok(DmaMapping::of(ranges, buffer.take()))
}

/// Where the device sees memory.
#[inline(always)]
fn ranges(
    memory: &Memory,
    domain: &Domain,
    limits: &DmaLimits,
    access: Access,
) -> Result<DmaRanges, DmaError> {
    match memory.phyrs().map_err(DmaError::Buffer)? {
        Phyrs::One(phyr) => {
            // SAFETY: the mapping that is made of it owns the memory, in this direction, and drops
            // this first.
            unsafe { DmaRanges::of(phyr, domain, limits, access) }
        }
        Phyrs::List(pieces) => {
            // SAFETY: as above.
            unsafe { pieces.map(domain, limits, access) }.map(DmaRanges::List)
        }
    }
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
            Self::ToDevice(mapping) => mapping.into_memory(),
            Self::FromDevice(mapping) => mapping.into_memory(),
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
