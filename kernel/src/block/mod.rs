//! Block devices: a request carries phyrs, and a device moves them.

mod bytes;
pub mod partition;

pub use bytes::{Counters, counters, read_at};

use crate::dma::{Buffer, BufferError, FromDevice, ToDevice};
use alloc::string::String;
use core::fmt;

/// The size and shape of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a block, a power of two.
    pub block_size: u32,
    /// The number of blocks.
    pub blocks: u64,
    /// Whether it can be written.
    pub writable: bool,
}

impl Geometry {
    /// The bytes of the whole device.
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }
}

/// What to transfer.
#[derive(Debug)]
pub enum Data<'a> {
    /// Read blocks into memory.
    Read(Buffer<'a, FromDevice>),
    /// Write blocks from memory.
    Write(Buffer<'a, ToDevice>),
    /// Make everything written so far durable.
    Flush,
}

/// One request. It borrows its memory for as long as the device may use it.
#[derive(Debug)]
pub struct Request<'a> {
    /// The first block. Means nothing for a flush.
    pub block: u64,
    /// What to transfer; the memory is a whole number of blocks long.
    pub data: Data<'a>,
}

/// Something that has blocks.
pub trait BlockDevice: Send + Sync {
    /// A name without spaces, unique in the system.
    fn name(&self) -> &str;

    /// The size and shape. It does not change.
    fn geometry(&self) -> Geometry;

    /// Carries a request out. When it returns, whatever the result, the device is done with the
    /// request's memory.
    fn submit(&self, request: Request<'_>) -> Result<(), BlockError>;

    /// Reads blocks from `block` on until `bytes` is full.
    fn read(&self, block: u64, bytes: &mut [u8]) -> Result<(), BlockError> {
        let buffer = Buffer::from_device(bytes).map_err(BlockError::Buffer)?;
        self.submit(Request {
            block,
            data: Data::Read(buffer),
        })
    }

    /// Writes `bytes` to the blocks from `block` on.
    fn write(&self, block: u64, bytes: &[u8]) -> Result<(), BlockError> {
        let buffer = Buffer::to_device(bytes).map_err(BlockError::Buffer)?;
        self.submit(Request {
            block,
            data: Data::Write(buffer),
        })
    }

    /// Makes everything written so far durable.
    fn flush(&self) -> Result<(), BlockError> {
        self.submit(Request {
            block: 0,
            data: Data::Flush,
        })
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockError {
    /// It goes beyond the last block.
    OutOfRange,
    /// Its memory is not a whole number of blocks.
    Length,
    /// The device cannot reach the memory as it lies: copy through other memory.
    NeedsBounce,
    /// The device is read-only.
    ReadOnly,
    /// The memory cannot be described.
    Buffer(BufferError),
    /// There is no memory to copy through.
    OutOfMemory,
    /// The device failed, in its driver's words.
    Device(String),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("beyond the end of the device"),
            Self::Length => f.write_str("not a whole number of blocks"),
            Self::NeedsBounce => f.write_str("the device cannot reach the memory as it lies"),
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Buffer(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory to copy through"),
            Self::Device(error) => f.write_str(error),
        }
    }
}

impl core::error::Error for BlockError {}
