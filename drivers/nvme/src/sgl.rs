//! Scatter Gather Lists (NVMe base specification 2.0, section 4.1.2).
//!
//! A command names its memory by descriptors of 16 bytes, each with an address and a length:
//!
//! - A *data block* is memory: bus address and length, which is to say, a bus range.
//! - A *segment* is a list of descriptors elsewhere. It is the last descriptor of its list, and
//!   that list goes on there.
//! - A *last segment* is a list of descriptors elsewhere in which there are only data blocks.
//!
//! The command itself has room for one descriptor. Memory in one piece needs no other:
//!
//! ```text
//!    1 piece            ≤ 256 pieces                    more
//!  ┌────────────┐     ┌──────────────┐              ┌─────────┐
//!  │ data block │     │ last segment │─►│ block │   │ segment │─►│ block │
//!  └────────────┘     └──────────────┘  │ block │   └─────────┘  │  ...  │
//!                                       │  ...  │                │ last  │─►│ block │
//!                                                                           │  ...  │
//! ```
//!
//! Each segment lies on a page of its own, so one has up to 256 descriptors. Pieces may start and
//! end anywhere, or at multiples of four bytes: that is for the controller to say.
//!
//! [`build`] is a function from ranges to two words and a number of stores into list memory. It
//! refuses what cannot be described; it never describes anything else.

use crate::command::DataPointer;
use crate::page::{PAGE, Piece};
use crate::prp::ListMemory;
use phyr::DmaCursor;

/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 16;

/// Descriptors in a segment.
const ENTRIES: usize = (PAGE / DESCRIPTOR) as usize;

/// Most bytes in a data block. Its length has 32 bits; that it ends with a page keeps the next one
/// aligned.
pub(crate) const MAX_BLOCK: u64 = (1 << 32) - PAGE;

/// What the pieces of a list must be multiples of, their addresses and their lengths (SGLS bits 1:0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granularity {
    Byte,
    Dword,
}

impl Granularity {
    /// In bytes.
    pub(crate) const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Dword => 4,
        }
    }
}

/// Why no list describes the memory. The planner lets none of these happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SglError {
    /// A piece starts or ends where the controller does not want it.
    Misaligned,
    /// The list memory is too short.
    ListFull,
    /// There is less memory than the command is to transfer.
    TooShort,
}

/// What a descriptor is (SGL Identifier): the type, above a subtype of 0, which says that the
/// address is one of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    DataBlock = 0x00,
    Segment = 0x20,
    LastSegment = 0x30,
}

/// Pages of list memory for a command of `pieces` pieces of memory.
pub(crate) const fn list_pages(pieces: usize) -> usize {
    // Every segment but the last one spends a descriptor on the next.
    pieces.saturating_sub(1).div_ceil(ENTRIES - 1)
}

/// Most pieces that `pages` pages of list memory can describe.
pub(crate) const fn most_pieces(pages: usize) -> usize {
    pages * (ENTRIES - 1) + 1
}

/// Data blocks that it takes for the next `bytes` bytes of `cursor`; fewer bytes, if there are no
/// more.
pub(crate) fn pieces(mut cursor: DmaCursor<'_>, bytes: u64) -> usize {
    let mut left = bytes;
    let mut pieces = 0;
    while let Some(piece) = Piece::next(&mut cursor, left.min(MAX_BLOCK)) {
        left -= piece.len();
        pieces += 1;
    }
    pieces
}

/// Describes the next `bytes` bytes of `cursor`, and moves the cursor behind them.
///
/// `store` puts a word at a byte offset of the list memory.
// ANCHOR: build
pub(crate) fn build(
    cursor: &mut DmaCursor<'_>,
    bytes: u64,
    granularity: Granularity,
    list: ListMemory,
    mut store: impl FnMut(usize, u64),
) -> Result<DataPointer, SglError> {
    let mut blocks = pieces(cursor.clone(), bytes);
    if list_pages(blocks) > list.pages {
        return Err(SglError::ListFull);
    }
    let mut left = bytes;
    let mut next_block = || {
        let piece = Piece::next(cursor, left.min(MAX_BLOCK)).ok_or(SglError::TooShort)?;
        left -= piece.len();
        match (piece.start() | piece.len()) % granularity.bytes() {
            0 => Ok(descriptor(Kind::DataBlock, piece.start(), piece.len())),
            _ => Err(SglError::Misaligned),
        }
    };
    let mut described = None;
    if blocks > 1 {
        described = Some(segment(blocks, list.bus));
        let mut slot = 0;
        while blocks > 0 {
            // A full segment of which more follows ends with the way there.
            let is_link = slot % ENTRIES == ENTRIES - 1 && blocks > 1;
            let next = match is_link {
                true => segment(blocks, list.bus + (slot as u64 + 1) * DESCRIPTOR),
                false => next_block()?,
            };
            blocks -= usize::from(!is_link);
            store(slot * DESCRIPTOR as usize, next.prp1);
            store(slot * DESCRIPTOR as usize + 8, next.prp2);
            slot += 1;
        }
    }
    let described = described.map_or_else(&mut next_block, Ok)?;
    match left {
        0 => Ok(described),
        _ => Err(SglError::TooShort),
    }
}
// ANCHOR_END: build

/// The descriptor of the segment at `bus` with which `blocks` data blocks begin.
fn segment(blocks: usize, bus: u64) -> DataPointer {
    let kind = match blocks <= ENTRIES {
        true => Kind::LastSegment,
        false => Kind::Segment,
    };
    descriptor(kind, bus, blocks.min(ENTRIES) as u64 * DESCRIPTOR)
}

/// A descriptor: address, length in 32 bits, 24 reserved bits, identifier.
fn descriptor(kind: Kind, address: u64, length: u64) -> DataPointer {
    DataPointer {
        prp1: address,
        prp2: length | (kind as u64) << 56,
    }
}

#[cfg(test)]
mod tests;
