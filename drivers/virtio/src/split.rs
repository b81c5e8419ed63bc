//! The split virtqueue (section 2.7): descriptors, the ring of what is available, the ring of what
//! was used.
//!
//! ```text
//! driver writes   descriptors │ avail: flags, idx, ring[N], used_event
//! device writes   used: flags, idx, (id, len)[N], avail_event
//! ```
//!
//! # What is trusted
//!
//! Nothing that the device can write. How far each side has come is kept here, in the driver's own
//! memory; what the device says is compared with it. Descriptors are never read back.
//!
//! # Who wakes whom
//!
//! Both sides sleep, and each says before it does up to where it has seen the other's index
//! (`avail_event`, `used_event`). It goes wrong in one way: A publishes an entry and reads B's word
//! too early, while B writes its word and reads A's index too early. Both have then looked before
//! the other one spoke, and both sleep. So on either side there is a full fence between the store
//! and the load, on x86 too, whose stores wait in a buffer while later loads go ahead.
//! `tests/kick.rs` shows it in every order that two processors can make of it.
//!
//! Indices run freely through all 16 bits, and are masked only where they are used.

use crate::atomics::{Ordering, fence};
use crate::platform::SharedMemory;

/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR: usize = 16;

/// In the flags of a descriptor: another one follows.
pub(crate) const NEXT: u16 = 1;
/// The device writes the memory.
pub(crate) const WRITE: u16 = 2;
/// The memory is a table of descriptors.
pub(crate) const INDIRECT: u16 = 4;

/// In `avail.flags` and `used.flags`: the other side need not be told.
const UNWANTED: u16 = 1;

/// Offset of `idx` in either ring.
const INDEX: usize = 2;

/// Offset of the entries in either ring.
const ENTRIES: usize = 4;

/// Bytes of an entry of the used ring.
const USED: usize = 8;

/// An entry of the used ring, as the device has written it. Believe nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// The first descriptor of a chain.
    pub(crate) id: u32,
    /// Bytes that the device has written.
    pub(crate) len: u32,
}

/// The device's used index is ahead of what it can have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun {
    pub(crate) index: u16,
}

/// Where the parts of a queue are in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) entries: u16,
    /// The ring of what is available; descriptors are before it, from 0 on.
    pub(crate) avail: usize,
    pub(crate) used: usize,
    pub(crate) bytes: usize,
}

impl Layout {
    /// For so many entries, a power of two.
    pub(crate) const fn new(entries: u16) -> Self {
        let count = entries as usize;
        let avail = DESCRIPTOR * count;
        let avail_end = avail + ENTRIES + 2 * count + 2;
        // Its entries have 8 bytes, but follow 4: so that they are aligned, it is not. A used ring
        // needs an alignment of 4 only. On a cache line of its own, since the other side writes it.
        let used = avail_end.next_multiple_of(64) + ENTRIES;
        Self {
            entries,
            avail,
            used,
            bytes: (used + ENTRIES + USED * count + 2).next_multiple_of(8),
        }
    }

    pub(crate) const fn used_event(&self) -> usize {
        self.avail + ENTRIES + 2 * self.entries as usize
    }

    pub(crate) const fn avail_event(&self) -> usize {
        self.used + ENTRIES + USED * self.entries as usize
    }
}

/// A split virtqueue.
pub(crate) struct Split<M> {
    memory: M,
    layout: Layout,
    /// Both sides say when they want to be told (EVENT_IDX), not only whether.
    has_events: bool,
    /// Entries made available, those included that the device does not know of yet.
    next: u16,
    /// Entries that the device knows of: what `avail.idx` says.
    published: u16,
    /// Entries taken from the used ring.
    taken: u16,
    /// What `used.idx` said when it was last read.
    seen: u16,
    /// `used_event`, while interrupts are wanted.
    armed: Option<u16>,
}

impl<M: SharedMemory> Split<M> {
    /// Over zeroed memory that is large enough for the layout. Interrupts are not wanted yet.
    pub(crate) fn new(memory: M, layout: Layout, has_events: bool) -> Self {
        let mut split = Self {
            memory,
            layout,
            has_events,
            next: 0,
            published: 0,
            taken: 0,
            seen: 0,
            armed: None,
        };
        split.disarm();
        split
    }

