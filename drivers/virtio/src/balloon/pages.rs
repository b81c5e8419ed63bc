//! The numbers of pages that a device is told.

use crate::error::RequestError;
use crate::platform::SharedMemory;
use phyr::Phyr;

/// Bytes of a balloon's page, whatever the machine's have.
pub const PAGE: u64 = 4096;

/// Bytes of the memory in which the numbers are.
pub(super) const BYTES: usize = 4096;

/// Bytes of a number.
const NUMBER: usize = 4;

/// Most pages at once.
pub(super) const MOST: u64 = (BYTES / NUMBER) as u64;

/// RAM that its owner does not need for a while.
///
/// # Safety
///
/// For as long as the value lives, wherever it is moved to, and also if it is never dropped:
///
/// - [`phyr`](Self::phyr) says the same each time;
/// - the memory is RAM of the machine, and belongs to the value alone. Nobody reads or writes it, neither a CPU nor a
///   device, and nobody expects to find there what was there before.
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Surrendered {
    /// Where it is, physically: a balloon knows no bus addresses.
    fn phyr(&self) -> Phyr;
}

/// Numbers of the pages of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    first: u32,
    /// At least one.
    pub(super) count: u32,
}

impl Numbers {
    /// Those of whole pages, not too many at once, and not beyond what 32 bits can say.
    pub(super) fn of(phyr: Phyr) -> Result<Self, RequestError> {
        if !phyr.is_aligned(PAGE) || phyr.len() / PAGE > MOST {
            return Err(RequestError::Length);
        }
        match u32::try_from(phyr.last().get() / PAGE) {
            Ok(last) => Ok(Self {
                first: (phyr.addr().get() / PAGE) as u32,
                count: last - (phyr.addr().get() / PAGE) as u32 + 1,
            }),
            Err(_) => Err(RequestError::OutOfRange),
        }
    }

    /// Writes them down. Returns how many bytes that is.
    pub(super) fn write(self, words: &impl SharedMemory) -> u64 {
        let number = |index: u32| u64::from(self.first.wrapping_add(index));
        for pair in 0..self.count.div_ceil(2) {
            let both = number(2 * pair) | (number(2 * pair + 1) & 0xffff_ffff) << 32;
            words.store64(2 * NUMBER * pair as usize, both);
        }
        u64::from(self.count) * NUMBER as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::PhysAddr;

    fn numbers(start: u64, len: u64) -> Result<Numbers, RequestError> {
        Numbers::of(Phyr::new(PhysAddr::new(start), len).unwrap())
    }

    #[test]
    fn pages_have_numbers_of_32_bits() {
        let (first, count) = (5, 2);
        assert_eq!(numbers(5 * PAGE, 2 * PAGE), Ok(Numbers { first, count }));
        let last = (1 << 44) - PAGE;
        let first = u32::MAX;
        assert_eq!(numbers(last, PAGE), Ok(Numbers { first, count: 1 }));
        assert_eq!(numbers(last, 2 * PAGE), Err(RequestError::OutOfRange));
        assert_eq!(numbers(1 << 44, PAGE), Err(RequestError::OutOfRange));
        for (start, len) in [(1, PAGE), (PAGE, 1), (0, (MOST + 1) * PAGE)] {
            assert_eq!(numbers(start, len), Err(RequestError::Length));
        }
        assert!(numbers(0, MOST * PAGE).is_ok());
    }
}
