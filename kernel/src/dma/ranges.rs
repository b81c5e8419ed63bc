//! Where a device finds a buffer.
//!
//! Nearly always that is one range: 16 bytes, which are cheap to hand on. A list is more than ten
//! times as large, although it hardly ever has a second entry. So it is kept elsewhere, and only
//! where it is needed: as [`Pieces`].
//!
//! Pieces have room for the list of phyrs and for that of bus ranges. They begin with the first, and
//! on the way to the bus it becomes the second. Where the numbers are the same, that moves it from one
//! place to the other, and no memory is asked for.

use super::bounce::Bounced;
use super::domain::{Access, Domain};
use super::limits::DmaLimits;
use super::mapping::DmaError;
use super::memory::Memory;
use alloc::boxed::Box;
use alloc::vec::Vec;
use phyr::{DmaCursor, DmaList, DmaRange, Phyr, PhyrList};

/// The bus ranges of a buffer, in order.
#[derive(Debug)]
pub enum DmaRanges {
    /// One range, at its own address: nothing is to be undone.
    One(DmaRange),
    /// A list, or something to be undone.
    List(Pieces),
}

const _: () = assert!(size_of::<DmaRanges>() == 16);

impl DmaRanges {
    /// Puts memory that is in one piece on the bus.
    ///
    /// # Safety
    /// As for [`Pieces::map`].
    #[inline(always)]
    pub(super) unsafe fn of(
        phyr: Phyr,
        domain: &Domain,
        limits: &DmaLimits,
        access: Access,
    ) -> Result<Self, DmaError> {
        let range = phyr.to_same_bus_range();
        if domain.is_direct() && limits.admit(range) {
            return Ok(Self::One(range));
        }
        // SAFETY: the caller's promise.
        unsafe { Self::of_one_piece(phyr, domain, limits, access) }
    }

    #[cold]
    unsafe fn of_one_piece(
        phyr: Phyr,
        domain: &Domain,
        limits: &DmaLimits,
        access: Access,
    ) -> Result<Self, DmaError> {
        let pieces = Pieces::new(PhyrList::from(phyr)).ok_or(DmaError::OutOfMemory)?;
        // SAFETY: the caller's promise.
        unsafe { pieces.map(domain, limits, access) }.map(Self::List)
    }

    /// The sum of all lengths.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::One(range) => range.len(),
            Self::List(pieces) => pieces.ranges().bytes(),
        }
    }

    /// How many ranges there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(pieces) => pieces.ranges().len(),
        }
    }

    /// A place at the start, to cut pieces from.
    pub fn cursor(&self) -> DmaCursor<'_> {
        match self {
            Self::One(range) => DmaCursor::from(*range),
            Self::List(pieces) => pieces.ranges().cursor(),
        }
    }

    /// How many bytes the device sees in other memory than the buffer's.
    pub fn bounced(&self) -> u64 {
        match self {
            Self::One(_) => 0,
            Self::List(pieces) => pieces.0[0].bounced.bytes(),
        }
    }

    /// Takes the memory off the bus. What the device has written elsewhere is in it then.
    #[inline]
    pub(super) fn end(self, memory: &mut Memory, access: Access) {
        if let Self::List(pieces) = self {
            pieces.end(memory, access);
        }
    }
}

/// A list that is on its way to the bus, or there. It takes itself off when it is dropped.
// An array of one, because only a `Vec` allocates without a panic.
#[derive(Debug)]
pub struct Pieces(Box<[Lists; 1]>);

#[derive(Debug)]
struct Lists {
    phyrs: PhyrList,
    ranges: DmaList,
    /// Where the ranges are to be taken off.
    domain: Domain,
    // Freed after the ranges are off the bus: `Drop` runs before the fields are dropped.
    bounced: Bounced,
}

impl Pieces {
    /// Keeps a list. `None` if there is no memory for it.
    pub fn new(phyrs: PhyrList) -> Option<Self> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).ok()?;
        one.push(Lists {
            phyrs,
            ranges: DmaList::new(),
            domain: Domain::DIRECT,
            bounced: Bounced::default(),
        });
        let one = Box::<[Lists; 1]>::try_from(one.into_boxed_slice());
        one.ok().map(Self)
    }

    /// Where the memory is. Empty once it is on the bus.
    pub fn phyrs(&self) -> &PhyrList {
        &self.0[0].phyrs
    }

    /// Where the device sees it. Empty until it is on the bus.
    #[inline]
    pub fn ranges(&self) -> &DmaList {
        &self.0[0].ranges
    }

    /// Keeps the memory that the device uses in place of the buffer's, for as long as it may.
    pub(super) fn keep(&mut self, bounced: Bounced) {
        self.0[0].bounced = bounced;
    }

    /// Puts memory on the bus.
    ///
    /// # Errors
    /// Why not; the device reaches nothing of it then.
    ///
    /// # Safety
    /// The memory is the caller's to give to the device for this access, and stays where it is for
    /// as long as the result lives.
    // ANCHOR: map_list
    pub unsafe fn map(
        mut self,
        domain: &Domain,
        limits: &DmaLimits,
        access: Access,
    ) -> Result<Self, DmaError> {
        let lists = &mut self.0[0];
        let phyrs = core::mem::take(&mut lists.phyrs);
        // SAFETY: the caller's promise; `drop` takes it off the bus.
        let mapped = unsafe { domain.map(phyrs, access, limits.last) };
        lists.ranges = mapped.map_err(|(error, _)| error)?;
        // From here on it is undone, whatever happens.
        lists.domain = domain.clone();
        let ranges = core::mem::take(&mut lists.ranges);
        match limits.shape(ranges) {
            Ok(ranges) => lists.ranges = ranges,
            Err((error, ranges)) => {
                lists.ranges = ranges;
                return Err(error);
            }
        }
        Ok(self)
    }
    // ANCHOR_END: map_list

    #[cold]
    fn end(mut self, memory: &mut Memory, access: Access) {
        let lists = &mut self.0[0];
        lists.take_off();
        if access != Access::Read {
            lists.bounced.copy_back(memory);
        }
    }
}

impl Lists {
    /// Takes the ranges off the bus, as they were put there.
    fn take_off(&mut self) {
        if !self.domain.is_direct() && !self.ranges.is_empty() {
            self.domain.unmap(&self.ranges);
            self.ranges.clear();
        }
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        self.take_off();
    }
}
