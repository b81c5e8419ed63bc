//! The model: a window of 64 addresses, and a range as the set of bits it covers.
//!
//! The window lies at the top of a width's address space, where the mistakes are. For
//! the 6-bit widths it is the whole address space.

use core::marker::PhantomData;
use std::vec::Vec;

use crate::span::Span;
use crate::{Phyr, RangeError, Width};

/// Which of the 64 addresses of a window are meant; bit 0 is the lowest.
pub(super) type Bits = u64;

pub(super) struct Window<W>(PhantomData<W>);

impl<W: Width> Window<W> {
    /// The lowest address in the window.
    pub(super) const BASE: u64 = W::MAX_ADDR - 63;
    /// The length of the longest range.
    pub(super) const LONGEST: u64 = if W::MAX_LEN < 64 { W::MAX_LEN } else { 64 };

    /// `len` bytes from number `first` of the window on, by the code under test.
    pub(super) fn range(first: u64, len: u64) -> Result<Phyr<W>, RangeError> {
        Phyr::from_span(Span::new(Self::BASE + first, len)?)
    }

    /// All ranges in the window.
    pub(super) fn all() -> Vec<(Phyr<W>, Bits)> {
        let mut all = Vec::new();
        for first in 0..64 {
            for len in 1..=(64 - first).min(Self::LONGEST) {
                let range = Self::range(first, len).unwrap();
                all.push((range, bits(first, len)));
            }
        }
        all
    }

    /// The range with exactly these bits; `None` if there is no such range.
    pub(super) fn of(bits: Bits) -> Option<Phyr<W>> {
        let (first, len) = (bits.trailing_zeros(), bits.count_ones());
        let gapless = bits != 0 && bits.leading_zeros() + len + first == 64;
        if gapless && u64::from(len) <= Self::LONGEST {
            Self::range(first.into(), len.into()).ok()
        } else {
            None
        }
    }
}

/// The set of `len` addresses from `first` on.
pub(super) fn bits(first: u64, len: u64) -> Bits {
    (0..64)
        .filter(|bit| (first..first + len).contains(bit))
        .map(|bit| 1 << bit)
        .sum()
}

/// The numbers of the addresses in a set, upwards.
pub(super) fn members(bits: Bits) -> impl Iterator<Item = u64> + Clone {
    (0..64).filter(move |bit| bits >> bit & 1 == 1)
}
