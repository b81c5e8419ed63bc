//! [`Phyr`] and [`DmaRange`]: an address and a length, and nothing else.
//!
//! Both come out of one macro and share their arithmetic, but neither converts into
//! the other. What the type says beyond its two numbers is in whose address space
//! they are.

use core::fmt;

use crate::span::{Pieces, Span};
use crate::width::{Bits32, Bits64, Pae, Width};
use crate::{DmaAddr, PhysAddr, RangeError};

macro_rules! range {
    ($(#[$doc:meta])* $Range:ident, $Addr:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $Range<W: Width = Bits64> {
            repr: W::Repr,
        }

        /// Only the default width has constructors, so that they need no annotation.
        /// [`to_width`](Self::to_width) makes the others.
        impl $Range {
            /// The `len` bytes from `addr` on.
            ///
            /// # Errors
            ///
            /// [`RangeError::Empty`] if `len` is 0, [`RangeError::Overflow`] if the range
            /// runs past the top of the address space. It may end there.
            #[inline]
            pub const fn new(addr: $Addr, len: u64) -> Result<Self, RangeError> {
                Self::pack(Span::new(addr.get(), len))
            }

            /// All bytes from `first` to `last`, both included.
            ///
            /// # Errors
            ///
            /// [`RangeError::Reversed`] if `last` lies below `first`,
            /// [`RangeError::TooLong`] if this is the whole address space.
            #[inline]
            pub const fn from_inclusive(first: $Addr, last: $Addr) -> Result<Self, RangeError> {
                Self::pack(Span::from_inclusive(first.get(), last.get()))
            }

            #[inline]
            const fn pack(span: Result<Span, RangeError>) -> Result<Self, RangeError> {
                match span {
                    Ok(span) => match crate::width::Repr64::pack(span) {
                        Ok(repr) => Ok(Self { repr }),
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error),
                }
            }
        }

        impl<W: Width> $Range<W> {
            pub(crate) fn from_span(span: Span) -> Result<Self, RangeError> {
                W::pack(span).map(|repr| Self { repr })
            }

            pub(crate) const fn from_repr(repr: W::Repr) -> Self {
                Self { repr }
            }

            pub(crate) const fn repr(self) -> W::Repr {
                self.repr
            }

            pub(crate) fn span(self) -> Span {
                W::unpack(self.repr)
            }

            /// Packs what may be nothing. A part of a range always fits its width.
            fn part(span: Option<Span>) -> Option<Self> {
                Self::from_span(span?).ok()
            }

            fn parts(pieces: Pieces) -> impl Iterator<Item = Self> + Clone + fmt::Debug {
                pieces.map_while(|span| Self::from_span(span).ok())
            }

            /// The same range in another width.
            ///
            /// # Errors
            ///
            /// [`RangeError::Overflow`] if it lies too high for the other width's
            /// addresses, [`RangeError::TooLong`] if it is too long for its lengths.
            pub fn to_width<V: Width>(self) -> Result<$Range<V>, RangeError> {
                $Range::from_span(self.span())
            }

            /// The part of `len` bytes that begins `offset` bytes in.
            ///
            /// `None` if it is empty or does not lie inside.
            #[must_use]
            #[inline]
            pub fn sub(self, offset: u64, len: u64) -> Option<Self> {
                Self::part(self.span().sub(offset, len))
            }

            /// The first `offset` bytes, and the rest.
            ///
            /// `None` if one of the two would be empty.
            #[must_use]
            pub fn split_at(self, offset: u64) -> Option<(Self, Self)> {
                let (head, tail) = self.span().split_at(offset)?;
                Some((Self::part(Some(head))?, Self::part(Some(tail))?))
            }

            /// Both as one, if `next` starts on the byte behind this range.
            ///
            /// # Errors
            ///
            /// Both ranges come back as they were if they do not touch in this order, or
            /// if one length field cannot hold their sum.
            pub fn try_merge(self, next: Self) -> Result<Self, (Self, Self)> {
                Self::part(self.span().merge(next.span())).ok_or((self, next))
            }

            /// The bytes that are in both; `None` if there are none.
            #[must_use]
            pub fn intersect(self, other: Self) -> Option<Self> {
                Self::part(self.span().intersect(other.span()))
            }

            /// Whether every byte of `other` is in this range.
            #[must_use]
            pub fn contains(self, other: Self) -> bool {
                self.span().contains(other.span())
            }

            /// Whether the byte at `addr` is in this range.
            #[must_use]
            pub fn contains_addr(self, addr: $Addr) -> bool {
                self.span().contains_addr(addr.get())
            }

            /// Whether any byte is in both.
            #[must_use]
            pub fn overlaps(self, other: Self) -> bool {
                self.span().overlaps(other.span())
            }

            /// Whether the range consists of whole blocks of `align` bytes: its address
            /// and its length are multiples of it.
            ///
            /// False if `align` is not a power of two.
            #[must_use]
            pub fn is_aligned(self, align: u64) -> bool {
                self.span().is_aligned(align)
            }

            /// The whole blocks of `align` bytes inside this range.
            ///
            /// `None` if there are none, or if `align` is not a power of two.
            #[must_use]
            pub fn align_inner(self, align: u64) -> Option<Self> {
                Self::part(self.span().align_inner(align))
            }

            /// The whole blocks of `align` bytes that this range touches.
            ///
            /// `None` if they are no range of this width (they are too long, or run past
            /// its last address), or if `align` is not a power of two.
            #[must_use]
            pub fn align_outer(self, align: u64) -> Option<Self> {
                Self::part(self.span().align_outer(align))
            }

            /// The range in pieces of at most `max` bytes, in order.
            ///
            /// All are `max` bytes long except the last, which may be shorter. With a
            /// `max` of 0 there are none, for no piece is empty; where a device says 0
            /// for "no limit", give `u64::MAX`.
            pub fn chunks(self, max: u64) -> impl Iterator<Item = Self> + Clone + fmt::Debug {
                Self::parts(self.span().pieces(max, 0))
            }

            /// The range in pieces that cross no multiple of `boundary`, in order.
            ///
            /// The first and the last may be shorter than `boundary`, which need not be a
            /// power of two. With a `boundary` of 0 the range stays whole.
            pub fn split_boundary(
                self,
                boundary: u64,
            ) -> impl Iterator<Item = Self> + Clone + fmt::Debug {
                Self::parts(self.span().pieces(u64::MAX, boundary))
            }

            /// The whole pages inside this range, one by one.
            ///
            /// What does not fill a page is left out: see [`is_aligned`](Self::is_aligned),
            /// or use [`split_boundary`](Self::split_boundary), which leaves out nothing.
            /// There are no pages of a size that is not a power of two.
            pub fn pages(self, page_size: u64) -> impl Iterator<Item = Self> + Clone + fmt::Debug {
                Self::parts(match self.span().align_inner(page_size) {
                    Some(inner) => inner.pieces(page_size, 0),
                    None => Pieces::NONE,
                })
            }
        }

        impl<W: Width> fmt::Debug for $Range<W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let span = self.span();
                write!(f, "[{:#x}..={:#x}]", span.addr(), span.last())
            }
        }

        impl<W: Width> fmt::Display for $Range<W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }

        read_in_const!($Range, $Addr: Bits64, Pae, Bits32);
        #[cfg(test)]
        read_in_const!($Range, $Addr: crate::width::Bits6, crate::width::Bits6Short);
    };
}

