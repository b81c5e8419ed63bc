//! Numbers that everybody may look at while they change.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there have been.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at this moment, and how many there may be.
#[derive(Debug)]
pub struct Gauge {
    now: AtomicU64,
    most: u64,
}

impl Gauge {
    /// None yet, and at most so many.
    pub const fn new(most: u64) -> Self {
        Self {
            now: AtomicU64::new(0),
            most,
        }
    }

    /// One more, until the result is dropped. `None`: there are as many as there may be.
    pub fn enter(&self) -> Option<Entered<'_>> {
        let more = |now: u64| (now < self.most).then_some(now + 1);
        self.now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Entered(self))
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Entered<'g>(&'g Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_enter_than_may() {
        let gauge = Gauge::new(2);
        let (first, second) = (gauge.enter(), gauge.enter());
        assert!(first.is_some() && second.is_some() && gauge.enter().is_none());
        drop(first);
        assert_eq!(gauge.get(), 1);
        assert!(gauge.enter().is_some());
    }
}
