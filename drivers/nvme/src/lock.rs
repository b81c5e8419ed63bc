//! The lock of this driver, which counts.
//!
//! There are locks for set-up, administration and trouble, and none on the way of a request. For a
//! promise like that to be shown, each acquisition is counted, and a test of the system looks at
//! [`taken`] before and after a million requests.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::MutexGuard;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// How often any lock of this driver was taken so far, of all controllers and by all cores together.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Something that one core at a time may use. Others spin.
pub struct Mutex<T>(spin::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Waits until nobody else has it. The result gives it back when it is dropped.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        self.0.lock()
    }

    /// The only owner needs no lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
