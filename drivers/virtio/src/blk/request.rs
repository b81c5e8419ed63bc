//! Requests: what is to be done, with which memory, and what comes back.

use super::serial::Serial;
use crate::error::Error;
use crate::memory::Access;
use virtio_spec::blk::T;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Reads blocks to memory.
    Read,
    /// Writes blocks from memory.
    Write,
    /// Makes what was written durable.
    Flush,
    /// Says that the content of blocks does not matter any more.
    Discard,
    /// Makes blocks read as zeros.
    WriteZeroes,
    /// Asks what the disk is called.
    Identify,
}

impl Command {
    /// The type of request (section 5.2.6).
    #[inline]
    pub(crate) const fn kind(self) -> T {
        match self {
            Self::Read => T::In,
            Self::Write => T::Out,
            Self::Flush => T::Flush,
            Self::Discard => T::Discard,
            Self::WriteZeroes => T::WriteZeroes,
            Self::Identify => T::GetId,
        }
    }

    /// What the device does with the request's memory; `None` if it has none.
    #[inline]
    pub(crate) const fn access(self) -> Option<Access> {
        match self {
            Self::Read | Self::Identify => Some(Access::FromDevice),
            Self::Write => Some(Access::ToDevice),
            Self::Flush | Self::Discard | Self::WriteZeroes => None,
        }
    }
}

/// What a request is to do. It comes from [`Properties`](super::Properties), which has checked its
/// blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(crate) command: Command,
    pub(crate) sector: u64,
    /// 0 for a flush, which has none; 1 for a name, which is done at once.
    pub(crate) sectors: u64,
    /// It is over when it is durable: a flush follows the last command.
    pub(crate) durable: bool,
    /// Zeroed blocks may lose their space.
    pub(crate) unmap: bool,
}

impl Operation {
    #[inline]
    pub(crate) fn new(command: Command, sector: u64, sectors: u64) -> Self {
        Self {
            command,
            sector,
            sectors,
            durable: false,
            unmap: false,
        }
    }

    pub(crate) fn flush() -> Self {
        Self::new(Command::Flush, 0, 0)
    }

    /// Asks what the disk is called: [`Serial::BYTES`] bytes, in one piece, for [`Serial::new`]. A device need not know.
    pub fn identify() -> Self {
        Self::new(Command::Identify, 0, 1)
    }

    /// As it is, and it is answered only when what it wrote is durable. virtio knows no such
    /// writes: a flush is sent behind it, if the device has a cache that is on.
    pub fn with_durability(mut self) -> Self {
        self.durable = true;
        self
    }

    /// A Write Zeroes that may give the space up. Others are as they were.
    pub fn with_unmap(mut self) -> Self {
        self.unmap = self.command == Command::WriteZeroes;
        self
    }

    /// What it does.
    pub fn command(&self) -> Command {
        self.command
    }

    /// Bytes of memory that it takes.
    #[inline]
    pub fn bytes(&self) -> u64 {
        match self.command {
            Command::Identify => Serial::BYTES as u64,
            command if command.access().is_some() => {
                self.sectors.saturating_mul(super::config::SECTOR)
            }
            _ => 0,
        }
    }
}

/// A request for a queue.
#[derive(Debug)]
pub struct Request<B> {
    /// What to do.
    pub operation: Operation,
    /// The data; `None` where there is none.
    pub data: Option<B>,
}

impl<B> Request<B> {
    /// A request without memory.
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            data: None,
        }
    }

    /// A request with data.
    pub fn with_data(operation: Operation, data: B) -> Self {
        Self {
            operation,
            data: Some(data),
        }
    }
}

/// A request that is over: its memory is the caller's again.
#[derive(Debug)]
pub struct Done<B> {
    /// The data. It is lost, `None`, only if [`Error::Lost`] says so.
    pub data: Option<B>,
    /// Whether all of it was done.
    pub result: Result<(), Error>,
}
