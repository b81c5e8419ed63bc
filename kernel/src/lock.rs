//! The lock of this kernel, which counts.
//!
//! A path that takes no lock can only be shown to take none if whoever takes one leaves a trace. So
//! all mutual exclusion of this crate goes through [`Mutex`], each acquisition is counted, and a test
//! looks at [`taken`] before and after. Locks are for slow paths: a shared counter costs them nothing
//! that the lock does not cost already.
//!
//! What is not counted here:
//!
//! - the lock of the heap, which is taken once for each of [`requests`](crate::memory::heap::requests);
//! - `spin::Once`, which is a load after its first use;
//! - the locks of the driver crates, which count themselves.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::MutexGuard;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// How often any lock was taken since boot, by all cores together.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Counts a lock of another kind.
pub(crate) fn count() {
    TAKEN.fetch_add(1, Ordering::Relaxed);
}

/// Something that one core at a time may use. Others spin.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(spin::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// What it was about, when nobody needs it to be exclusive any more.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else has it. The result gives it back when it is dropped.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        count();
        self.0.lock()
    }

    /// The only owner needs no lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted() {
        let lock = Mutex::new(1);
        let before = taken();
        *lock.lock() += 1;
        assert_eq!(*lock.lock(), 2);
        // Other tests lock, too.
        assert!(taken() >= before + 2);
    }
}
