//! Virtual addresses and ranges of them.
//!
//! An x86-64 CPU with 4-level paging translates 48 bits; bits 63..48 must repeat bit 47 (Intel SDM
//! vol. 1, §3.3.7.1). The addresses that do are *canonical*; between the two halves of the
//! canonical space lies a hole that nothing can be mapped into. These types make both facts
//! impossible to forget.
//!
//! Holding a [`VirtAddr`] tells you: it is canonical.
//!
//! Holding a [`VirtRange`] tells you:
//! - it is not empty;
//! - it lies in one half: every address in it is canonical, none is in the hole;
//! - its end is computed without overflow, because [`last`](VirtRange::last) is inclusive.

use core::fmt;
use core::num::NonZeroU64;

/// How many low bits of a virtual address are translated; the rest repeat the highest of them.
const TRANSLATED_BITS: u32 = 48;

/// How many bytes each half of the address space has.
const HALF: u64 = 1 << (TRANSLATED_BITS - 1);

/// A canonical virtual address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// The address `addr`, unless it lies in the hole.
    pub const fn new(addr: u64) -> Result<Self, VirtError> {
        if Self::sign_extended(addr) == addr {
            Ok(Self(addr))
        } else {
            Err(VirtError::NonCanonical(addr))
        }
    }

    /// Where `pointer` points. A pointer that can be dereferenced is canonical; of another the
    /// upper bits are replaced by what the CPU would demand.
    #[must_use]
    pub fn of<T: ?Sized>(pointer: *const T) -> Self {
        Self(Self::sign_extended(
            pointer.cast::<u8>().expose_provenance() as u64,
        ))
    }

    const fn sign_extended(addr: u64) -> u64 {
        const UNUSED: u32 = u64::BITS - TRANSLATED_BITS;
        ((addr << UNUSED) as i64 >> UNUSED) as u64
    }

    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further up, unless that is beyond the half this one lies in.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match VirtRange::new(self, bytes) {
            // The range ends one below the sum; the sum must still be in the same half.
            Ok(range) => match range.last().0.checked_add(1) {
                Some(end) if Self::sign_extended(end) == end => Some(Self(end)),
                _ => None,
            },
            Err(VirtError::Empty) => Some(self),
            Err(_) => None,
        }
    }

    /// How far this address is above `base`, if it is not below it.
    #[must_use]
    pub const fn offset_from(self, base: Self) -> Option<u64> {
        self.0.checked_sub(base.0)
    }

    /// Whether this is a multiple of `align`, which must be a power of two (else: no).
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        align.is_power_of_two() && self.0 & (align - 1) == 0
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A virtual address and a length in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VirtRange {
    start: VirtAddr,
    len: NonZeroU64,
}

impl VirtRange {
    /// All addresses below the hole.
    pub const LOWER_HALF: Self = Self::half(0);
    /// All addresses above the hole.
    pub const UPPER_HALF: Self = Self::half(HALF.wrapping_neg());

    const fn half(start: u64) -> Self {
        Self {
            start: VirtAddr(start),
            len: NonZeroU64::new(HALF).expect("a half has bytes"),
        }
    }

    /// The `len` bytes from `start` on.
    pub const fn new(start: VirtAddr, len: u64) -> Result<Self, VirtError> {
        let Some(len) = NonZeroU64::new(len) else {
            return Err(VirtError::Empty);
        };
        // Both halves are `HALF` bytes long and start at a multiple of it.
        let offset = start.0 & (HALF - 1);
        if len.get() <= HALF - offset {
            Ok(Self { start, len })
        } else {
            Err(VirtError::LeavesHalf { start, len })
        }
    }

    /// The bytes of `value`, if it has any.
    #[must_use]
    pub fn of<T: ?Sized>(value: &T) -> Option<Self> {
        Self::new(VirtAddr::of(value), size_of_val(value) as u64).ok()
    }

    /// The first address.
    #[must_use]
    pub const fn start(self) -> VirtAddr {
        self.start
    }

    /// The length in bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.len.get()
    }

    /// The last address that belongs to the range.
    #[must_use]
    pub const fn last(self) -> VirtAddr {
        VirtAddr(self.start.0 + (self.len.get() - 1))
    }

    /// Whether both ends lie on a multiple of `align`, a power of two.
    #[must_use]
    pub const fn is_aligned(self, align: u64) -> bool {
        self.start.is_aligned(align) && self.len.get() & (align - 1) == 0
    }

    /// Whether all of `other` lies in this range.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start.0 <= other.start.0 && other.last().0 <= self.last().0
    }

    /// What both ranges have.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        let start = self.start.0.max(other.start.0);
        let last = self.last().0.min(other.last().0);
        let len = last.checked_sub(start)?.checked_add(1)?;
        // Both ends lie in one of them, so they are in the same half.
        Self::new(VirtAddr(start), len).ok()
    }

    /// The first `len` bytes, if the range has so many (and `len` is not 0).
    #[must_use]
    pub const fn prefix(self, len: u64) -> Option<Self> {
        match NonZeroU64::new(len) {
            Some(len) if len.get() <= self.len.get() => Some(Self {
                start: self.start,
                len,
            }),
            _ => None,
        }
    }

    /// What is left without the first `len` bytes; nothing if that is all of them.
    #[must_use]
    pub const fn without_prefix(self, len: u64) -> Option<Self> {
        match NonZeroU64::new(self.len.get().saturating_sub(len)) {
            Some(rest) => Some(Self {
                start: VirtAddr(self.start.0 + len),
                len: rest,
            }),
            None => None,
        }
    }

    /// The range in pieces, cut at the multiples of `boundary`, a power of two.
    #[must_use]
    pub fn split_boundary(self, boundary: u64) -> Pieces {
        debug_assert!(boundary.is_power_of_two());
        Pieces {
            rest: Some(self),
            boundary,
        }
    }
}

