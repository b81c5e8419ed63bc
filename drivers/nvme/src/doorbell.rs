//! How a queue pair tells the device of its new tail and its new head: by doorbell registers,
//! or by words in memory (NVMe base specification 2.0, section 5.8, and appendix B.5).
//!
//! # The problem
//!
//! A doorbell is a register, and writing one is dear where the controller is a program: each
//! write leaves the virtual machine. While that program is awake it would find new entries by
//! itself, if only it knew where to look.
//!
//! # The idea
//!
//! The host leaves each new value in a *shadow* of the doorbell, which the device looks at while
//! it is awake. Before it falls asleep it leaves in *EventIdx*, which lies like the shadow but on
//! a page of its own, the value that it has seen, and looks at the shadow once more. The host
//! writes the register only if it has moved the shadow past EventIdx.
//!
//! - First the shadow, then a full fence, then EventIdx. The device does the same the other way
//!   round. So either it sees the new value or it is seen to sleep, and nobody waits for ever.
//! - Shadows and EventIdx are zeros whenever a queue is created, as its tail and its head are.
//! - The admin queue has a shadow, and is rung all the same: the specification wants both.
//! - EventIdx is the device's word. A wrong one costs a register write, or time: a queue whose
//!   command is out for long [knocks](crate::rings::Rings::knock) at the register.

use crate::atomics::{Ordering, fence};
use crate::platform::SharedMemory;
use alloc::sync::Arc;

/// Bytes of each of the two pages.
const PAGE: usize = 4096;

/// The two pages of one controller: first the shadows, then what the device says.
#[derive(Debug)]
pub(crate) struct Shadows<M> {
    memory: M,
    /// Bytes from one doorbell to the next.
    stride: usize,
}

/// Doorbell registers that are to be written, or were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) submission: bool,
    pub(crate) completion: bool,
}

/// Where the doorbells of one queue pair are in either page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    tail: usize,
    /// `None` if the head is the upper half of the tail's 64 bits.
    head: Option<usize>,
}

/// The doorbells of one queue pair.
#[derive(Debug)]
pub(crate) enum Doorbells<M> {
    /// Every new value goes to the register.
    Registers,
    /// New values go to the shadows, and to the register if the device wants that.
    Shadows {
        shadows: Arc<Shadows<M>>,
        places: Places,
        /// What the shadows hold.
        tail: u16,
        head: u16,
    },
}

impl<M: SharedMemory> Shadows<M> {
    /// Bytes of memory that they take.
    pub(crate) const BYTES: usize = 2 * PAGE;

    /// Over zeroed memory of [`BYTES`](Self::BYTES) bytes. Doorbells are `4 << dstrd` bytes apart.
    pub(crate) fn new(memory: M, dstrd: u8) -> Self {
        let stride = 4 << dstrd;
        Self { memory, stride }
    }

    /// Whether a page has room for the admin queue and so many others.
    pub(crate) fn have_room_for(queues: u16, dstrd: u8) -> bool {
        (2 * usize::from(queues) + 2) << (2 + dstrd) <= PAGE
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Makes all values as they are before any queue exists.
    pub(crate) fn clear(&self) {
        for offset in (0..Self::BYTES).step_by(8) {
            self.memory.store64(offset, 0);
        }
    }

    fn places(&self, queue: u16) -> Places {
        let tail = 2 * usize::from(queue) * self.stride;
        let head = tail + self.stride;
        Places {
            tail,
            head: head.is_multiple_of(8).then_some(head),
        }
    }

    #[inline]
    fn store(&self, places: Places, tail: u16, head: u16) {
        let (tail, head) = (u64::from(tail), u64::from(head));
        match places.head {
            None => self.memory.store64(places.tail, tail | head << 32),
            Some(other) => {
                self.memory.store64(other, head);
                self.memory.store64(places.tail, tail);
            }
        }
    }

    /// What the device has seen of tail and head.
    #[inline]
    fn seen(&self, places: Places) -> (u16, u16) {
        let tail = self.memory.load64(PAGE + places.tail);
        let head = match places.head {
            None => tail >> 32,
            Some(other) => self.memory.load64(PAGE + other),
        };
        (tail as u16, head as u16)
    }

    /// Makes a queue's values as they are before it exists.
    fn forget(&self, places: Places) {
        self.store(places, 0, 0);
        self.memory.store64(PAGE + places.tail, 0);
        if let Some(other) = places.head {
            self.memory.store64(PAGE + other, 0);
        }
    }
}

impl<M: SharedMemory> Doorbells<M> {
    /// Shadows that hold `tail` and `head`, as the device knows them.
    pub(crate) fn shadowed(shadows: Arc<Shadows<M>>, queue: u16, tail: u16, head: u16) -> Self {
        let places = shadows.places(queue);
        shadows.store(places, tail, head);
        Self::Shadows {
            shadows,
            places,
            tail,
            head,
        }
    }

    /// The device does not know the queue any more, nor the shadows.
    pub(crate) fn reset(&mut self) {
        if let Self::Shadows {
            shadows, places, ..
        } = self
        {
            shadows.forget(*places);
        }
        *self = Self::Registers;
    }

    /// Says where tail and head are now, if they have moved. Returns which registers are to be
    /// written.
    #[inline]
    pub(crate) fn announce(&mut self, queue: u16, tail: Option<u16>, head: Option<u16>) -> Rung {
        match self {
            Self::Registers => Rung {
                submission: tail.is_some(),
                completion: head.is_some(),
            },
            Self::Shadows {
                shadows,
                places,
                tail: old_tail,
                head: old_head,
            } => {
                let new_tail = tail.unwrap_or(*old_tail);
                let new_head = head.unwrap_or(*old_head);
                // Entries before the tail that tells of them.
                fence(Ordering::Release);
                shadows.store(*places, new_tail, new_head);
                // The stores above before the loads below.
                fence(Ordering::SeqCst);
                let (seen_tail, seen_head) = shadows.seen(*places);
                let rung = Rung {
                    submission: is_past(seen_tail, new_tail, *old_tail)
                        || (queue == 0 && tail.is_some()),
                    completion: is_past(seen_head, new_head, *old_head)
                        || (queue == 0 && head.is_some()),
                };
                (*old_tail, *old_head) = (new_tail, new_head);
                rung
            }
        }
    }
}

/// True if a value that goes from `old` to `new` leaves `seen` behind.
///
/// The values are indices of a ring, and 16 bits wrap elsewhere. That changes nothing: it is
/// true exactly if `seen` is one of the values from `old` on and before `new`, or one that no
/// index of the ring can be.
#[inline]
fn is_past(seen: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(seen).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All steps in small rings, against a walk from index to index.
    #[test]
    fn the_register_is_wanted_exactly_when_the_seen_value_is_left() {
        for entries in 2..9_u16 {
            for old in 0..entries {
                for steps in 0..entries {
                    let new = (old + steps) % entries;
                    for seen in 0..entries {
                        let left = (0..steps).any(|step| (old + step) % entries == seen);
                        assert_eq!(is_past(seen, new, old), left, "{old}..{new}, {seen}");
                    }
                }
            }
        }
    }
}
