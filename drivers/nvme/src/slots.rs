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
struct Slot {
    /// Generation of the present command, or of the last one.
    generation: u8,
    /// The device has a command with this slot's identifier.
    is_outstanding: bool,
}

/// The slots of one queue.
///
/// A slot is [taken](Slots::take), then any number of commands are [issued](Slots::issue) in
/// it, one after the other, and then it is [released](Slots::release).
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    /// Numbers of free slots; the last of the first `free_len` is given out next.
    free: Box<[u8]>,
    free_len: usize,
    outstanding: usize,
}

impl Slots {
    /// `count` free slots, at most [`MAX_SLOTS`].
    pub(crate) fn new(count: usize) -> Self {
        let count = count.min(MAX_SLOTS);
        let free = Slot {
            generation: 0,
            is_outstanding: false,
        };
        Self {
            slots: alloc::vec![free; count].into_boxed_slice(),
            // The number fits: count is at most MAX_SLOTS.
            free: (0..count).rev().map(|slot| slot as u8).collect(),
            free_len: count,
            outstanding: 0,
        }
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number of slots that nobody has.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.free_len
    }

    /// Number of commands outstanding.
    #[inline]
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Gives out a slot. Returns `None` if none is free.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<usize> {
        let last = self.free_len.checked_sub(1)?;
        let slot = *self.free.get(last)?;
        self.free_len = last;
        Some(usize::from(slot))
    }

    /// Gives a slot back that was taken.
    #[inline(always)]
    pub(crate) fn release(&mut self, slot: usize) {
        debug_assert!(!self.is_outstanding(slot));
        if let Some(free) = self.free.get_mut(self.free_len) {
            *free = slot as u8;
            self.free_len += 1;
        }
    }

    /// The identifier for the next command in a slot. From now on it is outstanding.
    #[inline(always)]
    pub(crate) fn issue(&mut self, slot: usize) -> u16 {
        let Some(state) = self.slots.get_mut(slot) else {
            return u16::MAX; // no slot of this queue
        };
        debug_assert!(!state.is_outstanding);
        state.generation = state.generation.wrapping_add(1);
        state.is_outstanding = true;
        self.outstanding += 1;
        u16::from(state.generation) << SLOT_BITS | slot as u16
    }

    // ANCHOR: complete
    /// The slot of the outstanding command `cid`, which is not outstanding any more.
    #[inline(always)]
    pub(crate) fn complete(&mut self, cid: u16) -> Result<usize, Violation> {
        let unknown = Violation::UnknownCommand { cid };
        let number = usize::from(cid) & ((1 << SLOT_BITS) - 1);
        let slot = self.slots.get_mut(number).ok_or(unknown)?;
        if u16::from(slot.generation) != cid >> SLOT_BITS || !slot.is_outstanding {
            return Err(unknown);
        }
        slot.is_outstanding = false;
        self.outstanding -= 1;
        Ok(number)
    }
    // ANCHOR_END: complete

    /// Whether the device has the slot's command.
    pub(crate) fn is_outstanding(&self, slot: usize) -> bool {
        self.slots
            .get(slot)
            .is_some_and(|state| state.is_outstanding)
    }

    /// The identifier of the slot's last command.
    pub(crate) fn cid(&self, slot: usize) -> u16 {
        let generation = self.slots.get(slot).map_or(0, |state| state.generation);
        u16::from(generation) << SLOT_BITS | slot as u16
    }

    /// The device has forgotten all commands. Their identifiers stay unknown for long, and
    /// the slots stay with whoever has them.
    pub(crate) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.is_outstanding = false;
        }
        self.outstanding = 0;
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
        let slot = slots.take().expect("free");
        let cid = slots.issue(slot);
        assert_eq!(slots.complete(cid), Ok(slot));
        let unknown = Err(Violation::UnknownCommand { cid });
        assert_eq!(slots.complete(cid), unknown);
        let again = slots.issue(slot);
        assert_ne!(again, cid, "the same slot under another name");
        assert_eq!(slots.complete(cid), unknown);
        assert_eq!(slots.complete(again), Ok(slot));
    }

    #[test]
    fn slots_run_out_and_no_identifier_is_all_ones() {
        let mut slots = Slots::new(usize::MAX);
        for _ in 0..300 {
            let mut cids = Vec::new();
            while let Some(slot) = slots.take() {
                let cid = slots.issue(slot);
                assert_ne!(cid, 0xffff);
                cids.push(cid);
            }
            assert_eq!(cids.len(), MAX_SLOTS);
            for cid in cids {
                let slot = slots.complete(cid).expect("outstanding");
                slots.release(slot);
            }
        }
    }

    #[test]
    fn after_a_reset_old_identifiers_are_unknown() {
        let mut slots = Slots::new(3);
        let taken: Vec<_> = (0..3).filter_map(|_| slots.take()).collect();
        let old: Vec<_> = taken.iter().map(|slot| slots.issue(*slot)).collect();
        slots.forget();
        assert_eq!(slots.outstanding(), 0);
        let new: Vec<_> = taken.iter().map(|slot| slots.issue(*slot)).collect();
        for cid in old {
            assert!(slots.complete(cid).is_err());
        }
        for cid in new {
            assert!(slots.complete(cid).is_ok());
        }
    }

    proptest! {
        /// Any mix of commands and completions, also of made-up identifiers, against a map.
        #[test]
        fn slots_are_a_map(count in 1..9_usize, steps: Vec<(bool, u16)>) {
            let mut slots = Slots::new(count);
            let mut model = HashMap::new();
            for (take, cid) in steps {
                if take {
                    let slot = slots.take();
                    prop_assert_eq!(slot.is_some(), model.len() < count);
                    if let Some(slot) = slot {
                        let cid = slots.issue(slot);
                        prop_assert_eq!(slots.cid(slot), cid);
                        prop_assert!(model.insert(cid, slot).is_none());
                    }
                } else {
                    // Half of the time an identifier that is outstanding.
                    let cid = match cid % 2 {
                        0 => model.keys().next().copied().unwrap_or(cid),
                        _ => cid,
                    };
                    let slot = slots.complete(cid).ok();
                    prop_assert_eq!(slot, model.remove(&cid));
                    if let Some(slot) = slot {
                        slots.release(slot);
                    }
                }
                prop_assert_eq!(slots.outstanding(), model.len());
                prop_assert_eq!(slots.free(), count - model.len());
            }
        }
    }
}
