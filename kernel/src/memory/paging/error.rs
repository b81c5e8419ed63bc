//! Why a change to the page tables was not made.

use core::error::Error;
use core::fmt;

use phyr::{ListError, Phyr};

use crate::memory::virt::{VirtAddr, VirtError};

/// Why the tables were not changed, or could not be asked. They are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Pages are mapped, and an end of the range is not a multiple of 4096.
    Misaligned,
    /// The virtual range does not exist: choose another start.
    Address(VirtError),
    /// The CPU has no physical addresses so high; whoever described the memory is wrong.
    BeyondPhysical(Phyr),
    /// Something is mapped at this address: unmap it first, or choose another range.
    AlreadyMapped(VirtAddr),
    /// Nothing is mapped at this address.
    NotMapped(VirtAddr),
    /// An entry above this address, which someone else made, does not allow these rights to
    /// anything below it. Map in a part of the address space that is not restricted.
    Restricted(VirtAddr),
    /// There is no memory for another table: free some, or ask where no new table is needed.
    OutOfTableMemory,
    /// The list of what is mapped could not be made: use a shorter range.
    List(ListError),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("only whole pages can be mapped"),
            Self::Address(error) => error.fmt(f),
            Self::BeyondPhysical(phyr) => write!(f, "the CPU cannot address {phyr}"),
            Self::AlreadyMapped(virt) => write!(f, "something is mapped at {virt} already"),
            Self::NotMapped(virt) => write!(f, "nothing is mapped at {virt}"),
            Self::Restricted(virt) => {
                write!(f, "an entry above {virt} does not allow these rights")
            }
            Self::OutOfTableMemory => f.write_str("no memory for another page table"),
            Self::List(error) => error.fmt(f),
        }
    }
}

impl Error for MapError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Address(error) => Some(error),
            Self::List(error) => Some(error),
            _ => None,
        }
    }
}
