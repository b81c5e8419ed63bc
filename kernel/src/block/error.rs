//! Why a request was not carried out.

use crate::dma::{BufferError, DmaError};
use alloc::boxed::Box;
use core::fmt;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockError {
    /// It goes beyond the last block.
    OutOfRange,
    /// Its memory is not a whole number of blocks, or empty.
    Length,
    /// The device cannot reach the memory as it lies: copy through other memory.
    NeedsBounce,
    /// The device is read-only.
    ReadOnly,
    /// The device cannot do this. Its limits say what it can.
    Unsupported,
    /// What was to be compared differs.
    Mismatch,
    /// The memory cannot be described.
    Buffer(BufferError),
    /// There is no memory for the request, or to copy through.
    OutOfMemory,
    /// The device is not there any more. It never comes back under this handle.
    Removed,
    /// The device did not answer in time. It has been reset, or is out of use.
    TimedOut,
    /// The device failed, in its driver's words.
    Device(Box<str>),
}

// It is handed on with every completion, also of requests that go well.
const _: () = assert!(size_of::<Result<(), BlockError>>() <= 32);

impl BlockError {
    /// A failure in a driver's words.
    pub fn device(error: &dyn fmt::Display) -> Self {
        Self::Device(alloc::format!("{error}").into())
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("beyond the end of the device"),
            Self::Length => f.write_str("not a whole number of blocks"),
            Self::NeedsBounce => f.write_str("the device cannot reach the memory as it lies"),
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Unsupported => f.write_str("the device cannot do that"),
            Self::Mismatch => f.write_str("the data on the device is different"),
            Self::Buffer(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for the request"),
            Self::Removed => f.write_str("the device has been removed"),
            Self::TimedOut => f.write_str("the device did not answer in time"),
            Self::Device(error) => f.write_str(error),
        }
    }
}

impl core::error::Error for BlockError {}

impl From<DmaError> for BlockError {
    fn from(error: DmaError) -> Self {
        match error {
            DmaError::Unreachable { .. }
            | DmaError::Gap { .. }
            | DmaError::TooManyPieces { .. } => Self::NeedsBounce,
            DmaError::Buffer(error) => Self::Buffer(error),
            DmaError::OutOfMemory | DmaError::NoAddresses => Self::OutOfMemory,
        }
    }
}
