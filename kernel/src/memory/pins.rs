//! Which parts of an address space are pinned: extents, each with two counts.
//!
//! Pins overlap: two reads of one file into neighbouring bytes of a page, a write from memory that
//! another write is still reading. So it must be known of each byte how many pins it has. But
//! nothing is kept for each byte, or each page. Between two ends of pins all bytes have the same
//! counts, and such a run is one entry, however long it is. *n* pins make at most 2*n* - 1 entries.
//!
//! The entries are an array in the order of their addresses: looking is a binary search. The room that
//! a pin may need is made when it is added, for the day on which it ends, too. So ending one, or
//! dividing one, never needs memory.
//!
//! Invariants:
//! - entries are disjoint, in order, and have a pin;
//! - two that touch differ in their counts.

use super::virt::{VirtAddr, VirtRange};
use alloc::vec::Vec;

/// What a pin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The memory is read.
    Read,
    /// The memory is written, and perhaps read.
    Write,
}

/// There is no memory for what must be remembered of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A run of bytes that all have the same pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The bytes.
    pub range: VirtRange,
    /// How many pins are for reading.
    pub readers: usize,
    /// How many pins are for writing.
    pub writers: usize,
}

impl Extent {
    fn unpinned(range: VirtRange) -> Self {
        Self {
            range,
            readers: 0,
            writers: 0,
        }
    }

    fn count(&mut self, access: Access) -> &mut usize {
        match access {
            Access::Read => &mut self.readers,
            Access::Write => &mut self.writers,
        }
    }

    fn has_pins_of(&self, other: &Self) -> bool {
        (self.readers, self.writers) == (other.readers, other.writers)
    }
}

/// The pins of an address space.
#[derive(Debug, Default)]
pub struct Pins {
    extents: Vec<Extent>,
    /// How many pins there are, each part of a divided one counted.
    pins: usize,
}

impl Pins {
    /// No pins.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            extents: Vec::new(),
            pins: 0,
        }
    }

    /// How many pins there are. A pin that was divided is several.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pins
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pins == 0
    }

    /// The runs of pinned bytes, in order.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// How many bytes have a pin.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.range.len()).sum()
    }

    /// The first run of pinned bytes in `range`, if there is one.
    // ANCHOR: first_in
    #[must_use]
    pub fn first_in(&self, range: VirtRange) -> Option<Extent> {
        let found = self.extents.get(self.position(range.start()))?;
        (found.range.start() <= range.last()).then_some(*found)
    }
    // ANCHOR_END: first_in

    /// The first run of bytes in `range` that have a pin for writing, if there is one.
    #[must_use]
    pub fn first_written_in(&self, range: VirtRange) -> Option<Extent> {
        let from = self.position(range.start());
        let inside = self.extents[from..]
            .iter()
            .take_while(|extent| extent.range.start() <= range.last());
        inside.copied().find(|extent| extent.writers > 0)
    }

    /// Makes room for one pin more, and for its end.
    ///
    /// # Errors
    /// If there is no memory. Nothing has changed then.
    pub fn reserve(&mut self) -> Result<(), NoRoom> {
        let most = 2 * (self.pins + 1);
        let more = most.saturating_sub(self.extents.len());
        self.extents.try_reserve(more).map_err(|_| NoRoom)
    }

    /// Adds a pin.
    ///
    /// # Errors
    /// If there is no memory. Nothing has changed then.
    pub fn add(&mut self, range: VirtRange, access: Access) -> Result<(), NoRoom> {
        self.reserve()?;
        self.pins += 1;
        self.cut(range);
        let mut at = self.position(range.start());
        let mut rest = Some(range);
        while let Some(left) = rest {
            let found = self.extents.get(at).map(|extent| extent.range);
            let gap = match found {
                Some(found) => found.start().offset_from(left.start()).unwrap_or(0),
                None => left.len(),
            };
            let piece = match (left.prefix(gap.min(left.len())), found) {
                (Some(gap), _) => {
                    self.extents.insert(at, Extent::unpinned(gap));
                    gap
                }
                (None, Some(found)) => found,
                (None, None) => break,
            };
            *self.extents[at].count(access) += 1;
            rest = left.without_prefix(piece.len());
            at += 1;
        }
        self.join(range);
        Ok(())
    }

    /// Takes a pin away, or a part that was divided from one.
    ///
    /// # Panics
    /// If there is no such pin.
    pub fn remove(&mut self, range: VirtRange, access: Access) {
        self.pins = self.pins.checked_sub(1).expect("a pin is removed once");
        self.cut(range);
        let first = self.position(range.start());
        let mut bytes = 0;
        for extent in &mut self.extents[first..] {
            if extent.range.start() > range.last() {
                break;
            }
            let count = extent.count(access);
            *count = count.checked_sub(1).expect("a pin is removed once");
            bytes += extent.range.len();
        }
        assert!(bytes == range.len(), "what is unpinned was pinned");
        let is_over = |extent: &Extent| extent.readers == 0 && extent.writers == 0;
        self.extents.retain(|extent| !is_over(extent));
        self.join(range);
    }

    /// Counts one pin as two, for parts of it that will be removed one by one.
    ///
    /// # Errors
    /// If there is no memory for what their ends may need. Nothing has changed then.
    pub fn divide(&mut self) -> Result<(), NoRoom> {
        self.reserve()?;
        self.pins += 1;
        Ok(())
    }

    /// Counts two pins that touch and are for the same access as one.
    pub fn unite(&mut self) {
        self.pins = self.pins.checked_sub(1).expect("two pins are united");
    }

    /// The number of the first entry that ends at `addr` or behind it.
    fn position(&self, addr: VirtAddr) -> usize {
        self.extents
            .partition_point(|extent| extent.range.last() < addr)
    }

    /// Cuts entries, so that each lies in `range` or outside of it.
    fn cut(&mut self, range: VirtRange) {
        self.cut_before(range.start());
        // Behind the last byte of a half there is nothing to cut.
        if let Some(end) = range.start().checked_add(range.len()) {
            self.cut_before(end);
        }
    }

    fn cut_before(&mut self, addr: VirtAddr) {
        let at = self.position(addr);
        let Some(found) = self.extents.get(at).copied() else {
            return;
        };
        let front = addr.offset_from(found.range.start()).unwrap_or(0);
        if let (Some(front), Some(back)) =
            (found.range.prefix(front), found.range.without_prefix(front))
        {
            let with = |range| Extent { range, ..found };
            self.extents[at] = with(back);
            self.extents.insert(at, with(front));
        }
    }

    /// Joins entries in `range`, and those that touch it, where they have become alike.
    fn join(&mut self, range: VirtRange) {
        let mut at = self.position(range.start()).saturating_sub(1);
        while let [left, right, ..] = self.extents[at..] {
            if left.range.start() > range.last() {
                break;
            }
            let both = left.range.last().get() - left.range.start().get() + 1 + right.range.len();
            let touch =
                left.range.start().checked_add(left.range.len()) == Some(right.range.start());
            match VirtRange::new(left.range.start(), both) {
                Ok(range) if touch && left.has_pins_of(&right) => {
                    self.extents[at].range = range;
                    self.extents.remove(at + 1);
                }
                _ => at += 1,
            }
        }
    }
}
