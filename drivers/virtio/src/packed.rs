//! The packed virtqueue (section 2.8): one ring, which both sides write.
//!
//! ```text
//! driver writes   address, len, id, flags: here is a chain     driver event: off and wrap, flags
//! device writes            len, id, flags: it was used         device event: off and wrap, flags
//! ```
//!
//! There are no indices in memory. Two bits in the flags of each place say whose it is, and they mean
//! the opposite in every other lap, so that nobody has to clear them: a place is available if AVAIL is
//! the lap's bit and USED is not, and used if both are.
//!
//! # What is trusted
//!
//! Nothing in the ring: the device may write all of it. A chain is described in a table of the driver's
//! own, and copied from there into the ring; how many places it takes is remembered beside it. Of what
//! the device writes there are taken: that a place is used, which chain, and how many bytes. The first
//! must be about a chain that it was told of, the second one that is out; the third is for whoever
//! has sent it.
//!
//! # Order
//!
//! A chain becomes visible by the flags of its first place. Those of a whole batch do by the first
//! place of the batch, which is written last, behind one fence: a device cannot see what is behind a
//! place that is not available.
//!
//! The flags of a used place come before the rest of it, so the place is read again behind a fence. It
//! is 8 bytes, and always read and written as such.
//!
//! Who wakes whom is as in the [split](crate::split) queue, with the same two full fences; what counts
//! as an index is the number of places. An event is two words, which need no order between them: whose
//! fence is second sees all that the other side has written, and that side may look too early only if it
//! finds something when it looks again. Numbers run freely through all 16 bits. A size is a power of
//! two, so the lower bits are the place, and the next one is the lap.

use crate::atomics::{Ordering, fence};
use crate::platform::SharedMemory;
use crate::split::{DESCRIPTOR, INDIRECT, NEXT, Used, WRITE, is_passed};
use alloc::boxed::Box;
use alloc::vec;
use core::cell::Cell;

/// In a descriptor's flags: the lap in which the driver has made a place available.
const AVAIL: u16 = 1 << 7;
/// The lap in which the device has used it.
const USED: u16 = 1 << 15;

/// In the flags of an event: all are wanted, none is, or the one that is described.
const ALL: u16 = 0;
const NONE: u16 = 1;
const ONE: u16 = 2;

/// Where in an event its flags are; the place and the lap are before.
const FLAGS: usize = 2;

/// Where in a place its second word is: length, identifier, flags.
const SECOND: usize = 8;

/// The device says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It has used more places than it knows of, at this number.
    Place(u16),
    /// It has used a chain that is not out.
    Id(u16),
}

/// Where the parts of a queue are in its memory. The ring is before them, from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) entries: u16,
    /// When the driver wants to be told.
    pub(crate) driver: usize,
    /// When the device does.
    pub(crate) device: usize,
    pub(crate) bytes: usize,
}

impl Layout {
    /// For so many entries, a power of two.
    pub(crate) const fn new(entries: u16) -> Self {
        let driver = DESCRIPTOR * entries as usize;
        // On a cache line of its own, since the other side writes it.
        let device = driver + 64;
        Self {
            entries,
            driver,
            device,
            bytes: device + 8,
        }
    }
}

/// A packed virtqueue.
pub(crate) struct Packed<M> {
    memory: M,
    layout: Layout,
    /// Both sides say when they want to be told (EVENT_IDX), not only whether.
    has_events: bool,
    /// Descriptors as those of a split queue, by their numbers. The device never sees them.
    table: Box<[Cell<[u64; 2]>]>,
    /// Of each chain that is in the ring, by its head: how many places it takes. 0 for others.
    spans: Box<[u16]>,
    /// Places filled, those included that the device does not know of yet.
    next: u16,
    /// Places that the device knows of.
    published: u16,
    /// Places taken back.
    taken: u16,
    /// The second word of the place `published`, if it is filled.
    held: u64,
    /// Before which place an interrupt is wanted, while they are.
    armed: Option<u16>,
}

impl<M: SharedMemory> Packed<M> {
    /// Over zeroed memory that is large enough for the layout. Interrupts are not wanted yet.
    pub(crate) fn new(memory: M, layout: Layout, has_events: bool) -> Self {
        let count = usize::from(layout.entries);
        let mut packed = Self {
            memory,
            layout,
            has_events,
            table: vec![Cell::new([0; 2]); count].into(),
            spans: vec![0; count].into(),
            next: 0,
            published: 0,
            taken: 0,
            held: 0,
            armed: None,
        };
        packed.disarm();
        packed
    }

    /// Writes a descriptor, as one of a split queue: only one whose chain the device does not have.
    #[inline]
    pub(crate) fn describe(&self, number: u16, words: [u64; 2]) {
        self.table[usize::from(number)].set(words);
    }

    /// Makes a chain available. The device learns of it by [`publish`](Self::publish).
    ///
    /// There is room: no chain is available twice, and there are no more descriptors than entries.
    #[inline]
    pub(crate) fn push(&mut self, head: u16) {
        let start = self.next;
        let mut number = head;
        loop {
            let [address, word] = self.table[usize::from(number)].get();
            let flags = (word >> 32) as u16;
            let said = flags & (NEXT | WRITE | INDIRECT) | self.available_at(self.next);
            let second = second(word as u32, head, said);
            let at = self.place_of(self.next);
            self.memory.store64(at, address);
            match self.next == self.published {
                true => self.held = second,
                false => self.memory.store64(at + SECOND, second),
            }
            self.next = self.next.wrapping_add(1);
            if flags & NEXT == 0 {
                break;
            }
            number = (word >> 48) as u16;
        }
        self.spans[usize::from(head)] = self.next.wrapping_sub(start);
    }

