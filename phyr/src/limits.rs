//! Cutting one long buffer into the commands of a device.
//!
//! A buffer is as long as its owner wants it. A device takes so many bytes in one command, in
//! so many pieces, and some devices describe memory by pages and want every inner edge at a
//! page boundary. What those limits are is data: [`Limits`]. How a buffer is cut by them is
//! here, once, for all drivers:
//!
//! - [`Limits::check`] says, before anything is sent, whether a buffer can be cut at all.
//! - [`Limits::next_run`] says how many bytes the next command takes: as many as it can.
//!
//! A run is always a whole number of blocks. Two pieces may meet inside a run if the limits
//! let them. Call such an edge *smooth*, and any other *rough*: a rough edge is a cut, so it
//! must be at a block boundary.

use crate::{DmaCursor, DmaRange};

/// Where two pieces of memory may meet inside one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// Anywhere: each piece has a descriptor of its own.
    Anywhere,
    /// Where the first one ends, and the second one starts, at a page boundary.
    AtPages,
}

/// What one command of a device may transfer, and what its memory must look like.
///
/// [`Limits::of_blocks`] has none; a driver fills in what its device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A command transfers whole blocks of this many bytes. 0 counts as 1.
    pub block_size: u64,
    /// Most bytes.
    pub max_bytes: u64,
    /// Most pieces of memory that are contiguous on the bus.
    pub max_pieces: u64,
    /// Most pages, counting those at the ends of pieces that are only partly used.
    pub max_pages: u64,
    /// Bytes in a page, a power of two.
    pub page_size: u64,
    /// Each piece starts at a multiple of this many bytes, a power of two, and ends at one before
    /// the next piece.
    pub alignment: u64,
    /// Where pieces may meet.
    pub gaps: Gaps,
}

/// Why a buffer cannot be cut into commands: it must be copied to other memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncuttable {
    /// A piece starts at an address that is not aligned as it must be, or the piece before it has
    /// a length that is not.
    Misaligned {
        /// Where in the buffer the piece starts, in bytes.
        offset: u64,
    },
    /// Two pieces meet inside a block in a place where the device cannot join them.
    InsideBlock {
        /// Where in the buffer the pieces meet, in bytes.
        offset: u64,
    },
    /// The buffer does not end with a block, or a block does not fit into a command.
    Length {
        /// Where in the buffer the block starts that cannot be transferred, in bytes.
        offset: u64,
    },
}

impl Limits {
    /// No limits but whole blocks.
    #[must_use]
    pub const fn of_blocks(block_size: u64) -> Self {
        Self {
            block_size,
            max_bytes: u64::MAX,
            max_pieces: u64::MAX,
            max_pages: u64::MAX,
            page_size: 4096,
            alignment: 1,
            gaps: Gaps::Anywhere,
        }
    }

    /// Says whether the buffer from `cursor` on can be cut into commands.
    ///
    /// If it can, [`next_run`](Self::next_run) finds a run of at least one block at each cut.
    pub fn check(&self, cursor: DmaCursor<'_>) -> Result<(), Uncuttable> {
        self.check_edges(cursor.clone())?;
        let mut left = cursor;
        let bytes = left.remaining();
        if !bytes.is_multiple_of(self.block_size.max(1)) {
            let offset = bytes - bytes % self.block_size.max(1);
            return Err(Uncuttable::Length { offset });
        }
        while left.remaining() > 0 {
            let run = self.next_run(left.clone());
            if run == 0 || !left.advance(run) {
                let offset = bytes - left.remaining();
                return Err(Uncuttable::Length { offset });
            }
        }
        Ok(())
    }

    fn check_edges(&self, mut cursor: DmaCursor<'_>) -> Result<(), Uncuttable> {
        let mut offset = 0_u64;
        let mut last = None;
        while let Some(piece) = cursor.next_joined(u64::MAX) {
            let is_smooth = last.is_some_and(|last| self.is_smooth(last, piece));
            if !is_smooth && !offset.is_multiple_of(self.block_size.max(1)) {
                return Err(Uncuttable::InsideBlock { offset });
            }
            let is_aligned = piece.addr().is_aligned(self.alignment);
            if !is_aligned || !offset.is_multiple_of(self.alignment) {
                return Err(Uncuttable::Misaligned { offset });
            }
            offset += piece.len();
            last = Some(piece);
        }
        Ok(())
    }

    /// Length in bytes of the longest run from `cursor` on that one command may transfer.
    ///
    /// Returns 0 at the end of the buffer, and where not even one block can be transferred:
    /// [`check`](Self::check) says so before.
    // ANCHOR: next_run
    #[must_use]
    pub fn next_run(&self, mut cursor: DmaCursor<'_>) -> u64 {
        let mut bytes = 0;
        let mut pages = 0;
        let mut pieces = 0;
        let mut last = None;
        while pages < self.max_pages
            && pieces < self.max_pieces
            && let Some(piece) = cursor.next_joined(self.max_bytes - bytes)
        {
            if last.is_some_and(|last| !self.is_smooth(last, piece)) {
                break;
            }
            let offset = piece.addr().get() & (self.page_size - 1);
            let room = (self.max_pages - pages).saturating_mul(self.page_size) - offset;
            let taken = piece.len().min(room);
            bytes += taken;
            pages += offset.saturating_add(taken).div_ceil(self.page_size);
            pieces += 1;
            last = Some(piece);
        }
        bytes - bytes % self.block_size.max(1)
    }
    // ANCHOR_END: next_run

    /// True if one command can go from `last` to `next`.
    fn is_smooth(&self, last: DmaRange, next: DmaRange) -> bool {
        let inside_page = self.page_size - 1;
        match self.gaps {
            Gaps::Anywhere => true,
            Gaps::AtPages => {
                last.last().get() & inside_page == inside_page
                    && next.addr().get() & inside_page == 0
            }
        }
    }
}
