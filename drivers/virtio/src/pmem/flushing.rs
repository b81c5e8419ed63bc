//! A flush: from a slot to the device's answer.
//!
//! A slot is two descriptors, four bytes for the request, and four for the answer, made beforehand. It is
//! its flush's until the device is done with it, whatever becomes of the caller.

use crate::chain::{NEXT, WRITE, descriptor};
use crate::error::{DeviceError, Error, Failure, Violation};
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::ring::{Ring, Terms};
use crate::transport::Rings;
use alloc::vec;
use alloc::vec::Vec;

/// Descriptors of a slot.
const DESCRIPTORS: u16 = 2;

/// Bytes of a slot's request and its answer, each in a word of its own.
const SLOT: usize = 16;
/// Where in the slot the answer is.
const ANSWER: usize = 8;
/// Bytes of either.
const WORD: u32 = 4;

/// The request (VIRTIO_PMEM_REQ_TYPE_FLUSH).
const FLUSH: u64 = 0;
/// What the word of the answer is before the device has written it. No device says that.
const NOTHING: u64 = u64::MAX;

/// What a slot is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    /// The device has it.
    Sent,
    /// The device has it, and nobody waits for it any more.
    Abandoned,
    /// What became of it.
    Done(Result<(), DeviceError>),
}

/// The queue of flushes, and its slots.
pub(super) struct Flushes<M> {
    ring: Ring<M>,
    /// The slots' requests and answers.
    words: M,
    rings: Rings,
    slots: Vec<Slot>,
}

/// A flush that the device has. Its number is its slot's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u16);

/// The only queue.
pub(super) const QUEUE: u16 = 0;

impl<M: SharedMemory> Flushes<M> {
    /// A queue of so many entries: a power of two, and at least 2.
    pub(super) fn allocate<P: Platform<Shared = M>>(
        platform: &P,
        entries: u16,
    ) -> Result<Self, OutOfMemory> {
        let (mut ring, rings) = Ring::allocate(platform, Terms::PLAIN, QUEUE, entries, None)?;
        if platform.calls().is_some() {
            // For good: what is used already is seen by whoever waits for it.
            ring.arm();
        }
        let slots = usize::from(entries / DESCRIPTORS);
        let words = platform.allocate(SLOT * slots)?;
        Ok(Self {
            ring,
            words,
            rings,
            slots: vec![Slot::Free; slots],
        })
    }

    /// Where the device finds it.
    pub(super) fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Sends a flush. `None` if all slots are taken. The flag says whether the device has to be notified.
    pub(super) fn send(&mut self) -> Option<(Ticket, bool)> {
        let free = self.slots.iter().position(|slot| *slot == Slot::Free)?;
        let number = free as u16;
        self.slots[free] = Slot::Sent;
        let at = SLOT * free;
        let request = self.words.bus().addr().get() + at as u64;
        let answer = request + ANSWER as u64;
        self.words.store64(at, FLUSH);
        self.words.store64(at + ANSWER, NOTHING);
        let head = DESCRIPTORS * number;
        self.ring
            .describe(head, descriptor(request, WORD, NEXT, head + 1));
        self.ring
            .describe(head + 1, descriptor(answer, WORD, WRITE, 0));
        self.ring.push(head);
        Some((Ticket(number), self.ring.publish()))
    }

    /// Takes what the device has answered.
    ///
    /// # Errors
    /// If it breaks a rule. Nothing that it says is used any more.
    pub(super) fn reap(&mut self) -> Result<(), Failure> {
        loop {
            let used = match self.ring.pop() {
                Ok(Some(used)) => used,
                Ok(None) => return Ok(()),
                Err(violation) => return Err(Failure::Violation(violation)),
            };
            let unknown = Failure::Violation(Violation::UsedId(used.id));
            let number = (used.id / u32::from(DESCRIPTORS)) as usize;
            let slot = self.slots.get_mut(number).ok_or(unknown)?;
            if !used.id.is_multiple_of(DESCRIPTORS.into()) {
                return Err(unknown);
            }
            let next = match *slot {
                _ if used.len > WORD => {
                    let len = Violation::UsedLength(used.len);
                    return Err(Failure::Violation(len));
                }
                Slot::Abandoned => Slot::Free,
                Slot::Sent => {
                    let answer = self.words.load64(SLOT * number + ANSWER);
                    Slot::Done(judge(answer as u32, used.len))
                }
                Slot::Free | Slot::Done(_) => return Err(unknown),
            };
            *slot = next;
        }
    }

    /// What became of a flush; `None` if the device still has it. The slot is free then.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<Result<(), Error>> {
        let slot = &mut self.slots[usize::from(ticket.0)];
        match *slot {
            Slot::Done(result) => {
                *slot = Slot::Free;
                Some(result.map_err(Error::Device))
            }
            _ => None,
        }
    }

    /// Nobody waits for a flush any more. Its slot is free when the device is done.
    pub(super) fn abandon(&mut self, ticket: &Ticket) {
        let slot = &mut self.slots[usize::from(ticket.0)];
        *slot = match *slot {
            Slot::Sent => Slot::Abandoned,
            _ => Slot::Free,
        };
    }
}

/// What an answer means (section 5.19.6).
fn judge(answer: u32, written: u32) -> Result<(), DeviceError> {
    match answer {
        _ if written < WORD => Err(DeviceError::Short { written }),
        0 => Ok(()),
        1 => Err(DeviceError::Io),
        other => Err(DeviceError::Answer(other)),
    }
}
