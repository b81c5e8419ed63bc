//! What becomes of frames that are out when the device is reset, or is out of use; and a turn of the queue.

use super::super::desk::{self, Desk, Mode, Turn, Work};
use super::Body;
use crate::error::{Error, Failure};
use crate::memory::Memory;
use crate::platform::Platform;

fn pieces_of<B>((_, body): &(B, Option<B>)) -> u64 {
    1 + u64::from(body.is_some())
}

impl<P: Platform, B: Memory> Work<P> for Body<P, B> {
    fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        &mut self.desk
    }

    fn clean(&mut self, reason: Failure) {
        self.finish_all(Error::Failed(reason));
    }

    fn end(&mut self, reason: Failure) {
        self.finish_all(Error::Failed(reason));
    }

    fn lose(&mut self) -> u64 {
        let mut lost = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_out) {
            if let Some(memory) = slot.memory.take() {
                lost += pieces_of(&memory);
                core::mem::forget(memory);
            }
        }
        lost
    }

    fn oldest(&self) -> Option<u32> {
        let out = self.slots.iter().filter(|slot| slot.is_out);
        let ages = out.map(|slot| self.desk.scans.wrapping_sub(slot.sent));
        ages.max().map(|age| self.desk.scans.wrapping_sub(age))
    }

    fn held(&self) -> u64 {
        let held = self.slots.iter().filter_map(|slot| slot.memory.as_ref());
        held.map(pieces_of).sum()
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
            self.wake();
        }
        self.desk.found(completed, self.outstanding)
    }
}
