//! The physical range as the only currency for memory.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod addr;
mod chain;
#[cfg(feature = "alloc")]
mod directory;
mod error;
mod layout;
mod list;
mod lists;
mod range;
mod span;
mod width;

pub use addr::{DmaAddr, PhysAddr};
pub use error::{ListError, RangeError};
pub use lists::{Cursor, DmaCursor, DmaIter, DmaList, PhyrIter, PhyrList};
pub use range::{DmaRange, DmaRange32, DmaRangePae, Phyr, Phyr32, PhyrPae};
pub use width::{Bits32, Bits64, Pae, Width};
