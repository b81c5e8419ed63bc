//! The timer that ends a guest's turn: the core's own, which its executor uses while the core sleeps.

#[cfg(phyros)]
use crate::arch::apic::{self, timer::Rate};
#[cfg(phyros)]
use crate::executor;

/// A core's timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    #[cfg(phyros)]
    rate: Rate,
}

#[cfg(phyros)]
impl Timer {
    /// The timer, if it counts.
    pub(super) fn find() -> Option<Self> {
        apic::timer_rate().map(|rate| Self { rate })
    }

    /// Lets it interrupt the running core after so many microseconds.
    pub(super) fn arm(self, microseconds: u64) {
        apic::local().arm(self.rate.ticks(microseconds));
    }

    /// Gives it back to the executor. It may have interrupted, or may yet.
    pub(super) fn stop(self) {
        apic::local().disarm();
        executor::timer_was_used();
    }
}

/// The host's tests run no guests.
#[cfg(not(phyros))]
impl Timer {
    pub(super) fn find() -> Option<Self> {
        None
    }

    pub(super) fn arm(self, _: u64) {}

    pub(super) fn stop(self) {}
}
