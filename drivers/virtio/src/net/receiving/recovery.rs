//! What becomes of memory that lies ready when the device is reset, or is out of use; and a turn of the queue.

use super::super::desk::{self, Desk, Mode, Turn, Work};
use super::{Body, Landing};
use crate::error::Failure;
use crate::platform::Platform;

impl<P: Platform, B: Landing> Work<P> for Body<P, B> {
    fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        &mut self.desk
    }

    /// Frames that were not taken yet are lost, and their memory lies ready again, with all other.
    fn clean(&mut self, _: Failure) {
        self.arrived.clear();
        self.outstanding = 0;
        if let Some(partial) = self.partial.take() {
            self.broken = Some(partial.frame);
        }
        for number in 0..self.slots.len() as u16 {
            if self.slots[usize::from(number)].buffer.is_some() {
                self.offer(number);
            }
        }
        self.wake();
    }

    fn end(&mut self, _: Failure) {
        self.arrived.clear();
        self.outstanding = 0;
        self.partial = None;
        self.broken = None;
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            slot.is_out = false;
            if slot.buffer.take().is_some() {
                self.free.push(number as u16);
            }
        }
        self.wake();
    }

    fn lose(&mut self) -> u64 {
        let mut lost = 0;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if !core::mem::take(&mut slot.is_out) {
                continue;
            }
            if let Some(buffer) = slot.buffer.take() {
                core::mem::forget(buffer);
                self.free.push(number as u16);
                lost += 1;
            }
        }
        lost
    }

    fn oldest(&self) -> Option<u32> {
        self.partial.as_ref().map(|partial| partial.since)
    }

    fn held(&self) -> u64 {
        let held = self.slots.iter().filter(|slot| slot.buffer.is_some());
        held.count() as u64
    }

    #[inline]
    fn turn(&mut self) -> Turn {
        desk::obey(self);
        // First, so that nothing can be used that the device does not know of.
        self.desk.publish();
        let mut completed = self.reap();
        while self.desk.ring.is_spent() && self.desk.mode == Mode::Live {
            self.desk.ring.arm();
            completed += self.reap();
        }
        if completed > 0 {
            self.is_busy = true;
            self.wake();
        }
        self.desk.found(completed, self.outstanding)
    }
}
