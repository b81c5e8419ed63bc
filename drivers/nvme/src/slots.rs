//! Slots of a queue: which commands are outstanding, under which identifier.
//!
//! A Command Identifier (CID) is a slot number with a generation above it. The generation
//! changes each time the slot is given out. So a completion that comes twice, or late after
//! a reset, does not fit the slot's next command: it fits no command at all.

use crate::error::Violation;
use alloc::boxed::Box;

/// Bits of a CID that are the slot number; the generation is in the others.
const SLOT_BITS: u32 = 8;

/// Most slots that a queue may have.
///
/// One less than fit into the bits: CID FFFFh names no command in the specification's error
/// log, and without slot 255 no identifier is FFFFh.
pub(crate) const MAX_SLOTS: usize = (1 << SLOT_BITS) - 1;

/// One slot.
#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    /// Generation of the present command, or of the last one.
    generation: u8,
    /// What the driver keeps for the outstanding command; `None` if the slot is free.
    command: Option<T>,
}

/// The slots of one queue.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Box<[Slot<T>]>,
    /// Numbers of free slots; the last of the first `free_len` is given out next.
    free: Box<[u8]>,
    free_len: usize,
}

/// A command's slot and identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Slot number, below the number of slots.
    pub(crate) slot: usize,
    /// Command Identifier.
    pub(crate) cid: u16,
}

impl<T: Copy> Slots<T> {
    /// `count` free slots, at most [`MAX_SLOTS`].
    pub(crate) fn new(count: usize) -> Self {
        let count = count.min(MAX_SLOTS);
        let free = Slot {
            generation: 0,
            command: None,
        };
        Self {
            slots: alloc::vec![free; count].into_boxed_slice(),
            // The number fits: count is at most MAX_SLOTS.
            free: (0..count).rev().map(|slot| slot as u8).collect(),
            free_len: count,
        }
    }

    /// Number of commands outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots.len() - self.free_len
    }

    /// The slot and identifier that [`take`](Self::take) gives out next, if one is free.
    pub(crate) fn next(&self) -> Option<Ticket> {
        let slot = usize::from(self.free[self.free_len.checked_sub(1)?]);
        let generation = self.slots[slot].generation.wrapping_add(1);
        Some(Ticket {
            slot,
            cid: u16::from(generation) << SLOT_BITS | slot as u16,
        })
    }

    /// Gives a slot to a command. Returns `None` if none is free.
    pub(crate) fn take(&mut self, command: T) -> Option<Ticket> {
        let ticket = self.next()?;
        self.free_len -= 1;
        let slot = &mut self.slots[ticket.slot];
        slot.generation = slot.generation.wrapping_add(1);
        slot.command = Some(command);
        Some(ticket)
    }

    /// Frees the slot of the outstanding command `cid` and returns what was kept for it.
    pub(crate) fn complete(&mut self, cid: u16) -> Result<T, Violation> {
        let unknown = Violation::UnknownCommand { cid };
        let number = usize::from(cid) & ((1 << SLOT_BITS) - 1);
        let slot = self.slots.get_mut(number).ok_or(unknown)?;
        if u16::from(slot.generation) != cid >> SLOT_BITS {
            return Err(unknown);
        }
        let command = slot.command.take().ok_or(unknown)?;
        self.free[self.free_len] = number as u8;
        self.free_len += 1;
        Ok(command)
    }

    /// Frees every slot. Identifiers given out before stay unknown for long.
    pub(crate) fn clear(&mut self) {
        self.free_len = 0;
        for (number, slot) in self.slots.iter_mut().enumerate().rev() {
            slot.command = None;
            self.free[self.free_len] = number as u8;
            self.free_len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_completion_is_taken_once() {
        let mut slots = Slots::new(2);
        let ticket = slots.take('a').expect("free");
        assert_eq!(slots.complete(ticket.cid), Ok('a'));
        let unknown = Err(Violation::UnknownCommand { cid: ticket.cid });
        assert_eq!(slots.complete(ticket.cid), unknown);
        let again = slots.take('b').expect("free");
        assert_eq!(again.slot, ticket.slot, "the same slot");
        assert_ne!(again.cid, ticket.cid, "under another name");
        assert_eq!(slots.complete(ticket.cid), unknown);
        assert_eq!(slots.complete(again.cid), Ok('b'));
    }

    #[test]
    fn slots_run_out_and_no_identifier_is_all_ones() {
        let mut slots = Slots::new(usize::MAX);
        for round in 0..300 {
            let mut cids = Vec::new();
            while let Some(ticket) = slots.take(round) {
                assert_ne!(ticket.cid, 0xffff);
                cids.push(ticket.cid);
            }
            assert_eq!(cids.len(), MAX_SLOTS);
            for cid in cids {
                assert_eq!(slots.complete(cid), Ok(round));
            }
        }
    }

    #[test]
    fn after_a_reset_old_identifiers_are_unknown() {
        let mut slots = Slots::new(3);
        let old: Vec<_> = (0..3).filter_map(|_| slots.take(())).collect();
        slots.clear();
        assert_eq!(slots.outstanding(), 0);
        let new: Vec<_> = (0..3).filter_map(|_| slots.take(())).collect();
        for ticket in old {
            assert!(slots.complete(ticket.cid).is_err());
        }
        for ticket in new {
            assert!(slots.complete(ticket.cid).is_ok());
        }
    }

    proptest! {
        /// Any mix of takes and completions, also of made-up identifiers, against a map.
        #[test]
        fn slots_are_a_map(count in 1..9_usize, steps: Vec<(bool, u16)>) {
            let mut slots = Slots::new(count);
            let mut model = HashMap::new();
            for (number, (take, cid)) in steps.into_iter().enumerate() {
                if take {
                    let expected = slots.next();
                    let ticket = slots.take(number);
                    prop_assert_eq!(ticket, expected);
                    prop_assert_eq!(ticket.is_some(), model.len() < count);
                    if let Some(ticket) = ticket {
                        prop_assert!(model.insert(ticket.cid, number).is_none());
                    }
                } else {
                    // Half of the time an identifier that is outstanding.
                    let cid = match cid % 2 {
                        0 => model.keys().next().copied().unwrap_or(cid),
                        _ => cid,
                    };
                    prop_assert_eq!(slots.complete(cid).ok(), model.remove(&cid));
                }
                prop_assert_eq!(slots.outstanding(), model.len());
            }
        }
    }
}
