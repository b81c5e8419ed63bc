//! Where a device finds a buffer.
//!
//! Nearly always that is one range: 16 bytes, which are cheap to hand on. A list is more than ten
//! times as large, although it hardly ever has a second entry. So it is kept elsewhere, and only
//! where it is needed.

use alloc::boxed::Box;
use alloc::vec::Vec;
use phyr::{DmaCursor, DmaList, DmaRange};

/// The bus ranges of a buffer, in order.
#[derive(Debug)]
pub enum DmaRanges {
    /// One range.
    One(DmaRange),
    /// More than one. (An array of one, because only a `Vec` allocates without a panic.)
    List(Box<[DmaList; 1]>),
}

const _: () = assert!(size_of::<DmaRanges>() == 16);

impl DmaRanges {
    /// Keeps a list. `None` if there is no memory for it.
    pub(super) fn list(list: DmaList) -> Option<Self> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).ok()?;
        one.push(list);
        let one = Box::<[DmaList; 1]>::try_from(one.into_boxed_slice());
        one.ok().map(Self::List)
    }

    /// The sum of all lengths.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::One(range) => range.len(),
            Self::List(list) => list[0].bytes(),
        }
    }

    /// How many ranges there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(list) => list[0].len(),
        }
    }

    /// A place at the start, to cut pieces from.
    pub fn cursor(&self) -> DmaCursor<'_> {
        match self {
            Self::One(range) => DmaCursor::from(*range),
            Self::List(list) => list[0].cursor(),
        }
    }
}
