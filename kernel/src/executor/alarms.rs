//! The timers of one core, as its executor sees them.
//!
//! While the core is busy it looks at its clock once a turn. When it halts, its APIC's timer is
//! armed for the next alarm, unless it already is.

use crate::time::{Key, Queue};
use core::cell::{Cell, RefCell};
use core::task::Waker;

/// The alarms of one core.
pub(super) struct Alarms {
    queue: RefCell<Queue>,
    /// The earliest alarm, or [`u64::MAX`]: the queue's own answer, without a borrow.
    next: Cell<u64>,
    /// The alarm that the APIC's timer is armed for.
    armed: Cell<Option<u64>>,
    /// What time it is. On the host it is always as late as somebody waited for, and no later: tests
    /// that sleep take no time, and do not depend on any.
    #[cfg(not(phyros))]
    time: Cell<u64>,
}

impl Alarms {
    pub(super) const fn new() -> Self {
        Self {
            queue: RefCell::new(Queue::new()),
            next: Cell::new(u64::MAX),
            armed: Cell::new(None),
            #[cfg(not(phyros))]
            time: Cell::new(0),
        }
    }

    #[cfg(phyros)]
    #[inline]
    pub(super) fn now(&self) -> u64 {
        crate::time::microseconds()
    }

    #[cfg(not(phyros))]
    pub(super) fn now(&self) -> u64 {
        self.time.get()
    }

    /// Lets the time of the host's tests go on to the next alarm. `false`: there is none.
    #[cfg(not(phyros))]
    pub(super) fn skip(&self) -> bool {
        let next = self.next.get();
        if next < u64::MAX {
            self.time.set(next.max(self.time.get()));
        }
        next < u64::MAX
    }

    pub(super) fn add(&self, at: u64, waker: &Waker) {
        let mut queue = self.queue.borrow_mut();
        queue.add(at, waker);
        self.next.set(queue.next());
    }

    /// Forgets the alarms of a waker.
    #[inline]
    pub(super) fn forget(&self, key: Key) {
        if self.next.get() != u64::MAX {
            self.forget_one(key);
        }
    }

    fn forget_one(&self, key: Key) {
        let mut queue = self.queue.borrow_mut();
        let waker = queue.forget(key);
        self.next.set(queue.next());
        // Dropping it may be the end of its task, which may have things to say to the queue.
        drop(queue);
        drop(waker);
    }

    /// Wakes whose time has come. Returns whether there was any.
    #[inline]
    pub(super) fn ring(&self) -> bool {
        self.next.get() != u64::MAX && self.ring_until(self.now())
    }

    fn ring_until(&self, now: u64) -> bool {
        let mut any = false;
        while self.next.get() <= now {
            let mut queue = self.queue.borrow_mut();
            let waker = queue.expired(now);
            self.next.set(queue.next());
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
                any = true;
            }
        }
        any
    }

    /// The timer has raised its vector: it is no longer armed.
    #[cfg(phyros)]
    #[inline]
    pub(super) fn disarmed(&self) {
        self.armed.set(None);
    }

    /// Sees to it that an interrupt comes after so many microseconds, or at the next alarm if that is
    /// earlier. `false`: there is no timer to do that.
    #[cfg(phyros)]
    pub(super) fn arm_within(&self, microseconds: u64) -> bool {
        use crate::arch::apic;
        let Some(rate) = apic::timer_rate() else {
            return false;
        };
        let alarm = self.next.get().saturating_sub(self.now());
        apic::local().arm(rate.ticks(microseconds.min(alarm)));
        // When the core halts, the timer is armed anew.
        self.armed.set(None);
        true
    }

    /// Sees to it that an interrupt comes at the next alarm, if there is one. `false`: it is due, or there
    /// is no timer to do that, so the core must not halt.
    #[cfg(phyros)]
    pub(super) fn arm(&self) -> bool {
        use crate::arch::apic;
        let next = self.next.get();
        if next == u64::MAX || self.armed.get() == Some(next) {
            return true;
        }
        let Some(wait) = next.checked_sub(self.now()).filter(|wait| *wait > 0) else {
            return false;
        };
        let Some(rate) = apic::timer_rate() else {
            return false;
        };
        // More than the timer can count: it rings early, and is armed again.
        apic::local().arm(rate.ticks(wait));
        self.armed.set(Some(next));
        true
    }
}
