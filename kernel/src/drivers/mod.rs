//! Drivers of their own crates, given a place in this kernel.

mod audience;
pub mod boards;
pub mod display;
pub mod helpers;
mod ivshmem;
pub mod nvme;
pub mod virtio;

/// The atomics and the lock of what `kernel/tests/bells.rs` tries in all orders.
mod sync {
    pub(super) use crate::lock::Mutex;
    pub(super) use core::sync::atomic::{AtomicU32, Ordering};
}
