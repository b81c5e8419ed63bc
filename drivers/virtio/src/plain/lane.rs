//! A queue whose chains own what they were given, until the device is done with it.
//!
//! A slot is a fixed number of descriptors side by side. What was kept with a chain stays in its slot whatever
//! becomes of whoever sent it, and comes back from there.

use super::pieces::Pieces;
use crate::error::{Failure, Violation};
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::ring::{Ring, Terms, Used};
use crate::transport::Rings;
use alloc::vec::Vec;

/// What a slot is at this moment.
#[derive(Debug)]
enum Slot<T> {
    Free,
    /// The device has it, and may write so many bytes.
    Sent {
        kept: T,
        most: u32,
        is_awaited: bool,
    },
    /// The device is done, and has written so many bytes, as it says.
    Done {
        kept: T,
        written: u32,
    },
    /// The device is done, and nobody waits for it.
    Loose(T),
}

/// A queue, and its slots.
pub(super) struct Lane<M, T> {
    ring: Ring<M>,
    rings: Rings,
    /// Descriptors of a slot.
    pieces: u16,
    slots: Vec<Slot<T>>,
    pub(super) notify_at: usize,
}

/// A chain that the device has. Its number is its slot's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u16);

impl<M: SharedMemory, T> Lane<M, T> {
    /// A queue of so many entries, a power of two, for chains of at most so many pieces.
    pub(super) fn allocate<P: Platform<Shared = M>>(
        platform: &P,
        queue: u16,
        entries: u16,
        pieces: u16,
    ) -> Result<Self, OutOfMemory> {
        let (mut ring, rings) = Ring::allocate(platform, Terms::PLAIN, queue, entries, None)?;
        if platform.calls().is_some() {
            // For good: what is used already is seen by whoever waits for it.
            ring.arm();
        }
        let slots = (0..entries / pieces).map(|_| Slot::Free).collect();
        Ok(Self {
            ring,
            rings,
            pieces,
            slots,
            notify_at: 0,
        })
    }

    /// Where the device finds it.
    pub(super) fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Most pieces of a chain.
    pub(super) fn most_pieces(&self) -> u16 {
        self.pieces
    }

    /// Most chains that are under way.
    pub(super) fn most_chains(&self) -> u16 {
        self.slots.len() as u16
    }

    /// Sends a chain, of at least one piece and of no more than fit, or gives back what was to be kept with it, if
    /// all slots are taken. The flag says whether the device has to be notified.
    pub(super) fn send(&mut self, pieces: &Pieces, kept: T) -> Result<(Ticket, bool), T> {
        debug_assert!((1..=self.pieces).contains(&pieces.count()));
        let free = |slot: &Slot<T>| matches!(slot, Slot::Free);
        let Some(free) = self.slots.iter().position(free) else {
            return Err(kept);
        };
        let head = self.pieces * free as u16;
        let ring = &self.ring;
        pieces.write(head, |number, words| ring.describe(number, words));
        self.slots[free] = Slot::Sent {
            kept,
            most: pieces.writable(),
            is_awaited: true,
        };
        self.ring.push(head);
        Ok((Ticket(free as u16), self.ring.publish()))
    }

    /// Takes notice of what the device has used.
    ///
    /// # Errors
    /// If it breaks a rule. Nothing that it says is used any more.
    pub(super) fn reap(&mut self) -> Result<(), Failure> {
        loop {
            match self.ring.pop() {
                Ok(Some(used)) => self.settle(used)?,
                Ok(None) => return Ok(()),
                Err(violation) => return Err(Failure::Violation(violation)),
            }
        }
    }

    fn settle(&mut self, used: Used) -> Result<(), Failure> {
        let unknown = Failure::Violation(Violation::UsedId(used.id));
        let number = (used.id / u32::from(self.pieces)) as usize;
        let slot = self.slots.get_mut(number).ok_or(unknown)?;
        let Slot::Sent { most, .. } = *slot else {
            return Err(unknown);
        };
        if !used.id.is_multiple_of(self.pieces.into()) {
            return Err(unknown);
        }
        if used.len > most {
            let len = Violation::UsedLength(used.len);
            return Err(Failure::Violation(len));
        }
        *slot = match core::mem::replace(slot, Slot::Free) {
            Slot::Sent {
                kept,
                is_awaited: true,
                ..
            } => Slot::Done {
                kept,
                written: used.len,
            },
            Slot::Sent { kept, .. } => Slot::Loose(kept),
            other => other,
        };
        Ok(())
    }

    /// What was kept with a chain, and how many bytes the device has written; `None` if it still has it. The slot
    /// is free then.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<(T, u32)> {
        let slot = &mut self.slots[usize::from(ticket.0)];
        match core::mem::replace(slot, Slot::Free) {
            Slot::Done { kept, written } => Some((kept, written)),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// What was kept with a chain that the device will not touch any more, since it is stopped.
    pub(super) fn recall(&mut self, ticket: &Ticket) -> Option<T> {
        match core::mem::replace(&mut self.slots[usize::from(ticket.0)], Slot::Free) {
            Slot::Sent { kept, .. } | Slot::Done { kept, .. } | Slot::Loose(kept) => Some(kept),
            Slot::Free => None,
        }
    }

    /// Nobody waits for a chain any more. What it has is [loose](Self::loose) when the device is done.
    pub(super) fn abandon(&mut self, ticket: &Ticket) {
        let slot = &mut self.slots[usize::from(ticket.0)];
        *slot = match core::mem::replace(slot, Slot::Free) {
            Slot::Sent { kept, most, .. } => Slot::Sent {
                kept,
                most,
                is_awaited: false,
            },
            Slot::Done { kept, .. } => Slot::Loose(kept),
            other => other,
        };
    }

    /// What a chain had for which nobody waits. Whether the device is stopped says whether those that it has are
    /// among them.
    pub(super) fn loose(&mut self, is_stopped: bool) -> Option<T> {
        let is_loose = |slot: &Slot<T>| match slot {
            Slot::Loose(_) => true,
            Slot::Sent { is_awaited, .. } => is_stopped && !is_awaited,
            _ => false,
        };
        let number = self.slots.iter().position(is_loose)?;
        self.recall(&Ticket(number as u16))
    }
}