    /// Writes a descriptor. Only one that the device does not have.
    #[inline]
    pub(crate) fn describe(&self, number: u16, words: [u64; 2]) {
        let at = DESCRIPTOR * usize::from(number);
        self.memory.store64(at, words[0]);
        self.memory.store64(at + 8, words[1]);
    }

    /// Makes a chain available. The device learns of it by [`publish`](Self::publish).
    ///
    /// There is room: no chain is available twice, and there are no more chains than entries.
    #[inline]
    pub(crate) fn push(&mut self, head: u16) {
        let entry = usize::from(self.next & (self.layout.entries - 1));
        self.memory
            .store16(self.layout.avail + ENTRIES + 2 * entry, head);
        self.next = self.next.wrapping_add(1);
    }

    // ANCHOR: publish
    /// Tells the device of all that is available. Returns whether it has to be notified.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.next == self.published {
            return false;
        }
        let old = core::mem::replace(&mut self.published, self.next);
        // Descriptors and entries before the index that tells of them.
        fence(Ordering::Release);
        self.memory.store16(self.layout.avail + INDEX, self.next);
        // The store above before the load below.
        fence(Ordering::SeqCst);
        match self.has_events {
            true => {
                let event = self.memory.load16(self.layout.avail_event());
                is_passed(event, self.next, old)
            }
            false => self.memory.load16(self.layout.used) & UNWANTED == 0,
        }
    }
    // ANCHOR_END: publish

    /// The next entry of the used ring, if there is one.
    ///
    /// An index that claims more than was published and not taken yet is an error.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<Used>, Overrun> {
        if self.taken == self.seen {
            let index = self.memory.load16(self.layout.used + INDEX);
            if index == self.taken {
                return Ok(None);
            }
            if index.wrapping_sub(self.taken) > self.published.wrapping_sub(self.taken) {
                return Err(Overrun { index });
            }
            self.seen = index;
            // The index before what it tells of, which includes what the device wrote to memory.
            fence(Ordering::Acquire);
        }
        let entry = usize::from(self.taken & (self.layout.entries - 1));
        let word = self
            .memory
            .load64(self.layout.used + ENTRIES + USED * entry);
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(Used {
            id: word as u32,
            len: (word >> 32) as u32,
        }))
    }

    // ANCHOR: arm
    /// Asks for an interrupt for what is used from now on. Returns whether something was used
    /// already that was not taken: then there may be no interrupt for it.
    pub(crate) fn arm(&mut self) -> bool {
        self.armed = Some(self.taken);
        match self.has_events {
            true => self.memory.store16(self.layout.used_event(), self.taken),
            false => self.memory.store16(self.layout.avail, 0),
        }
        // The store above before the load below.
        fence(Ordering::SeqCst);
        self.memory.load16(self.layout.used + INDEX) != self.taken
    }
    // ANCHOR_END: arm

    /// Whether interrupts are wanted, but would not come: each one that came has to be answered by
    /// [`arm`](Self::arm), if the device counts.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.has_events && self.armed.is_some_and(|armed| armed != self.taken)
    }

    /// Asks for no more interrupts. There may be one every 65 536 entries all the same.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
        match self.has_events {
            true => {
                let long_since = self.taken.wrapping_sub(1);
                self.memory.store16(self.layout.used_event(), long_since);
            }
            false => self.memory.store16(self.layout.avail, UNWANTED),
        }
    }

    /// Makes the rings as new. The device is reset, and has never heard of them.
    pub(crate) fn reset(&mut self) {
        for offset in (self.layout.avail..self.layout.bytes).step_by(8) {
            self.memory.store64(offset, 0);
        }
        (self.next, self.published, self.taken, self.seen) = (0, 0, 0, 0);
        match self.armed {
            Some(_) => drop(self.arm()),
            None => self.disarm(),
        }
    }
}

/// True if an index that went from `old` to `new` has passed `event`: one of the entries from
/// `old` on and before `new` has that number. All are taken modulo 65 536 (section 2.7.10).
#[inline]
pub(crate) fn is_passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
