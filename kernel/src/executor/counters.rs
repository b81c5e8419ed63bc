//! What the executors have done, for people and tests to look at.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that one core counts up and any core may read.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Counts. Only the core that owns the number may, so this is no atomic addition.
    #[inline]
    pub(super) fn add(&self, more: u64) {
        let now = self.0.load(Ordering::Relaxed).wrapping_add(more);
        self.0.store(now, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one core, each written by that core alone.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) turns: Count,
    pub(super) polls: Count,
    pub(super) halts: Count,
    pub(super) local_wakes: Count,
    pub(super) remote_wakes: Count,
    pub(super) calls: Count,
    pub(super) failed_calls: Count,
}

/// What a core has done since it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Times it looked at everything: interrupts, timers, pollers, tasks.
    pub turns: u64,
    /// Times it polled a task.
    pub polls: u64,
    /// Times it halted because there was nothing to do.
    pub halts: u64,
    /// Times one of its own tasks was made ready by it.
    pub local_wakes: u64,
    /// Times it made a task of another core ready.
    pub remote_wakes: u64,
    /// Interrupts it sent to other cores that might have been asleep.
    pub calls: u64,
    /// Of these, how many could not be sent.
    pub failed_calls: u64,
}

impl Counters {
    pub(super) fn read(&self) -> Activity {
        Activity {
            turns: self.turns.get(),
            polls: self.polls.get(),
            halts: self.halts.get(),
            local_wakes: self.local_wakes.get(),
            remote_wakes: self.remote_wakes.get(),
            calls: self.calls.get(),
            failed_calls: self.failed_calls.get(),
        }
    }
}