// A `const fn` cannot call a trait's methods, so these three are written out per width.
macro_rules! read_in_const {
    ($Range:ident, $Addr:ident: $($Width:ty),*) => { $(
        // Not a container: `is_empty` would always be false.
        #[allow(clippy::len_without_is_empty)]
        impl $Range<$Width> {
            /// The address of the first byte.
            #[must_use]
            #[inline]
            pub const fn addr(self) -> $Addr {
                $Addr::new(self.repr.addr())
            }

            /// How many bytes the range has. Never 0.
            #[must_use]
            #[inline]
            pub const fn len(self) -> u64 {
                self.repr.len()
            }

            /// The address of the last byte, which is part of the range.
            #[must_use]
            #[inline]
            pub const fn last(self) -> $Addr {
                $Addr::new(self.repr.addr() + (self.repr.len() - 1))
            }
        }
    )* };
}

range! {
    /// A physical range, said "fire": where some memory is, as the CPU sees it.
    ///
    /// It describes memory and gives no rights to it. The [crate's page](crate) says what
    /// holding one tells you.
    ///
    /// ```
    /// use phyr::{PhysAddr, Phyr, RangeError};
    ///
    /// let page = Phyr::new(PhysAddr::new(0x1000), 0x1000)?;
    /// assert_eq!(page.last(), PhysAddr::new(0x1fff));
    ///
    /// let (head, tail) = page.split_at(0x200).ok_or(RangeError::Empty)?;
    /// assert_eq!(head.try_merge(tail), Ok(page));
    /// // In the other order they do not touch, and both come back.
    /// assert_eq!(tail.try_merge(head), Err((tail, head)));
    ///
    /// // Of these three bytes, two would be past the top of the address space.
    /// let top = PhysAddr::new(u64::MAX);
    /// assert_eq!(Phyr::new(top, 3), Err(RangeError::Overflow));
    /// assert_eq!(Phyr::new(top, 1)?.last(), top);
    /// # Ok::<(), RangeError>(())
    /// ```
    ///
    /// A phyr is no bus range:
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaRange, Phyr};
    /// fn d2_a_phyr_is_no_bus_range(phyr: Phyr) -> DmaRange {
    ///     phyr
    /// }
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use phyr::{DmaRange, Phyr, PhysAddr};
    /// let phyr = Phyr::new(PhysAddr::new(0x1000), 0x1000).unwrap();
    /// let range: DmaRange = phyr.into();
    /// ```
    ///
    /// and takes no bus address:
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaAddr, Phyr};
    /// let phyr = Phyr::new(DmaAddr::new(0x1000), 0x1000);
    /// ```
    ///
    /// Its fields are private, so there is no way to it but by the rules:
    ///
    /// ```compile_fail,E0451
    /// # use phyr::Phyr;
    /// let phyr: Phyr = Phyr { repr: panic!() };
    /// ```
    ///
    /// It has no operators either:
    ///
    /// ```compile_fail,E0369
    /// # use phyr::{Phyr, PhysAddr};
    /// let phyr = Phyr::new(PhysAddr::new(0x1000), 0x1000).unwrap();
    /// let next = phyr + 0x1000;
    /// ```
    Phyr, PhysAddr
}

