//! Memory that a request may use, and that it owns.
//!
//! A list of bus ranges is a description, and anybody can make one of any numbers. So a request
//! takes a value whose type vouches for its ranges, and the driver keeps that value until the
//! device is done with them. To vouch is to write `unsafe impl` of [`Memory`], with the argument
//! for it; a kernel does so once, for its mappings on the bus.
//!
//! The driver's duty: it gives a device these ranges and no others, for what the value
//! [allows](Memory::access), and keeps the value until no command with them is outstanding, or the
//! device is confirmed reset, or kept from memory by its [platform](crate::Platform). A value that
//! it can never give back it keeps for ever.

use phyr::{DmaCursor, DmaList, DmaRange, Place};

/// What a device may do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may read it: what is written to a disk comes from there.
    ToDevice,
    /// It may write it: what is read from a disk arrives there.
    FromDevice,
}

/// Where memory is, in order, as the device sees it.
#[derive(Clone, Copy, Debug)]
pub enum Ranges<'a> {
    /// In one piece.
    One(DmaRange),
    /// In any number of pieces.
    List(&'a DmaList),
}

impl<'a> Ranges<'a> {
    /// Number of bytes.
    #[inline]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::One(range) => range.len(),
            Self::List(list) => list.bytes(),
        }
    }

    /// Number of ranges.
    #[inline]
    pub fn pieces(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(list) => list.len(),
        }
    }

    /// The start.
    pub(crate) fn cursor(&self) -> DmaCursor<'a> {
        match self {
            Self::One(range) => DmaCursor::from(*range),
            Self::List(list) => list.cursor(),
        }
    }

    /// A place where a cursor was before.
    pub(crate) fn cursor_at(&self, place: Place) -> DmaCursor<'a> {
        let mut cursor = self.cursor();
        cursor.resume(place);
        cursor
    }
}

/// Memory that a device may use.
///
/// # Safety
///
/// For as long as the value lives, wherever it is moved to, and also if it is never dropped:
///
/// - [`ranges`](Memory::ranges) says the same each time, and [`access`](Memory::access) too;
/// - the ranges are memory that the device may use as `access` says, and stay where they are;
/// - they belong to the value, or to whoever lent them to it for longer than it lives;
/// - if the device may write them, it may write any bytes, and nobody has a reference to them,
///   or reads or writes them through a pointer, while the driver has the value;
/// - if the device may only read them, nobody writes them while the driver has the value.
///
/// # Examples
///
/// A list of ranges is no memory:
///
/// ```compile_fail,E0277
/// # use virtio::{Platform, blk::Queue};
/// fn queue_of_lists<P: Platform>(queue: Queue<P, phyr::DmaList>) {}
/// ```
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Memory {
    /// Where it is.
    fn ranges(&self) -> Ranges<'_>;

    /// What the device may do with it.
    fn access(&self) -> Access;
}
