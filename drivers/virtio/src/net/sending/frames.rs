//! From a frame to descriptors, and from what the device says to a frame that was sent.

use super::super::desk::Mode;
use super::super::header::{ETHERNET, HEADER};
use super::{AREA, Body, Refused, Sending, Sent};
use crate::chain::{Chain, INDIRECT, NEXT, descriptor};
use crate::error::{Error, Failure, RequestError, Violation};
use crate::memory::{Access, Memory};
use crate::platform::{Platform, SharedMemory};
use crate::ring::{DESCRIPTOR, Used};

/// Hands out the descriptors of a frame.
#[inline]
fn describe<B: Memory>(frame: &Sending<B>, mut chain: Chain, mut put: impl FnMut(u16, [u64; 2])) {
    for memory in core::iter::once(&frame.head).chain(&frame.body) {
        chain.add(memory.ranges().cursor(), &mut put);
    }
}

/// The descriptors of a frame that has so many pieces, from number `at` on.
#[inline]
fn chain(at: u16, pieces: usize) -> Chain {
    Chain {
        at,
        last: at + pieces as u16 - 1,
        flags: 0,
    }
}

impl<P: Platform, B: Memory> Body<P, B> {
    #[inline]
    pub(super) fn send(&mut self, frame: Sending<B>) -> Result<(), Refused<B>> {
        let pieces = match self.check(&frame) {
            Ok(pieces) => pieces,
            Err(error) => return Err(Refused { frame, error }),
        };
        let Some(number) = self.free.pop() else {
            let error = Error::Full;
            return Err(Refused { frame, error });
        };
        let index = usize::from(number);
        let [first, second] = frame.offload.words();
        self.area.store64(AREA * index, first);
        self.area.store64(AREA * index + 8, second);
        match pieces < usize::from(self.chain) {
            true => self.describe_in_ring(number, &frame, pieces),
            false => self.describe_in_table(number, &frame, pieces),
        }
        let slot = &mut self.slots[index];
        slot.memory = Some((frame.head, frame.body));
        slot.tag = frame.tag;
        slot.is_out = true;
        slot.sent = self.desk.scans;
        self.outstanding += 1;
        self.desk.ring.push(number * self.chain);
        Ok(())
    }

    /// Whether a frame can be sent. Returns the number of its ranges.
    #[inline]
    fn check(&mut self, frame: &Sending<B>) -> Result<usize, Error> {
        if let Mode::Dead(failure) = self.desk.mode {
            return Err(Error::Dead(failure));
        }
        let (mut bytes, mut pieces) = (0, 0);
        for memory in core::iter::once(&frame.head).chain(&frame.body) {
            if memory.access() != Access::ToDevice {
                return Err(RequestError::Access.into());
            }
            let ranges = memory.ranges();
            bytes += ranges.bytes();
            pieces += ranges.pieces();
        }
        let longest = match frame.offload.joined {
            Some(_) => self.properties.longest_sent(),
            None => self.properties.longest_on_wire(),
        };
        if bytes < ETHERNET || bytes > longest {
            return Err(RequestError::Length.into());
        }
        if pieces >= usize::from(self.chain.max(self.table)) {
            return Err(RequestError::Pieces { offset: 0 }.into());
        }
        frame.offload.check(&self.properties, bytes)?;
        if !self.free.is_empty() {
            self.desk.counters.frames += 1;
            self.desk.counters.bytes += bytes;
        }
        Ok(pieces)
    }

    #[inline]
    fn header_of(&self, number: u16, next: u16) -> [u64; 2] {
        let at = self.area_bus + AREA as u64 * u64::from(number);
        descriptor(at, HEADER as u32, NEXT, next)
    }

    #[inline]
    fn describe_in_ring(&self, number: u16, frame: &Sending<B>, pieces: usize) {
        let head = number * self.chain;
        self.desk
            .ring
            .describe(head, self.header_of(number, head + 1));
        describe(frame, chain(head + 1, pieces), |at, words| {
            self.desk.ring.describe(at, words);
        });
    }

    fn describe_in_table(&mut self, number: u16, frame: &Sending<B>, pieces: usize) {
        let Some(tables) = &self.tables else {
            return;
        };
        let offset = usize::from(number) * usize::from(self.table) * DESCRIPTOR;
        let store = |at: u16, words: [u64; 2]| {
            let words = self.desk.ring.in_table(words);
            let place = offset + DESCRIPTOR * usize::from(at);
            tables.store64(place, words[0]);
            tables.store64(place + 8, words[1]);
        };
        store(0, self.header_of(number, 1));
        describe(frame, chain(1, pieces), store);
        let len = (DESCRIPTOR * (pieces + 1)) as u32;
        let words = descriptor(self.tables_bus + offset as u64, len, INDIRECT, 0);
        self.desk.ring.describe(number * self.chain, words);
        self.desk.counters.indirect += 1;
    }

    /// Takes all that was used. Returns the number.
    #[inline]
    pub(super) fn reap(&mut self) -> usize {
        let mut count = 0;
        while self.desk.mode == Mode::Live {
            let taken = match self.desk.ring.pop() {
                Ok(None) => break,
                Ok(Some(used)) => self.complete(used),
                Err(violation) => Err(violation),
            };
            match taken {
                Ok(()) => count += 1,
                Err(violation) => self.desk.trouble(Failure::Violation(violation)),
            }
        }
        count
    }

    #[inline]
    fn complete(&mut self, used: Used) -> Result<(), Violation> {
        let unknown = Violation::UsedId(used.id);
        let chain = u32::from(self.chain);
        let index = (used.id / chain) as usize;
        let slot = self.slots.get_mut(index).ok_or(unknown)?;
        if !slot.is_out || !used.id.is_multiple_of(chain) {
            return Err(unknown);
        }
        slot.is_out = false;
        self.outstanding -= 1;
        self.finish(index, Ok(()));
        Ok(())
    }

    /// The device is done with a frame, or will never be.
    #[inline]
    fn finish(&mut self, index: usize, result: Result<(), Error>) {
        let slot = &mut self.slots[index];
        if slot.tag.is_none() {
            slot.memory = None;
            self.free.push(index as u16);
            return;
        }
        slot.result = match (result, &slot.memory) {
            (Err(Error::Failed(failure)), None) => Err(Error::Lost(failure)),
            _ => result,
        };
        self.done.push_back(index as u16);
    }

    pub(super) fn take(&mut self) -> Option<Sent<B>> {
        let number = self.done.pop_front()?;
        let slot = &mut self.slots[usize::from(number)];
        let sent = Sent {
            tag: slot.tag.unwrap_or_default(),
            memory: slot.memory.take(),
            result: slot.result,
        };
        self.free.push(number);
        if let Some(waker) = self.room.take() {
            waker.wake();
        }
        Some(sent)
    }

    pub(super) fn wake(&mut self) {
        if (!self.done.is_empty() || matches!(self.desk.mode, Mode::Dead(_)))
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
        if (!self.free.is_empty() || matches!(self.desk.mode, Mode::Dead(_)))
            && let Some(waker) = self.room.take()
        {
            waker.wake();
        }
    }

    /// Ends all frames that are out.
    pub(super) fn finish_all(&mut self, error: Error) {
        self.outstanding = 0;
        for index in 0..self.slots.len() {
            if core::mem::take(&mut self.slots[index].is_out) {
                self.finish(index, Err(error));
            }
        }
        self.wake();
    }
}
