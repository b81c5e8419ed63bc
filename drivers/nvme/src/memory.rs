//! Memory that a request may use, and that it owns.
//!
//! # The problem
//!
//! A list of bus ranges is a description: anybody can make one, of any numbers. The device
//! does not ask whose memory that is. And it does not ask when it is done: it may write long
//! after whoever wanted the data has lost interest.
//!
//! # The idea
//!
//! A request takes a value whose type vouches for the ranges, and keeps that value until the
//! device is done with them. To vouch is to write `unsafe impl` of [`Memory`], with the
//! argument for it. A kernel does so once, for its mappings on the bus.
//!
//! - The implementer's duty is in the `Safety` section of the trait.
//! - The driver's duty: it gives a device these ranges and no others, for what the value
//!   [allows](Memory::access), and keeps the value until no command with them is outstanding,
//!   or the controller is confirmed stopped, or kept from memory by its
//!   [platform](crate::Platform). A value that it can never give back it keeps for ever.
//! - These declarations, and those of the platform, are all that is unsafe in this crate.

use crate::command::Direction;
use phyr::{DmaCursor, DmaList, DmaRange, Place};

/// What a device may do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The device may read it: what is written to a disk comes from there.
    pub device_reads: bool,
    /// The device may write it: what is read from a disk arrives there.
    pub device_writes: bool,
}

impl Access {
    /// The device may only read.
    pub const TO_DEVICE: Self = Self {
        device_reads: true,
        device_writes: false,
    };
    /// The device may only write.
    pub const FROM_DEVICE: Self = Self {
        device_reads: false,
        device_writes: true,
    };
    /// The device may do both.
    pub const BOTH: Self = Self {
        device_reads: true,
        device_writes: true,
    };

    /// Whether data may go this way.
    #[inline]
    pub(crate) const fn allows(self, direction: Direction) -> bool {
        let wanted = direction as u8;
        let granted = self.device_reads as u8 | (self.device_writes as u8) << 1;
        wanted != 0 && wanted & !granted == 0
    }
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

    /// The one range that is all of it. `None` if there is none, or more.
    #[inline]
    pub(crate) fn single(&self) -> Option<DmaRange> {
        match self {
            Self::One(range) => Some(*range),
            Self::List(list) if list.len() == 1 => list.first(),
            Self::List(_) => None,
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

    /// `bytes` bytes behind the start; the end, if there are fewer.
    pub(crate) fn cursor_behind(&self, bytes: u64) -> DmaCursor<'a> {
        let mut cursor = self.cursor();
        if !cursor.advance(bytes) {
            cursor.resume(Place::default());
        }
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
/// # use nvme::{Platform, Queue};
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
