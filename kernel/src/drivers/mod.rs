//! Drivers of their own crates, given a place in this kernel.

pub(crate) mod boards;
mod ivshmem;
pub mod nvme;
