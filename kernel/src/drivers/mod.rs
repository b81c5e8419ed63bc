//! Drivers of their own crates, given a place in this kernel.

pub mod boards;
pub mod display;
mod ivshmem;
pub mod nvme;
pub mod virtio;
