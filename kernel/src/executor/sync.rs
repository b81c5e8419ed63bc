//! The atomics of the parts whose every interleaving is tested: there, loom's stand in their place.

pub(super) use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
