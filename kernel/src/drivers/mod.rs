//! Drivers of their own crates, given a place in this kernel.

pub mod boards;
pub mod display;
pub mod helpers;
mod ivshmem;
pub mod nvme;
pub mod virtio;