range! {
    /// A range on the bus: where a device finds some memory when it does DMA.
    ///
    /// It can do what a [`Phyr`] can, in the other address space, and is no `Phyr`:
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaAddr, DmaRange, Phyr};
    /// let range = DmaRange::new(DmaAddr::new(0x1000), 0x1000).unwrap();
    /// let phyr: Phyr = range;
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use phyr::{DmaRange, Phyr};
    /// fn d18_a_bus_range_does_not_become_a_phyr(range: DmaRange) -> Phyr {
    ///     range.into()
    /// }
    /// ```
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaRange, PhysAddr};
    /// let range = DmaRange::new(PhysAddr::new(0x1000), 0x1000);
    /// ```
    DmaRange, DmaAddr
}

impl<W: Width> Phyr<W> {
    /// The bus range with the same numbers.
    ///
    /// For the DMA layer only, and there for the one case that costs nothing: a device that sees all
    /// memory where the CPU does. [`PhyrList::map_to_bus`](crate::PhyrList::map_to_bus) is for all others.
    #[must_use]
    #[inline]
    pub const fn to_same_bus_range(self) -> DmaRange<W> {
        DmaRange { repr: self.repr }
    }
}

/// A physical range in 12 bytes, for 32-bit machines with 64-bit physical addresses.
pub type PhyrPae = Phyr<Pae>;
/// A physical range in 8 bytes, for 32-bit machines.
pub type Phyr32 = Phyr<Bits32>;
/// A bus range in 12 bytes.
pub type DmaRangePae = DmaRange<Pae>;
/// A bus range in 8 bytes.
pub type DmaRange32 = DmaRange<Bits32>;
