//! Protection information in memory: made and checked where it lies.
//!
//! Data and metadata are lists of ranges, of any lengths and cuts. The processor sees a range
//! through a [`View`], which a kernel implements with a mapping that exists anyway. A block
//! may be cut anywhere, even inside of its protection information. No block is copied; only the
//! information itself, 16 bytes at most.

use super::tuple::Sum;
use super::{Broken, Checks, Protection, Tags, Tuple};
use crate::format::{BlockFormat, Placement};
use core::fmt;
use phyr::{DmaCursor, DmaList, DmaRange};

/// How the processor reaches memory that ranges describe.
pub trait View {
    /// Shows the bytes of a range, in order, in pieces of any size.
    fn look(&mut self, range: DmaRange, see: &mut dyn FnMut(&[u8]));

    /// Writes the bytes of a range, as many as it has.
    fn store(&mut self, range: DmaRange, bytes: &[u8]);
}

/// Why blocks could not be protected, or are not as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The format has no protection, or its blocks do not fit into the lists.
    Shape,
    /// A block is not what it should be.
    Block {
        /// Index of the block in the request.
        index: u64,
        /// What is wrong with it.
        what: Broken,
    },
}

/// Computes and stores the protection information of all blocks.
///
/// `data` has the blocks. `metadata` has their metadata if the format places it separately,
/// and is empty otherwise. A controller with PRACT does the same for a write.
pub fn generate(
    format: &BlockFormat,
    data: &DmaList,
    metadata: &DmaList,
    tags: Tags,
    view: &mut impl View,
) -> Result<(), Mismatch> {
    let (protection, blocks) = shape(format, data, metadata)?;
    let mut streams = Streams::new(format, data, metadata);
    for index in 0..blocks {
        let mut stored = [0; 16];
        let (guard, place) = streams.block(format, &protection, view, &mut stored);
        let tuple = Tuple {
            guard,
            application: tags.application,
            reference: protection.reference(tags.reference, index),
        };
        let bytes = tuple.encode(protection.guard);
        let mut rest = &bytes[..protection.guard.tuple_bytes()];
        let mut place = place;
        while let Some(range) = place.next(rest.len() as u64) {
            let (now, later) = rest.split_at(range.len() as usize);
            view.store(range, now);
            rest = later;
        }
    }
    Ok(())
}

/// Checks the protection information of all blocks.
///
/// A block with the escape in its tags passes. A controller with PRCHK does the same. `act`
/// of the checks means nothing here.
pub fn verify(
    format: &BlockFormat,
    data: &DmaList,
    metadata: &DmaList,
    checks: Checks,
    tags: Tags,
    view: &mut impl View,
) -> Result<(), Mismatch> {
    let (protection, blocks) = shape(format, data, metadata)?;
    let mut streams = Streams::new(format, data, metadata);
    for index in 0..blocks {
        let mut stored = [0; 16];
        let (guard, _) = streams.block(format, &protection, view, &mut stored);
        let Some(tuple) = Tuple::decode(protection.guard, &stored) else {
            return Err(Mismatch::Shape);
        };
        let reference = protection.reference(tags.reference, index);
        check(&protection, &tuple, checks, tags, guard, reference)
            .map_err(|what| Mismatch::Block { index, what })?;
    }
    Ok(())
}

/// Checks one block's information, in the order in which controllers do.
fn check(
    protection: &Protection,
    tuple: &Tuple,
    checks: Checks,
    tags: Tags,
    guard: u64,
    reference: u64,
) -> Result<(), Broken> {
    if tuple.is_escape(protection) {
        return Ok(());
    }
    if checks.guard() && tuple.guard != guard {
        return Err(Broken::Guard {
            stored: tuple.guard,
            computed: guard,
        });
    }
    let mask = tags.application_mask;
    if checks.application() && tuple.application & mask != tags.application & mask {
        return Err(Broken::Application {
            stored: tuple.application,
            expected: tags.application,
        });
    }
    if checks.reference() && tuple.reference != reference {
        return Err(Broken::Reference {
            stored: tuple.reference,
            expected: reference,
        });
    }
    Ok(())
}

/// The protection, and how many blocks the lists have, if they fit together.
fn shape(
    format: &BlockFormat,
    data: &DmaList,
    metadata: &DmaList,
) -> Result<(Protection, u64), Mismatch> {
    let protection = format.protection.ok_or(Mismatch::Shape)?;
    let each = format.memory_block_bytes();
    let blocks = data.bytes() / each;
    let metadata_bytes = match format.placement {
        Placement::Interleaved => 0,
        // Less than the product of the data's bytes and 2^16, and the data has a block of 512
        // bytes for each; so this saturates for nobody.
        Placement::Separate => blocks.saturating_mul(u64::from(format.metadata)),
    };
    let fits = data.bytes() % each == 0 && metadata.bytes() == metadata_bytes;
    fits.then_some((protection, blocks)).ok_or(Mismatch::Shape)
}

/// Where the walk over data and metadata is.
struct Streams<'a> {
    data: DmaCursor<'a>,
    /// `None` if metadata comes with the data.
    metadata: Option<DmaCursor<'a>>,
}

impl<'a> Streams<'a> {
    fn new(format: &BlockFormat, data: &'a DmaList, metadata: &'a DmaList) -> Self {
        Self {
            data: data.cursor(),
            metadata: match format.placement {
                Placement::Interleaved => None,
                Placement::Separate => Some(metadata.cursor()),
            },
        }
    }

    /// Goes over one block. Returns its guard as it should be, and where its information
    /// lies, and puts what is there now into `stored`.
    fn block(
        &mut self,
        format: &BlockFormat,
        protection: &Protection,
        view: &mut impl View,
        stored: &mut [u8; 16],
    ) -> (u64, DmaCursor<'a>) {
        let mut sum = Sum::new(protection.guard);
        let bytes = u64::from(format.data);
        each_piece(&mut self.data, bytes, view, |piece| sum.add(piece));
        let metadata = match &mut self.metadata {
            Some(metadata) => metadata,
            None => &mut self.data,
        };
        let all = usize::from(format.metadata);
        let before = protection.offset(all);
        let tuple = protection.guard.tuple_bytes();
        each_piece(metadata, before as u64, view, |piece| sum.add(piece));
        let place = metadata.clone();
        let mut filled = 0;
        each_piece(metadata, tuple as u64, view, |piece| {
            stored[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        });
        let is_whole = metadata.advance((all - before - tuple) as u64);
        debug_assert!(is_whole, "the shape was checked");
        (sum.finish(), place)
    }
}

/// Shows the next `bytes` bytes of a cursor, and goes on behind them.
fn each_piece(
    cursor: &mut DmaCursor<'_>,
    bytes: u64,
    view: &mut impl View,
    mut see: impl FnMut(&[u8]),
) {
    let mut left = bytes;
    while left > 0
        && let Some(range) = cursor.next(left)
    {
        left -= range.len();
        view.look(range, &mut see);
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => f.write_str("the memory is not made of protected blocks"),
            Self::Block { index, what } => write!(f, "block {index} of the request: {what}"),
        }
    }
}

#[cfg(test)]
mod tests;
