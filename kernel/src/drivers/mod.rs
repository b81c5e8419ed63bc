//! Drivers of their own crates, given a place in this kernel.

pub mod nvme;
pub mod virtio;