    // ANCHOR: publish
    /// Tells the device of all that is available. Returns whether it has to be notified.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.next == self.published {
            return false;
        }
        let old = core::mem::replace(&mut self.published, self.next);
        // All of the batch before the flags of its first place.
        fence(Ordering::Release);
        let at = self.place_of(old);
        self.memory.store64(at + SECOND, self.held);
        // The store above before the loads below.
        fence(Ordering::SeqCst);
        match self.memory.load16(self.layout.device + FLAGS) {
            ONE if self.has_events => {
                let event = self.number(self.memory.load16(self.layout.device));
                is_passed_in(event, self.next, old, self.layout.entries)
            }
            NONE => false,
            _ => true,
        }
    }
    // ANCHOR_END: publish

    /// The next chain that was used, if there is one.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<Used>, Lie> {
        let at = self.place_of(self.taken) + SECOND;
        if !self.is_used(self.memory.load64(at)) {
            return Ok(None);
        }
        // The flags before what they tell of, which includes what the device wrote to memory.
        fence(Ordering::Acquire);
        let word = self.memory.load64(at);
        let id = (word >> 32) as u16;
        let open = self.published.wrapping_sub(self.taken);
        if open == 0 {
            return Err(Lie::Place(self.taken));
        }
        let span = self.spans.get_mut(usize::from(id)).ok_or(Lie::Id(id))?;
        if *span == 0 || *span > open {
            return Err(Lie::Id(id));
        }
        self.taken = self.taken.wrapping_add(core::mem::take(span));
        Ok(Some(Used {
            id: id.into(),
            len: word as u32,
        }))
    }

    // ANCHOR: arm
    /// Asks for an interrupt for what is used from now on. Returns whether something was used
    /// already that was not taken: then there may be no interrupt for it.
    pub(crate) fn arm(&mut self) -> bool {
        self.armed = Some(self.taken);
        let flags = match self.has_events {
            true => {
                let event = self.event(self.taken);
                self.memory.store16(self.layout.driver, event);
                ONE
            }
            false => ALL,
        };
        self.memory.store16(self.layout.driver + FLAGS, flags);
        // The stores above before the load below.
        fence(Ordering::SeqCst);
        let at = self.place_of(self.taken);
        self.is_used(self.memory.load64(at + SECOND))
    }
    // ANCHOR_END: arm

    /// Whether interrupts are wanted, but would not come: each one that came has to be answered by
    /// [`arm`](Self::arm), if the device counts.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.has_events && self.armed.is_some_and(|armed| armed != self.taken)
    }

    /// Asks for no more interrupts.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
        self.memory.store16(self.layout.driver + FLAGS, NONE);
    }

    /// Makes the ring as new. The device is reset, and has never heard of it. Descriptors stay.
    pub(crate) fn reset(&mut self) {
        for offset in (0..self.layout.bytes).step_by(8) {
            self.memory.store64(offset, 0);
        }
        self.spans.fill(0);
        (self.next, self.published, self.taken) = (0, 0, 0);
        match self.armed {
            Some(_) => drop(self.arm()),
            None => self.disarm(),
        }
    }

    /// Where the place of a number is.
    #[inline]
    fn place_of(&self, number: u16) -> usize {
        DESCRIPTOR * usize::from(number & (self.layout.entries - 1))
    }

    /// Whether a number is in a lap in which bits are set. The first lap is one.
    #[inline]
    fn is_set_lap(&self, number: u16) -> bool {
        number & self.layout.entries == 0
    }

    #[inline]
    fn available_at(&self, number: u16) -> u16 {
        match self.is_set_lap(number) {
            true => AVAIL,
            false => USED,
        }
    }

    /// Whether the flags of the place that is to be taken next say that it was used.
    #[inline]
    fn is_used(&self, second: u64) -> bool {
        let flags = (second >> 48) as u16;
        let used = match self.is_set_lap(self.taken) {
            true => AVAIL | USED,
            false => 0,
        };
        flags & (AVAIL | USED) == used
    }

    /// A number as it is told to the device: 15 bits of the place, and the lap.
    fn event(&self, number: u16) -> u16 {
        let place = number & (self.layout.entries - 1);
        place | u16::from(self.is_set_lap(number)) << 15
    }

    /// A number, as far as the device says it: modulo two laps.
    #[inline]
    fn number(&self, event: u16) -> u16 {
        let place = event & (self.layout.entries - 1);
        match event >> 15 {
            0 => place | self.layout.entries,
            _ => place,
        }
    }
}

/// The second word of a place.
#[inline]
const fn second(len: u32, id: u16, flags: u16) -> u64 {
    len as u64 | (id as u64) << 32 | (flags as u64) << 48
}

/// A descriptor of a split queue as one of a table that a place of a packed ring names: one follows the
/// other there, and all that is said of each is who writes (section 2.8.7).
#[inline]
pub(crate) const fn in_table([address, word]: [u64; 2]) -> [u64; 2] {
    let flags = (word >> 32) as u16 & WRITE;
    [address, second(word as u32, 0, flags)]
}

/// True if a number that went from `old` to `new` has passed `event`, which is known modulo two laps.
///
/// The two differ by at most a lap, so it is the split queue's rule on fewer bits.
#[inline]
fn is_passed_in(event: u16, new: u16, old: u16, entries: u16) -> bool {
    let unused = entries.leading_zeros();
    is_passed(event << unused, new << unused, old << unused)
}
