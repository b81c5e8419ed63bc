//! The arithmetic of ranges, written once for every width and both address spaces.
//!
//! A [`Span`] is an address and a length in plain 64-bit numbers. It never leaves this
//! crate: outside, a number without an address space is what the types are there to
//! prevent. A narrower width stores a span in fewer bytes and refuses those that do
//! not fit; it has no arithmetic of its own.
//!
//! The end of a span is always its last byte, never the byte behind it. The byte
//! behind the top of the address space has no address.

use core::num::NonZeroU64;

use crate::RangeError;
use crate::addr::low_bits;

/// `len` bytes from `addr` on. `addr + (len - 1)` does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    addr: u64,
    len: NonZeroU64,
}

impl Span {
    #[inline]
    pub(crate) const fn new(addr: u64, len: u64) -> Result<Self, RangeError> {
        match NonZeroU64::new(len) {
            None => Err(RangeError::Empty),
            Some(_) if addr.checked_add(len - 1).is_none() => Err(RangeError::Overflow),
            Some(len) => Ok(Self { addr, len }),
        }
    }

    #[inline]
    pub(crate) const fn from_inclusive(first: u64, last: u64) -> Result<Self, RangeError> {
        match last.checked_sub(first) {
            None => Err(RangeError::Reversed),
            Some(u64::MAX) => Err(RangeError::TooLong),
            Some(distance) => Self::new(first, distance + 1),
        }
    }

    /// A span that was stored and is read back.
    #[inline]
    pub(crate) const fn stored(addr: u64, len: NonZeroU64) -> Self {
        Self { addr, len }
    }

    #[inline]
    pub(crate) const fn addr(self) -> u64 {
        self.addr
    }

    #[inline]
    pub(crate) const fn len(self) -> u64 {
        self.len.get()
    }

    #[inline]
    pub(crate) const fn last(self) -> u64 {
        self.addr + (self.len.get() - 1)
    }

    #[inline(always)]
    pub(crate) const fn sub(self, offset: u64, len: u64) -> Option<Self> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len.get() => match NonZeroU64::new(len) {
                Some(len) => Some(Self {
                    addr: self.addr + offset,
                    len,
                }),
                None => None,
            },
            _ => None,
        }
    }

    /// Everything from `offset` on; `None` if that is nothing.
    #[inline]
    pub(crate) const fn tail(self, offset: u64) -> Option<Self> {
        match self.len.get().checked_sub(offset) {
            Some(rest) => self.sub(offset, rest),
            None => None,
        }
    }

    #[inline]
    pub(crate) const fn split_at(self, offset: u64) -> Option<(Self, Self)> {
        match (self.sub(0, offset), self.tail(offset)) {
            (Some(head), Some(tail)) => Some((head, tail)),
            _ => None,
        }
    }

    /// Both as one, if `next` starts on the byte behind `self`.
    #[inline]
    // ANCHOR: merge
    pub(crate) const fn merge(self, next: Self) -> Option<Self> {
        match (
            self.last().checked_add(1),
            self.len.checked_add(next.len.get()),
        ) {
            (Some(behind), Some(len)) if behind == next.addr => Some(Self {
                addr: self.addr,
                len,
            }),
            _ => None,
        }
    }
    // ANCHOR_END: merge

    #[inline]
    pub(crate) const fn intersect(self, other: Self) -> Option<Self> {
        let first = if self.addr > other.addr {
            self.addr
        } else {
            other.addr
        };
        let last = if self.last() < other.last() {
            self.last()
        } else {
            other.last()
        };
        match Self::from_inclusive(first, last) {
            Ok(common) => Some(common),
            Err(_) => None,
        }
    }

    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.addr <= other.addr && other.last() <= self.last()
    }

    #[inline]
    pub(crate) const fn contains_addr(self, addr: u64) -> bool {
        self.addr <= addr && addr <= self.last()
    }

    #[inline]
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.addr <= other.last() && other.addr <= self.last()
    }

    #[inline]
    pub(crate) const fn is_aligned(self, align: u64) -> bool {
        match low_bits(align) {
            Some(low) => (self.addr | self.len.get()) & low == 0,
            None => false,
        }
    }

    /// The whole blocks of `align` bytes inside.
    #[inline]
    pub(crate) const fn align_inner(self, align: u64) -> Option<Self> {
        let Some(low) = low_bits(align) else {
            return None;
        };
        let Some(first) = self.addr.checked_add(low) else {
            return None;
        };
        let last = match self.last().checked_add(1) {
            // The top of the address space ends a block of any size.
            None => self.last(),
            Some(behind) => match (behind & !low).checked_sub(1) {
                Some(last) => last,
                None => return None,
            },
        };
        match Self::from_inclusive(first & !low, last) {
            Ok(inner) => Some(inner),
            Err(_) => None,
        }
    }

    /// The whole blocks of `align` bytes that this range touches.
    #[inline]
    pub(crate) const fn align_outer(self, align: u64) -> Option<Self> {
        let Some(low) = low_bits(align) else {
            return None;
        };
        match Self::from_inclusive(self.addr & !low, self.last() | low) {
            Ok(outer) => Some(outer),
            Err(_) => None,
        }
    }

    /// The length of the piece at the front that has at most `max` bytes and crosses
    /// no multiple of `boundary`. Only 0 is a multiple of 0. Not 0 unless `max` is.
    #[inline]
    pub(crate) const fn piece(self, max: u64, boundary: u64) -> u64 {
        let mut len = self.len.get();
        if max < len {
            len = max;
        }
        if boundary != 0 {
            let room = boundary - self.addr % boundary;
            if room < len {
                len = room;
            }
        }
        len
    }

    /// All pieces as [`Self::piece`] cuts them, in order.
    #[inline]
    pub(crate) const fn pieces(self, max: u64, boundary: u64) -> Pieces {
        Pieces {
            rest: Some(self),
            max,
            boundary,
        }
    }
}

/// Iterator over the pieces of a span.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    rest: Option<Span>,
    max: u64,
    boundary: u64,
}

impl Pieces {
    /// No piece at all.
    pub(crate) const NONE: Self = Self {
        rest: None,
        max: 0,
        boundary: 0,
    };
}

impl Iterator for Pieces {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        let rest = self.rest?;
        let len = rest.piece(self.max, self.boundary);
        self.rest = rest.tail(len);
        rest.sub(0, len)
    }
}
