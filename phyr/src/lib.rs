//! The physical range as the only currency for memory.
//!
//! A *phyr* (**phy**sical **r**ange, said "fire") is an address and a length. Holding a
//! [`Phyr`] tells you:
//!
//! - It is not empty. There is no zero length to test for.
//! - It does not wrap. Every byte in it has an address, up to and including
//!   [`last()`](Phyr::last), which may be the top of the address space.
//! - It counts bytes, not pages, and may be longer than 4 GiB.
//! - Its numbers are physical addresses, as the CPU sees them. What a device sees is a
//!   [`DmaRange`], and the two do not convert into each other.
//!
//! And what it does not tell you: whether the memory is yours, whether it is RAM, and
//! whether it will still be there tomorrow. A phyr describes; it is `Copy` and gives no
//! rights. Who owns memory says so with a type of their own, which has phyrs inside.
//!
//! # Why ranges and not pages
//!
//! Most systems describe memory for I/O page by page: an array of pointers to page
//! structures, each of which stands for 4 KiB. That has three costs.
//!
//! - **Size.** A buffer of 1 GiB is 262 144 pointers, although the memory manager may
//!   well have had it in one piece. It is taken apart to be handed on.
//! - **Work.** A device wants long pieces, so each driver looks at each pair of
//!   neighbours to put them together again.
//! - **Reach.** Memory without page structures cannot be described: the memory of a
//!   graphics card, persistent memory, the memory of a guest. The CPU and a device
//!   could both reach it. There is only no word for it.
//!
//! A range has none of them. A buffer is as many entries as it has gaps, plus one:
//!
//! ```
//! use phyr::{PhysAddr, Phyr, PhyrList};
//!
//! const GIB: u64 = 1 << 30;
//!
//! // A gigabyte of RAM in one piece, and a window of a PCI device above 4 GiB.
//! let ram = Phyr::new(PhysAddr::new(4 * GIB), GIB)?;
//! let window = Phyr::new(PhysAddr::new(0x38_0000_0000), 8 * GIB)?;
//!
//! let mut buffer = PhyrList::new();
//! buffer.push(ram)?;
//! buffer.push(window)?;
//! assert_eq!((buffer.len(), buffer.bytes()), (2, 9 * GIB));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The idea, the name and the sizes are from Matthew Wilcox's "Phyr Starter", which he
//! sent to the Linux lists in January 2022.
//!
//! # One buffer, several ranges
//!
//! A [`PhyrList`] is an ordered list of phyrs, and *one* logical buffer. Neighbours that
//! touch are joined when they are added, so nobody has to do it later:
//!
//! ```
//! # use phyr::{PhysAddr, Phyr, PhyrList};
//! let mut buffer = PhyrList::new();
//! for page in [0x8000, 0x9000, 0xa000, 0x3000] {
//!     buffer.push(Phyr::new(PhysAddr::new(page), 0x1000)?)?;
//! }
//! assert_eq!(format!("{buffer:?}"), "[[0x8000..=0xafff], [0x3000..=0x3fff]]");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A list grows in chunks of 4 KiB and never asks for more memory at once. The first
//! eight entries need none.
//!
//! # To the device
//!
//! Only the DMA layer knows where a device finds some memory. It turns a list of phyrs
//! into a list of bus ranges, and a driver cuts those to the device's limits with a
//! cursor. The cursor also remembers how far a transfer has come:
//!
//! ```
//! # use phyr::{DmaAddr, PhysAddr, Phyr, PhyrList};
//! # let mut buffer = PhyrList::new();
//! # buffer.push(Phyr::new(PhysAddr::new(0x8000), 0x3000)?)?;
//! # buffer.push(Phyr::new(PhysAddr::new(0x3000), 0x1000)?)?;
//! // In the DMA layer. This bus sees all memory 2 GiB higher than the CPU does.
//! let buffer = buffer
//!     .map_to_bus(|phyr| phyr.addr().get().checked_add(0x8000_0000).map(DmaAddr::new))
//!     .expect("all of it is within the device's reach");
//!
//! // In the driver of a device that takes no more than 8 KiB in one segment.
//! let mut cursor = buffer.cursor();
//! let mut segments = Vec::new();
//! while let Some(segment) = cursor.next(0x2000) {
//!     segments.push(segment.to_string());
//! }
//! assert_eq!(segments, [
//!     "[0x80008000..=0x80009fff]",
//!     "[0x8000a000..=0x8000afff]",
//!     "[0x80003000..=0x80003fff]",
//! ]);
//! assert_eq!(cursor.remaining(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Widths
//!
//! A range takes 16 bytes. On smaller machines it can take less: [`PhyrPae`] 12 bytes
//! and [`Phyr32`] 8, by the same code. In none of the three it is larger than the
//! `bio_vec` that Linux uses there; this is checked when the crate is compiled.
//!
//! # Features
//!
//! - `alloc` (default): lists longer than [`PhyrList::INLINE`] entries. Without it, to
//!   add one more is an error.
//!
//! The crate is `no_std`, depends on nothing, and has no unsafe code.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod addr;
mod blocks;
mod chain;
#[cfg(feature = "alloc")]
mod directory;
mod error;
mod layout;
mod limits;
mod list;
mod lists;
mod range;
mod span;
#[cfg(test)]
mod tests;
mod width;

pub use addr::{DmaAddr, PhysAddr};
pub use blocks::{Blocks, best_block_size};
pub use error::{ListError, RangeError};
pub use limits::{Gaps, Limits, Uncuttable};
pub use list::Place;
pub use lists::{Cursor, DmaCursor, DmaIter, DmaList, PhyrIter, PhyrList};
pub use range::{DmaRange, DmaRange32, DmaRangePae, Phyr, Phyr32, PhyrPae};
pub use width::{Bits32, Bits64, Pae, Width};

// The example on the front page must run too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
