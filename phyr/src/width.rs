//! How many bytes a range takes: one code base, three layouts.
//!
//! | width | address | length | range | Linux `bio_vec` there |
//! |---|---|---|---|---|
//! | [`Bits64`] | 64 bits | 64 bits | 16 bytes | 16 bytes |
//! | [`Pae`] | 64 bits | 32 bits | 12 bytes | 12 bytes |
//! | [`Bits32`] | 32 bits | 32 bits | 8 bytes | 12 bytes |
//!
//! A width is only a way to store a span, and two limits. The tests use the same code
//! with addresses of 6 bits, where every range there is can be tried.

use core::fmt::Debug;
use core::hash::Hash;
use core::num::NonZero;

use crate::RangeError;
use crate::span::Span;

/// How an entry of this width is laid out. Not nameable outside: the set is closed.
pub trait Layout {
    /// The bytes of one entry.
    type Repr: Copy + Eq + Hash + Debug + Send + Sync + 'static;
    /// Any entry, to fill room that holds none.
    const FILLER: Self::Repr;
    /// The entry for this span, or the limit that it breaks.
    fn pack(span: Span) -> Result<Self::Repr, RangeError>;
    /// The span of this entry.
    fn unpack(repr: Self::Repr) -> Span;
}

/// The width of the addresses and lengths in a range, and so its size.
///
/// The types that have one default to [`Bits64`], and most code never names it.
pub trait Width: Layout + Copy + Eq + Hash + Debug + Send + Sync + 'static {
    /// The highest address.
    const MAX_ADDR: u64;
    /// The most bytes that one range can have.
    const MAX_LEN: u64;
}

macro_rules! width {
    (
        $(#[$doc:meta])* $Width:ident: $(#[$repr:meta])* $Repr:ident { $Addr:ty, $Len:ty },
        max_addr: $max_addr:expr, max_len: $max_len:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $Width;

        /// One entry of this width.
        $(#[$repr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $Repr {
            addr: $Addr,
            len: NonZero<$Len>,
        }

        impl $Repr {
            #[inline]
            pub(crate) const fn pack(span: Span) -> Result<Self, RangeError> {
                if span.last() > $Width::MAX_ADDR {
                    return Err(RangeError::Overflow);
                }
                if span.len() > $Width::MAX_LEN {
                    return Err(RangeError::TooLong);
                }
                // Both casts keep the value: it was just compared with the limits.
                match NonZero::new(span.len() as $Len) {
                    Some(len) => Ok(Self { addr: span.addr() as $Addr, len }),
                    None => Err(RangeError::Empty),
                }
            }

            #[inline]
            pub(crate) const fn addr(self) -> u64 {
                self.addr as u64
            }

            #[inline]
            pub(crate) const fn len(self) -> u64 {
                self.len.get() as u64
            }
        }

        impl Layout for $Width {
            type Repr = $Repr;
            const FILLER: $Repr = $Repr { addr: 0, len: NonZero::<$Len>::MIN };

            #[inline]
            fn pack(span: Span) -> Result<$Repr, RangeError> {
                $Repr::pack(span)
            }

            #[inline]
            fn unpack(repr: $Repr) -> Span {
                Span::stored(repr.addr(), repr.len.into())
            }
        }

        impl Width for $Width {
            const MAX_ADDR: u64 = $max_addr;
            const MAX_LEN: u64 = $max_len;
        }
    };
}

width! {
    /// 64-bit addresses and lengths: 16 bytes. `Option` of it takes no more.
    Bits64: #[repr(C)] Repr64 { u64, u64 },
    max_addr: u64::MAX, max_len: u64::MAX
}

width! {
    /// 64-bit addresses and 32-bit lengths, for 32-bit machines with more than 4 GiB of
    /// address space: 12 bytes.
    Pae: #[repr(C, packed(4))] ReprPae { u64, u32 },
    max_addr: u64::MAX, max_len: u32::MAX as u64
}

width! {
    /// 32-bit addresses and lengths: 8 bytes.
    Bits32: #[repr(C)] Repr32 { u32, u32 },
    max_addr: u32::MAX as u64, max_len: u32::MAX as u64
}

#[cfg(test)]
width! {
    /// 6-bit addresses and lengths, so that all 2079 ranges can be tried. As in 64 bits,
    /// the whole address space is one byte too long.
    Bits6: #[repr(C)] Repr6 { u8, u8 },
    max_addr: 63, max_len: 63
}

#[cfg(test)]
width! {
    /// 6-bit addresses and 3-bit lengths, shaped like [`Pae`].
    Bits6Short: #[repr(C)] Repr6Short { u8, u8 },
    max_addr: 63, max_len: 7
}
