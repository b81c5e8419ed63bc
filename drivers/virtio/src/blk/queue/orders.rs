//! What a queue does in each turn, and when the device is in trouble.
//!
//! A request has no timer. The queue counts *scans*, some seconds apart, and each command knows
//! before which one it was sent. So a command that has seen sixteen scans has been out for at least
//! fifteen times the pause between two, also if the core was late. Before anything is done about it
//! the ring is looked at once more, because an interrupt may be lost, and the device is notified
//! once more, because a notification may be.
//!
//! When the device has stopped, each command that was out is sent again, or ends with an error if it
//! was sent too often. Every command may be carried out twice without harm.

use super::{Body, Mode, Turn};
use crate::device::SCANS;
use crate::error::{Error, Failure};
use crate::link::Order;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::transport;
use core::sync::atomic::Ordering;

impl<P: Platform, B: Memory> Body<P, B> {
    // ANCHOR: turn
    #[inline]
    pub(super) fn turn(&mut self) -> Turn {
        if self.member.link.pending().is_some() {
            self.obey();
        }
        // First, so that nothing can be used that the device does not know of.
        self.publish();
        let mut completed = self.reap();
        while self.ring.is_spent() && self.mode == Mode::Live {
            self.ring.arm();
            completed += self.reap();
        }
        if !self.waiting.is_empty() {
            self.pump();
            self.publish();
        }
        if !self.room.is_empty() && !self.free.is_empty() {
            self.wake_room();
        }
        Turn {
            completed,
            outstanding: self.outstanding,
            interrupts: self.has_vector,
        }
    }
    // ANCHOR_END: turn

    /// Tells the device of what is in the ring.
    #[inline]
    fn publish(&mut self) {
        // An order that nobody has looked at may be to be silent.
        if self.mode != Mode::Live || self.member.link.pending().is_some() {
            return;
        }
        if self.ring.publish() {
            self.notify();
        }
    }

    #[inline]
    fn notify(&mut self) {
        let queue = self.member.rings.queue;
        transport::notify(&self.shared.platform, self.notify_at, queue);
        self.counters.notifications += 1;
    }

    /// The device is not to be believed, or needs a reset.
    #[cold]
    pub(super) fn trouble(&mut self, failure: Failure) {
        self.mode = Mode::Held;
        self.shared.report(failure);
    }

    /// Does what the recovering core says.
    #[cold]
    fn obey(&mut self) {
        while let Some(pending) = self.member.link.pending() {
            match pending.order() {
                Order::Hold => self.mode = Mode::Held,
                Order::Clean => self.clean(),
                Order::Live => {
                    self.mode = Mode::Live;
                    let at = self.member.notify_at.load(Ordering::Acquire);
                    self.notify_at = at as usize;
                    self.has_vector = self.member.has_vector.load(Ordering::Acquire);
                }
                Order::Dead => {
                    let reason = self.shared.reason();
                    self.mode = Mode::Dead(reason);
                    self.is_lost = false;
                    self.end_all(reason);
                }
                Order::Lost => {
                    let reason = self.shared.reason();
                    self.mode = Mode::Dead(reason);
                    self.is_lost = true;
                    self.lose();
                    self.end_all(reason);
                }
            }
            self.member.link.answer(pending);
            self.shared.nudge();
        }
    }

    /// The device has stopped: takes all commands back, and makes the ring as new.
    fn clean(&mut self) {
        let reason = self.shared.reason();
        self.mode = Mode::Held;
        self.is_lost = false;
        self.outstanding = 0;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if !core::mem::take(&mut slot.is_out) {
                continue;
            }
            let is_wanted = slot
                .active
                .as_ref()
                .is_some_and(|active| !active.is_abandoned);
            if is_wanted && slot.tries < self.shared.options.retries {
                slot.tries += 1;
                self.counters.retries += 1;
                self.waiting.push_back(index as u16);
            } else {
                self.finish(index, Err(Error::Failed(reason)));
            }
        }
        self.counters.resets += 1;
        self.ring.reset();
    }

    /// The device has stopped for good: ends all requests.
    fn end_all(&mut self, reason: Failure) {
        self.outstanding = 0;
        self.waiting.clear();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            slot.is_out = false;
            let Some(active) = slot.active.as_ref().filter(|active| active.over.is_none()) else {
                continue;
            };
            let error = match (active.was_sent, self.is_lost && active.data.is_none()) {
                (true, true) => Error::Lost(reason),
                (true, false) => Error::Failed(reason),
                (false, _) => Error::Dead(reason),
            };
            self.finish(index, Err(error));
        }
        self.wake_room();
    }

    /// The device may go on using memory: keeps for ever what it may use.
    fn lose(&mut self) {
        let mut lost = 0;
        for slot in &mut self.slots {
            if let Some(active) = slot.active.as_mut().filter(|_| slot.is_out) {
                let memory = active.data.take();
                lost += u64::from(memory.is_some());
                core::mem::forget(memory);
            }
        }
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
    }

    pub(super) fn wake_room(&mut self) {
        for waker in self.room.drain(..) {
            waker.wake();
        }
    }

    // ANCHOR: scan
    #[cold]
    pub(super) fn scan(&mut self) -> Turn {
        let turn = self.turn();
        self.scans = self.scans.wrapping_add(1);
        if self.mode != Mode::Live {
            return turn;
        }
        let ages = self.slots.iter().filter(|slot| slot.is_out);
        let ages = ages.map(|slot| self.scans.wrapping_sub(slot.sent));
        match ages.max().unwrap_or(0) {
            age if age > SCANS => self.trouble(Failure::LATE),
            age if age > SCANS / 4 => self.notify(),
            _ => {}
        }
        turn
    }
    // ANCHOR_END: scan
}
