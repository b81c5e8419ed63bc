//! Bytes of a file, by the blocks that they are in.

use super::super::Piece;
use super::Source;
use super::extents::Extents;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// A file, and where its data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fs) struct MappedFile {
    len: u64,
    block_size: u64,
    extents: Extents,
}

impl MappedFile {
    /// The extents lie on the disk, in blocks of this size.
    pub(super) fn new(len: u64, block_size: u64, extents: Extents) -> Self {
        Self {
            len,
            block_size,
            extents,
        }
    }

    /// Its bytes.
    pub(in crate::fs) fn len(&self) -> u64 {
        self.len
    }

    /// Where these bytes of the file are on the disk, in order. `None` if one of them is not there:
    /// in a hole, or beyond the end.
    pub(in crate::fs) fn stretches(&self, bytes: Range<u64>) -> Option<Vec<Range<u64>>> {
        if bytes.end > self.len {
            return None;
        }
        let mut found: Vec<Range<u64>> = Vec::new();
        let mut here = bytes.start;
        while here < bytes.end {
            let block = here / self.block_size;
            let extent = self.extents.at_or_after(block);
            let extent = extent.filter(|extent| extent.logical <= block)?;
            let start =
                extent.physical * self.block_size + (here - extent.logical * self.block_size);
            let end = (extent.logical + extent.count) * self.block_size;
            let len = end.min(bytes.end) - here;
            match found.last_mut() {
                Some(last) if last.end == start => last.end += len,
                _ => found.push(start..start + len),
            }
            here += len;
        }
        Some(found)
    }

    /// The bytes from `position` on, as far as they lie together. `None` at and beyond the end.
    pub(in crate::fs) fn piece_at(&self, position: u64) -> Option<Piece> {
        let left = self.len.checked_sub(position).filter(|left| *left > 0)?;
        let block = position / self.block_size;
        // In a hole, or in an extent: until where, and from where on the disk.
        let (end, start) = match self.extents.at_or_after(block) {
            Some(extent) if extent.logical <= block => {
                let offset = position - extent.logical * self.block_size;
                let start = extent.physical * self.block_size + offset;
                (extent.logical + extent.count, Some(start))
            }
            Some(extent) => (extent.logical, None),
            None => (u64::MAX / self.block_size, None),
        };
        let len = (end * self.block_size - position).min(left);
        Some(Piece { start, len })
    }

    /// Fills `into` with the bytes from `position` on, as far as there are any, and returns how
    /// many. There is one read for each extent, straight into `into`. Holes are zeros.
    pub(in crate::fs) fn read_at(
        &self,
        source: &dyn Source,
        position: u64,
        into: &mut [u8],
    ) -> Result<usize, Box<dyn core::error::Error + Send + Sync>> {
        let left = self.len.saturating_sub(position);
        let total = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < total {
            // Not beyond the file's length, so nothing here overflows.
            let Some(Piece { start, len }) = self.piece_at(position + done as u64) else {
                break;
            };
            let rest = &mut into[done..total];
            let len = len.min(rest.len() as u64) as usize;
            let piece = &mut rest[..len];
            match start {
                Some(start) => source.read(start, piece)?,
                None => piece.fill(0),
            }
            done += len;
        }
        Ok(total)
    }
}
