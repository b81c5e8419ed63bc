//! A buffer as a device with pages sees it: whole blocks of one size.
//!
//! Some devices describe memory by a list of equal blocks, and take blocks of several sizes: an RDMA
//! card, a command with a page list, an IOMMU. Such a list can start inside its first block and end
//! inside its last. Everywhere else, a block that is not the buffer's own from end to end would be in
//! the way. So a size *fits* a buffer if its pieces meet at multiples of that size only.
//!
//! - [`best_block_size`] says which of the device's sizes is the largest that fits.
//! - [`Blocks`] goes through a buffer block by block.

use crate::{DmaAddr, DmaCursor, DmaRange};

/// The largest of `sizes` that fits the buffer from `cursor` on.
///
/// `sizes` has bit `n` set for blocks of 2^`n` bytes. `None` if none of them fits: the pieces meet
/// somewhere else. An empty buffer is fit by all.
#[must_use]
pub fn best_block_size(mut cursor: DmaCursor<'_>, sizes: u64) -> Option<u64> {
    // Every bit that is set in an inner edge rules out all larger sizes.
    let mut edges = 0;
    while let Some(piece) = cursor.next_joined(u64::MAX) {
        if let Some(next) = cursor.peek() {
            // The edge at the top of the address space is a multiple of everything.
            edges |= piece.last().get().wrapping_add(1) | next.addr().get();
        }
    }
    // Sizes up to the lowest of those bits; all of them, if there is none.
    let fitting = match edges {
        0 => u64::MAX,
        _ => edges ^ (edges - 1),
    };
    let best = (sizes & fitting).checked_ilog2()?;
    Some(1 << best)
}

/// The blocks of a buffer, whole, in order.
///
/// The first and the last may have bytes that are not the buffer's; [`first_offset`](Self::first_offset)
/// and the buffer's length say which.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    cursor: DmaCursor<'a>,
    size: u64,
}

impl<'a> Blocks<'a> {
    /// The blocks of `size` bytes from `cursor` on; `None` if that is no size that fits.
    #[must_use]
    pub fn new(cursor: DmaCursor<'a>, size: u64) -> Option<Self> {
        let fits = size.is_power_of_two() && best_block_size(cursor.clone(), size).is_some();
        fits.then_some(Self { cursor, size })
    }

    /// Where in its first block the buffer starts.
    #[must_use]
    pub fn first_offset(&self) -> u64 {
        let first = self.cursor.peek();
        first.map_or(0, |first| first.addr().get() & (self.size - 1))
    }
}

impl Iterator for Blocks<'_> {
    type Item = DmaRange;

    fn next(&mut self) -> Option<DmaRange> {
        let piece = self.cursor.next_within(u64::MAX, self.size)?;
        let start = DmaAddr::new(piece.addr().get() & !(self.size - 1));
        let block = DmaRange::new(start, self.size).ok()?;
        // What was cut between two entries that touch is still the same block.
        let mut end = piece;
        while end.last() < block.last()
            && let Some(next) = self.cursor.peek()
            && end.last().checked_add(1) == Some(next.addr())
        {
            end = self.cursor.next_within(u64::MAX, self.size)?;
        }
        Some(block)
    }
}
