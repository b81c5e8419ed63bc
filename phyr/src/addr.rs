//! Addresses: what the CPU puts on its memory bus, and what a device does.
//!
//! Both are 64-bit numbers, and on a simple machine the numbers are equal. That is
//! the trap: code that mixes them works until an IOMMU or a bus offset comes along,
//! and then a device writes into memory that nobody gave it. So they are two types.
//!
//! - Neither converts into the other. Only the DMA layer makes a bus address.
//! - Neither has arithmetic operators. Every step is checked and says when it fails.
//! - No value is special. Address 0 is memory like any other.

use core::fmt;

/// The low bits that an address aligned to `align` leaves clear; `None` unless
/// `align` is a power of two.
#[inline]
pub(crate) const fn low_bits(align: u64) -> Option<u64> {
    if align.is_power_of_two() {
        Some(align - 1)
    } else {
        None
    }
}

macro_rules! address {
    ($(#[$doc:meta])* $Addr:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $Addr(u64);

        impl $Addr {
            /// The address with this number.
            #[must_use]
            #[inline]
            pub const fn new(addr: u64) -> Self {
                Self(addr)
            }

            /// The number of this address.
            #[must_use]
            #[inline]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The address `bytes` further up; `None` past the top of the address space.
            #[must_use]
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(addr) => Some(Self(addr)),
                    None => None,
                }
            }

            /// The address `bytes` further down; `None` below zero.
            #[must_use]
            #[inline]
            pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
                match self.0.checked_sub(bytes) {
                    Some(addr) => Some(Self(addr)),
                    None => None,
                }
            }

            /// How many bytes this address lies above `base`; `None` if it lies below.
            #[must_use]
            #[inline]
            pub const fn offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }

            /// Whether the address is a multiple of `align` bytes.
            ///
            /// False if `align` is not a power of two.
            #[must_use]
            #[inline]
            pub const fn is_aligned(self, align: u64) -> bool {
                match low_bits(align) {
                    Some(low) => self.0 & low == 0,
                    None => false,
                }
            }

            /// The nearest multiple of `align` bytes at or below this address.
            ///
            /// An `align` that is not a power of two changes nothing; the result is
            /// then [not aligned](Self::is_aligned) either.
            #[must_use]
            #[inline]
            pub const fn align_down(self, align: u64) -> Self {
                match low_bits(align) {
                    Some(low) => Self(self.0 & !low),
                    None => self,
                }
            }

            /// The nearest multiple of `align` bytes at or above this address.
            ///
            /// `None` if that lies past the top of the address space, or if `align` is
            /// not a power of two.
            #[must_use]
            #[inline]
            pub const fn align_up(self, align: u64) -> Option<Self> {
                match low_bits(align) {
                    Some(low) => match self.0.checked_add(low) {
                        Some(addr) => Some(Self(addr & !low)),
                        None => None,
                    },
                    None => None,
                }
            }
        }

        impl fmt::Debug for $Addr {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Display for $Addr {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// A physical address, as the CPU sees it.
    ///
    /// It has no operators, and it is no [`DmaAddr`].
    ///
    /// ```
    /// use phyr::PhysAddr;
    ///
    /// let addr = PhysAddr::new(0x1234);
    /// assert_eq!(addr.checked_add(0x10), Some(PhysAddr::new(0x1244)));
    /// assert_eq!(addr.align_up(0x1000), Some(PhysAddr::new(0x2000)));
    /// assert_eq!(PhysAddr::new(u64::MAX).checked_add(1), None);
    /// ```
    ///
    /// ```compile_fail,E0369
    /// # use phyr::PhysAddr;
    /// let next = PhysAddr::new(0x1234) + 0x10; // may wrap: use `checked_add`
    /// ```
    ///
    /// ```compile_fail,E0369
    /// # use phyr::PhysAddr;
    /// let distance = PhysAddr::new(0x2000) - PhysAddr::new(0x1000); // use `offset_from`
    /// ```
    PhysAddr
}

address! {
    /// A bus address, as a device sees it when it does DMA.
    ///
    /// It has no operators, and it is no [`PhysAddr`]: the two numbers may differ by a
    /// bus offset or by whatever an IOMMU was told.
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaAddr, PhysAddr};
    /// let addr: DmaAddr = PhysAddr::new(0x1000);
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use phyr::{DmaAddr, PhysAddr};
    /// let addr: DmaAddr = PhysAddr::new(0x1000).into();
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use phyr::{DmaAddr, PhysAddr};
    /// let addr: PhysAddr = DmaAddr::new(0x1000).into();
    /// ```
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaAddr, PhysAddr};
    /// let same = PhysAddr::new(0x1000) == DmaAddr::new(0x1000);
    /// ```
    ///
    /// ```compile_fail,E0369
    /// # use phyr::DmaAddr;
    /// let next = DmaAddr::new(0x1000) + 0x10;
    /// ```
    DmaAddr
}
