//! Tests that need the inside of the crate: the small widths, and spans.
//!
//! - `exhaustive`: every operation on every range of a window of 64 addresses, against
//!   a set of bits.
//! - `wide`: random ranges in the real widths, against 128-bit arithmetic.
//! - `short_lists`: every list of few small ranges, against a sequence of addresses.
//! - `long_lists`: random lists that outgrow their inline part.
//! - `limits`: cutting buffers, against a byte-by-byte reading of the rules.
//! - `blocks`: block sizes that fit, and blocks, against a search.
//! - `addresses`: the address types, and how things print.

mod addresses;
#[cfg(feature = "alloc")]
mod blocks;
mod exhaustive;
#[cfg(feature = "alloc")]
mod limits;
mod long_lists;
mod model;
mod short_lists;
mod wide;
