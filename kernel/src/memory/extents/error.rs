//! What can go wrong between the allocator and those who use it.

use core::error::Error;
use core::fmt;

use phyr::Phyr;

use super::fit::Request;

/// Why no memory was allocated. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// The request is for no bytes at all. A phyr is never empty, so there is no answer.
    ZeroLength,
    /// The length (or an end of the range) is not a multiple of 4096: round it up.
    Unaligned,
    /// The alignment is not a power of two.
    BadAlignment(u64),
    /// No free extent can serve this: ask for less, for less alignment, for several pieces, or
    /// free something.
    Exhausted(Request),
    /// A part of the range is allocated, or is no memory of this allocator.
    NotFree(Phyr),
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroLength => f.write_str("a request for no bytes"),
            Self::Unaligned => f.write_str("memory is allocated in multiples of 4096 bytes"),
            Self::BadAlignment(align) => {
                write!(f, "the alignment {align:#x} is not a power of two")
            }
            Self::Exhausted(Request { len, align, below }) => {
                write!(
                    f,
                    "no free extent has {len:#x} bytes at a multiple of {align:#x}"
                )?;
                below.map_or(Ok(()), |limit| write!(f, " below {limit:?}"))
            }
            Self::NotFree(range) => write!(f, "{range} is not all free"),
        }
    }
}

impl Error for AllocError {}

/// Why memory was not taken back. Nothing has changed; the memory stays with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// An end of the range is not a multiple of 4096, so it cannot have been allocated. Memory
    /// that is new is cut down to whole pages first.
    Unaligned(Phyr),
    /// The window does not reach all of the range, so it is no memory that the kernel manages.
    OutOfView(Phyr),
    /// Some of the range is free already: a double free, or memory that was described twice.
    AlreadyFree {
        /// What was to be freed.
        range: Phyr,
        /// A free extent that overlaps it.
        free: Phyr,
    },
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned(range) => write!(f, "{range} is not made of whole pages"),
            Self::OutOfView(range) => write!(f, "{range} is not memory that the kernel can reach"),
            Self::AlreadyFree { range, free } => {
                write!(f, "{range} is freed, but {free} is free already")
            }
        }
    }
}

impl Error for FreeError {}
