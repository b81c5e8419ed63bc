//! The lock of this driver, which counts.
//!
//! Locks are for set-up and trouble, and there is none on the way of a request. A test of the
//! system shows it by [`taken`], before and after a stream of requests.

use core::sync::atomic::{AtomicU64, Ordering};
use spin::MutexGuard;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// How often any lock of this driver was taken so far, of all devices and by all cores together.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Something that one core at a time may use. Others spin.
#[derive(Default)]
pub(crate) struct Mutex<T>(spin::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Waits until nobody else has it. The result gives it back when it is dropped.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        self.0.lock()
    }
}
