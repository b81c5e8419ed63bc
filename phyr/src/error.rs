//! What can be wrong with a range, and what can go wrong with a list.

use core::error::Error;
use core::fmt;

/// The rule that an address and a length break, so that they are no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeError {
    /// The length is zero. A range has at least one byte; no memory is no range.
    Empty,
    /// The last address lies below the first. Swap them, or distrust their source.
    Reversed,
    /// The range runs past the last address of its width. Shorten it.
    Overflow,
    /// The length field cannot hold so many bytes. Describe them by two ranges.
    ///
    /// In 64 bits this is the whole address space and nothing else.
    TooLong,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the range would be empty",
            Self::Reversed => "the last address of the range lies below the first",
            Self::Overflow => "the range runs past the end of the address space",
            Self::TooLong => "the range is longer than its length field can say",
        })
    }
}

impl Error for RangeError {}

/// Why a list did not take an entry. The list is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListError {
    /// There was no memory for another chunk. Free some, or use the list as it is
    /// and begin another one.
    OutOfMemory,
    /// The list would describe more than `u64::MAX` bytes. Begin another one.
    TooLong,
    /// The inline part is full, and the crate was built without its feature `alloc`.
    /// Use the list as it is and begin another one.
    Full,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "no memory for another chunk of the list",
            Self::TooLong => "the list would describe more than u64::MAX bytes",
            Self::Full => "the list is full (built without the feature `alloc`)",
        })
    }
}

impl Error for ListError {}
