//! The page tables.

mod adoption;
mod leaves;
mod machine;
mod model;
mod nested;
mod refusals;
mod splits;
mod translation;
mod users;
mod walker;

use kernel::memory::virt::{VirtAddr, VirtRange};

const KIB_4: u64 = 4 << 10;
const MIB_2: u64 = 2 << 20;
const GIB_1: u64 = 1 << 30;

/// An address from a number.
fn virt(addr: u64) -> VirtAddr {
    VirtAddr::new(addr).unwrap()
}

/// A range from numbers.
fn range(addr: u64, len: u64) -> VirtRange {
    VirtRange::new(virt(addr), len).unwrap()
}
