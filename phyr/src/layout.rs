//! The sizes that the currency promises, checked when the crate is compiled.
//!
//! Linux describes a piece of memory for I/O by a `bio_vec`: a pointer to a page, a
//! length, and an offset in the page. A range that replaces it may not be larger, or
//! nobody who keeps millions of them will take it.

use core::mem::{align_of, size_of};

use crate::{DmaRange, DmaRange32, DmaRangePae, Phyr, Phyr32, PhyrPae};

/// A `bio_vec` on a 64-bit machine.
#[repr(C)]
struct BioVec64 {
    _page: u64,
    _len: u32,
    _offset: u32,
}

/// A `bio_vec` on a 32-bit machine, with or without PAE: the page is a pointer.
#[repr(C)]
struct BioVec32 {
    _page: u32,
    _len: u32,
    _offset: u32,
}

macro_rules! takes {
    ($bytes:literal: $($Range:ty),* ; no more than $BioVec:ty) => {
        $(
            const _: () = assert!(size_of::<$Range>() == $bytes);
            const _: () = assert!(size_of::<Option<$Range>>() == $bytes);
            const _: () = assert!(size_of::<$Range>() <= size_of::<$BioVec>());
        )*
    };
}

// ANCHOR: takes
takes!(16: Phyr, DmaRange; no more than BioVec64);
takes!(12: PhyrPae, DmaRangePae; no more than BioVec32);
takes!(8: Phyr32, DmaRange32; no more than BioVec32);
// ANCHOR_END: takes

const _: () = assert!(size_of::<BioVec64>() == 16 && size_of::<BioVec32>() == 12);
// An array of them has no holes.
const _: () = assert!(align_of::<PhyrPae>() == 4);
