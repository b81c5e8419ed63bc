//! What a device can be given, as data.

use super::mapping::DmaError;
use phyr::{DmaAddr, DmaList, DmaRange, ListError};

/// What a device can reach, and how its memory must lie.
///
/// The mapper obeys it, never the driver: a driver that gets a [`DmaMapping`](super::DmaMapping) can
/// hand each of its ranges on as it is. All sizes but `max_segment` are powers of two, and none is smaller
/// than the alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaLimits {
    /// The highest address that the device can put on the bus.
    pub last: DmaAddr,
    /// Each range starts at a multiple of this many bytes.
    pub alignment: u64,
    /// Most bytes of one range. A longer one is cut.
    pub max_segment: u64,
    /// No range crosses a multiple of this; 0 is no limit. One that would is cut.
    pub boundary: u64,
    /// Two ranges that are apart meet at multiples of this: the first ends, and the second starts,
    /// at one.
    pub granule: u64,
    /// Most ranges.
    pub entries: usize,
}

impl DmaLimits {
    /// A device that takes everything.
    pub const NONE: Self = Self {
        last: DmaAddr::new(u64::MAX),
        alignment: 1,
        max_segment: u64::MAX,
        boundary: 0,
        granule: 1,
        entries: usize::MAX,
    };

    /// Whether a range can be all of a buffer, as it is. For a device with few limits that are
    /// known when this is compiled, few comparisons are left of it.
    #[inline]
    pub fn admit(&self, range: DmaRange) -> bool {
        self.reach(range) && self.is_whole(range) && self.entries > 0
    }

    /// Whether the device can use the memory there at all, in one range or in several.
    #[inline]
    pub(super) fn reach(&self, range: DmaRange) -> bool {
        range.last().get() <= self.last.get() && range.addr().get() & (self.alignment - 1) == 0
    }

    /// Whether a range need not be cut.
    #[inline]
    fn is_whole(&self, range: DmaRange) -> bool {
        let crosses = self.boundary != 0
            && (range.addr().get() ^ range.last().get()) & !(self.boundary - 1) != 0;
        range.len() <= self.max_segment && !crosses
    }

    /// Makes a list of ranges one that the device can be given: the same bytes in the same order.
    ///
    /// A list that need not be changed is not even copied.
    ///
    /// # Errors
    /// If cutting is not enough, or there is no memory for the pieces: why, and the list.
    #[expect(clippy::result_large_err, reason = "the list comes back by value")]
    pub fn shape(&self, list: DmaList) -> Result<DmaList, (DmaError, DmaList)> {
        match self.pieces(&list) {
            Ok(None) => Ok(list),
            Ok(Some(pieces)) => Ok(pieces),
            Err(error) => Err((error, list)),
        }
    }

    /// The list cut into pieces; `None` if it is good as it is.
    fn pieces(&self, list: &DmaList) -> Result<Option<DmaList>, DmaError> {
        let mut must_cut = false;
        let mut last: Option<DmaRange> = None;
        for (index, range) in list.iter().enumerate() {
            if !self.reach(range) {
                return Err(DmaError::Unreachable { index });
            }
            if last.is_some_and(|last| !self.may_meet(last, range)) {
                return Err(DmaError::Gap { index });
            }
            must_cut |= !self.is_whole(range);
            last = Some(range);
        }
        let cut = if must_cut {
            Some(self.cut(list)?)
        } else {
            None
        };
        let pieces = cut.as_ref().unwrap_or(list).len();
        if pieces > self.entries {
            return Err(DmaError::TooManyPieces { pieces });
        }
        Ok(cut)
    }

    /// Whether a transfer can go from one range to the next.
    fn may_meet(&self, last: DmaRange, next: DmaRange) -> bool {
        let end = last.last().get().wrapping_add(1);
        end == next.addr().get() || (end | next.addr().get()) & (self.granule - 1) == 0
    }

    fn cut(&self, list: &DmaList) -> Result<DmaList, DmaError> {
        let mut pieces = DmaList::new();
        let mut cursor = list.cursor();
        // The next piece starts where this one ends.
        let longest = self.max_segment & !(self.alignment - 1);
        while let Some(piece) = cursor.next_within(longest, self.boundary) {
            let pushed = pieces.push_apart(piece);
            pushed.map_err(|_: ListError| DmaError::OutOfMemory)?;
        }
        Ok(pieces)
    }
}
