//! Why an address space was not changed, or memory not pinned.

use crate::memory::paging::MapError;
use crate::memory::regions::RegionError;
use crate::memory::virt::{VirtAddr, VirtError, VirtRange};
use core::fmt;
use phyr::ListError;

/// Why an address space was not changed. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceError {
    /// The range does not exist.
    Address(VirtError),
    /// These addresses are not this address space's to map.
    Outside(VirtRange),
    /// The memory, or the range, is not made of whole pages, or there is none.
    NotPages,
    /// Something is mapped here: unmap it first, or choose another place.
    Taken(VirtRange),
    /// There are not so many free addresses side by side.
    NoAddresses,
    /// Nothing is mapped at this address.
    NotMapped(VirtAddr),
    /// These bytes are pinned: wait until whoever uses the memory is done.
    Pinned(VirtRange),
    /// Only a program's RAM is shared and copied on write: a board's memory, or the kernel's, is not.
    NotShared(VirtRange),
    /// There is no memory for what must be remembered.
    OutOfMemory,
    /// The page tables could not be changed.
    Tables(MapError),
    /// The owner could not say where its memory is.
    List(ListError),
    /// The memory was taken back by whoever has given it out.
    Region(RegionError),
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Outside(range) => write!(f, "{range} is not in this address space"),
            Self::NotPages => f.write_str("only whole pages are mapped and unmapped"),
            Self::Taken(range) => write!(f, "something is mapped at {range}"),
            Self::NoAddresses => f.write_str("no virtual addresses are left"),
            Self::NotMapped(virt) => write!(f, "nothing is mapped at {virt}"),
            Self::Pinned(range) => write!(f, "{range} is pinned"),
            Self::NotShared(range) => {
                write!(f, "{range} is not a program's RAM, and cannot be shared")
            }
            Self::OutOfMemory => f.write_str("no memory to remember a mapping"),
            Self::Tables(error) => error.fmt(f),
            Self::List(error) => error.fmt(f),
            Self::Region(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SpaceError {}

/// Why memory was not pinned. Nothing of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError {
    /// These addresses are not this address space's: a program has named the kernel's, for example.
    Outside(VirtRange),
    /// Nothing is mapped at this address.
    NotMapped(VirtAddr),
    /// What is mapped in this range may not be written.
    ReadOnly(VirtRange),
    /// There is no memory to remember it, or to copy what is shared.
    OutOfMemory,
    /// There is no memory for the list.
    List(ListError),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(range) => write!(f, "{range} is not in this address space"),
            Self::NotMapped(virt) => write!(f, "nothing is mapped at {virt}"),
            Self::ReadOnly(range) => write!(f, "{range} may not be written"),
            Self::OutOfMemory => f.write_str("no memory to remember a pin, or for a copy"),
            Self::List(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PinError {}