impl fmt::Debug for VirtRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:#x}..={:#x}]", self.start.0, self.last().0)
    }
}

impl fmt::Display for VirtRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// See [`VirtRange::split_boundary`].
#[derive(Clone, Debug)]
pub struct Pieces {
    rest: Option<VirtRange>,
    boundary: u64,
}

impl Iterator for Pieces {
    type Item = VirtRange;

    fn next(&mut self) -> Option<VirtRange> {
        let rest = self.rest?;
        let room = self.boundary - (rest.start.0 & (self.boundary - 1));
        self.rest = rest.without_prefix(room);
        Some(rest.prefix(room).unwrap_or(rest))
    }
}

/// Why a number is no virtual address, or an address and a length no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtError {
    /// Bits 63..48 do not repeat bit 47: the address lies in the hole.
    NonCanonical(u64),
    /// A range has at least one byte.
    Empty,
    /// The range would run into the canonical hole, or over the top of the address space.
    LeavesHalf {
        /// Where it would have started.
        start: VirtAddr,
        /// The length that is too much.
        len: NonZeroU64,
    },
}

impl fmt::Display for VirtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonCanonical(addr) => write!(f, "virtual address {addr:#x} is not canonical"),
            Self::Empty => f.write_str("a virtual range has at least one byte"),
            Self::LeavesHalf { start, len } => {
                write!(
                    f,
                    "{len:#x} bytes from {start} on leave their half of the virtual address space"
                )
            }
        }
    }
}

impl core::error::Error for VirtError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(addr: u64) -> VirtAddr {
        VirtAddr::new(addr).unwrap()
    }

    #[test]
    fn the_hole_holds_no_address() {
        for canonical in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
            assert_eq!(addr(canonical).get(), canonical);
        }
        for hole in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63, 1 << 48] {
            assert_eq!(VirtAddr::new(hole), Err(VirtError::NonCanonical(hole)));
        }
    }

    #[test]
    fn a_range_stays_in_its_half() {
        let below_hole = addr(0x7fff_ffff_f000);
        assert_eq!(
            VirtRange::new(below_hole, 0x1000).unwrap().last(),
            addr(0x7fff_ffff_ffff)
        );
        assert!(matches!(
            VirtRange::new(below_hole, 0x1001),
            Err(VirtError::LeavesHalf { .. })
        ));
        assert!(matches!(
            VirtRange::new(below_hole, u64::MAX),
            Err(VirtError::LeavesHalf { .. })
        ));
        let top = addr(u64::MAX - 0xfff);
        assert_eq!(VirtRange::new(top, 0x1000).unwrap().last(), addr(u64::MAX));
        assert!(VirtRange::new(top, 0x1001).is_err());
        assert_eq!(VirtRange::new(top, 0), Err(VirtError::Empty));
        assert_eq!(VirtRange::LOWER_HALF.last(), addr(0x7fff_ffff_ffff));
        assert_eq!(VirtRange::UPPER_HALF.last(), addr(u64::MAX));
    }

    #[test]
    fn addition_never_jumps_the_hole() {
        assert_eq!(addr(0x1000).checked_add(0), Some(addr(0x1000)));
        assert_eq!(addr(0x1000).checked_add(0xfff), Some(addr(0x1fff)));
        assert_eq!(
            addr(0x7fff_ffff_f000).checked_add(0xfff),
            Some(addr(0x7fff_ffff_ffff))
        );
        assert_eq!(addr(0x7fff_ffff_f000).checked_add(0x1000), None);
        assert_eq!(addr(0x1000).checked_add(0xffff_8000_0000_0000), None);
        assert_eq!(addr(u64::MAX).checked_add(1), None);
    }

    #[test]
    fn pieces_are_cut_at_boundaries_and_nowhere_else() {
        let pieces = |start, len, boundary| -> Vec<(u64, u64)> {
            let range = VirtRange::new(addr(start), len).unwrap();
            range
                .split_boundary(boundary)
                .map(|p| (p.start().get(), p.len()))
                .collect()
        };
        assert_eq!(
            pieces(0x1800, 0x1000, 0x1000),
            [(0x1800, 0x800), (0x2000, 0x800)]
        );
        assert_eq!(pieces(0x1000, 0x1000, 0x1000), [(0x1000, 0x1000)]);
        assert_eq!(pieces(0x1234, 1, 0x1000), [(0x1234, 1)]);
        assert_eq!(
            pieces(u64::MAX - 0x17ff, 0x1800, 0x1000),
            [(u64::MAX - 0x17ff, 0x800), (u64::MAX - 0xfff, 0x1000)]
        );
    }
}
