//! The device's side of a packed virtqueue, with the two wrap counters of the specification.

use crate::chain::{NEXT, WRITE, descriptor};
use crate::packed::*;
use crate::platform::SharedMemory;
use crate::split::Used;
use crate::split_tests::Words;
use std::collections::BTreeMap;

/// A place in the ring, and the lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) at: u16,
    pub(super) wrap: bool,
}

impl Position {
    pub(super) const START: Self = Self { at: 0, wrap: true };
    pub(super) fn step(&mut self, size: u16) {
        self.at += 1;
        if self.at == size {
            (self.at, self.wrap) = (0, !self.wrap);
        }
    }
    pub(super) fn word(self) -> u16 {
        self.at | u16::from(self.wrap) << 15
    }
}

/// A chain as the device sees it: identifier, and of each place address, length, flags.
pub(super) type Chain = (u16, Vec<(u64, u32, u16)>);

/// The device's side of a queue.
pub(super) struct Device<'w> {
    pub(super) words: &'w Words,
    pub(super) layout: Layout,
    pub(super) seen: Position,
    pub(super) used: Position,
    /// Places of what it has.
    pub(super) spans: BTreeMap<u16, u16>,
}

impl<'w> Device<'w> {
    pub(super) fn new(words: &'w Words, layout: Layout) -> Self {
        Self {
            words,
            layout,
            seen: Position::START,
            used: Position::START,
            spans: BTreeMap::new(),
        }
    }
    pub(super) fn look(&self) -> Option<(u64, u32, u16, u16)> {
        let at = 16 * usize::from(self.seen.at);
        let word = self.words.load64(at + 8);
        let flags = (word >> 48) as u16;
        let (avail, used) = (flags & 0x80 != 0, flags & 0x8000 != 0);
        (avail == self.seen.wrap && used != self.seen.wrap).then(|| {
            let address = self.words.load64(at);
            (address, word as u32, (word >> 32) as u16, flags & 0x7f7f)
        })
    }
    /// Takes the next chain.
    pub(super) fn take(&mut self) -> Option<Chain> {
        let mut places = Vec::new();
        let mut next = self.look()?;
        loop {
            self.seen.step(self.layout.entries);
            let (address, len, id, flags) = next;
            places.push((address, len, flags));
            if flags & NEXT == 0 {
                assert_eq!(
                    self.spans.insert(id, places.len() as u16),
                    None,
                    "it is out"
                );
                return Some((id, places));
            }
            next = self.look().expect("a chain is available as a whole");
        }
    }
    pub(super) fn say(&mut self, id: u16, len: u32, span: u16) {
        let flags: u64 = if self.used.wrap { 0x8080 } else { 0 };
        let word = u64::from(len) | u64::from(id) << 32 | flags << 48;
        let at = 16 * usize::from(self.used.at) + 8;
        self.words.store64(at, word);
        for _ in 0..span {
            self.used.step(self.layout.entries);
        }
    }
    pub(super) fn finish(&mut self, id: u16, len: u32) {
        let span = self.spans.remove(&id).expect("it has it");
        self.say(id, len, span);
    }
    /// Wants to be told of the next place.
    pub(super) fn sleep(&self) {
        self.words.store16(self.layout.device, self.seen.word());
        self.words.store16(self.layout.device + 2, 2);
    }
    /// Whether the driver wants to be told, when the device has gone from there to where it is.
    pub(super) fn is_wanted(&self, mut from: Position) -> bool {
        let event = self.words.load16(self.layout.driver);
        match self.words.load16(self.layout.driver + 2) {
            0 => true,
            1 => false,
            _ => {
                let mut is_passed = false;
                while from != self.used {
                    is_passed |= from.word() == event;
                    from.step(self.layout.entries);
                }
                is_passed
            }
        }
    }
}

/// Describes and pushes a chain of so many descriptors, the last of which is written.
pub(super) fn push(packed: &mut Packed<&Words>, head: u16, pieces: u16) {
    for number in head..head + pieces {
        let (flags, next) = match number + 1 == head + pieces {
            true => (WRITE, 0),
            false => (NEXT, number + 1),
        };
        packed.describe(
            number,
            descriptor(
                1000 + u64::from(number),
                10 + u32::from(number),
                flags,
                next,
            ),
        );
    }
    packed.push(head);
}

/// What the device has to see of it.
pub(super) fn chain(head: u16, pieces: u16) -> Chain {
    let places = (head..head + pieces).map(|number| {
        let flags = if number + 1 == head + pieces {
            WRITE
        } else {
            NEXT
        };
        (1000 + u64::from(number), 10 + u32::from(number), flags)
    });
    (head, places.collect())
}

pub(super) fn used(id: u16, len: u32) -> Result<Option<Used>, Lie> {
    Ok(Some(Used { id: id.into(), len }))
}
