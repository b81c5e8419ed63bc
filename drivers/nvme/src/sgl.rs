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
//! Each segment lies on a page of its own, so one has up to 256 descriptors. The one before the last
//! may have fewer: [`blocks_of_segment`] says why. Pieces may start and end anywhere, or at multiples
//! of four bytes: that is for the controller to say.
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

impl Kind {
    /// What a descriptor has behind its address: length in 32 bits, 24 reserved bits, identifier.
    const fn with_length(self, length: u64) -> u64 {
        length | (self as u64) << 56
    }
}

/// Pages of list memory for a command of `pieces` pieces of memory: one for each segment.
pub(crate) const fn list_pages(pieces: usize) -> usize {
    match pieces {
        0 | 1 => 0,
        2..=ENTRIES => 1,
        _ => pieces.div_ceil(ENTRIES - 1),
    }
}

/// Most pieces that `pages` pages of list memory can describe, of which there is at least one.
pub(crate) const fn most_pieces(pages: usize) -> usize {
    match pages {
        1 => ENTRIES,
        _ => pages * (ENTRIES - 1),
    }
}

/// Of `blocks` data blocks that are left, how many the next segment has. If that is not all, it has
/// the way to the next one, too.
///
/// A segment has as many as fit, with one exception. In QEMU (7.2), the descriptor that led to a
/// segment is overwritten by one of the segment's own if both stand at the same place of their
/// pages. If the last descriptor of a segment leads to the last segment, then QEMU takes that to be
/// said of the segment itself, and refuses. So in the segment before the last one, it stands at
/// another place than in the one before: the last segment is full, and that one is not.
const fn blocks_of_segment(blocks: usize) -> usize {
    const FULL: usize = ENTRIES - 1;
    const TWO: usize = FULL + ENTRIES;
    match blocks {
        0..=ENTRIES => blocks,
        // This and a full one would be all. Make it three.
        TWO => FULL - 1,
        _ if blocks < TWO => blocks - ENTRIES,
        _ => FULL,
    }
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
            0 => Ok(data_block(piece)),
            _ => Err(SglError::Misaligned),
        }
    };
    let described = match blocks {
        0 | 1 => next_block()?,
        _ => segment(blocks, list.bus),
    };
    let mut page = 0;
    while blocks > 1 {
        let start = page * PAGE as usize;
        let mut put = |index: usize, what: DataPointer| {
            let slot = start + index * DESCRIPTOR as usize;
            store(slot, what.prp1);
            store(slot + 8, what.prp2);
        };
        let here = blocks_of_segment(blocks);
        for index in 0..here {
            put(index, next_block()?);
        }
        blocks -= here;
        page += 1;
        if blocks > 0 {
            put(here, segment(blocks, list.bus + page as u64 * PAGE));
        }
    }
    match left {
        0 => Ok(described),
        _ => Err(SglError::TooShort),
    }
}
// ANCHOR_END: build

/// The descriptor of the segment at `bus`, where `blocks` data blocks begin.
fn segment(blocks: usize, bus: u64) -> DataPointer {
    let here = blocks_of_segment(blocks);
    let (kind, descriptors) = match here == blocks {
        true => (Kind::LastSegment, here),
        false => (Kind::Segment, here + 1),
    };
    DataPointer {
        prp1: bus,
        prp2: kind.with_length(descriptors as u64 * DESCRIPTOR),
    }
}

/// The descriptor of memory.
fn data_block(piece: Piece) -> DataPointer {
    DataPointer {
        prp1: piece.start(),
        prp2: Kind::DataBlock.with_length(piece.len()),
    }
}

#[cfg(test)]
mod tests;
