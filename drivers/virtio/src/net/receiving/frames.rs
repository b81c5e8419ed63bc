//! From memory that lies ready to frames that are whole.

use super::super::desk::Mode;
use super::super::header::{self, HEADER, Malformed};
use super::{Body, Frame, Landing, Partial, Piece};
use crate::chain::{Chain, INDIRECT, WRITE, descriptor};
use crate::error::{Error, Failure, RequestError, Violation};
use crate::memory::Access;
use crate::platform::{Platform, SharedMemory};
use crate::ring::{DESCRIPTOR, Used};
use alloc::vec::Vec;

impl<P: Platform, B: Landing> Body<P, B> {
    #[inline]
    pub(super) fn supply(&mut self, memory: B) -> Result<(), (Error, B)> {
        let ranges = memory.ranges();
        let (bytes, pieces) = (ranges.bytes(), ranges.pieces());
        let error = match self.desk.mode {
            Mode::Dead(failure) => Some(Error::Dead(failure)),
            _ if memory.access() != Access::FromDevice => Some(RequestError::Access.into()),
            _ if bytes < self.properties.least() || bytes > u64::from(u32::MAX) => {
                Some(RequestError::Length.into())
            }
            _ if pieces > usize::from(self.table.max(1)) => {
                Some(RequestError::Pieces { offset: 0 }.into())
            }
            _ if self.free.is_empty() => Some(Error::Full),
            _ => None,
        };
        let Some(number) = error.is_none().then(|| self.free.pop()).flatten() else {
            return Err((error.unwrap_or(Error::Full), memory));
        };
        self.describe(number, &memory, pieces);
        let slot = &mut self.slots[usize::from(number)];
        slot.buffer = Some(memory);
        slot.room = bytes as u32;
        self.offer(number);
        Ok(())
    }

    /// Writes the descriptors of a slot.
    #[inline]
    fn describe(&self, number: u16, memory: &B, pieces: usize) {
        let cursor = memory.ranges().cursor();
        let chain = |at: u16| Chain {
            at,
            last: at + pieces as u16 - 1,
            flags: WRITE,
        };
        if pieces == 1 {
            chain(number).add(cursor, |at, words| self.desk.ring.describe(at, words));
            return;
        }
        let Some(tables) = &self.tables else {
            return;
        };
        let offset = usize::from(number) * usize::from(self.table) * DESCRIPTOR;
        chain(0).add(cursor, |at, words| {
            let words = self.desk.ring.in_table(words);
            let place = offset + DESCRIPTOR * usize::from(at);
            tables.store64(place, words[0]);
            tables.store64(place + 8, words[1]);
        });
        let len = (DESCRIPTOR * pieces) as u32;
        let words = descriptor(self.tables_bus + offset as u64, len, INDIRECT, 0);
        self.desk.ring.describe(number, words);
    }

    /// Puts a slot into the ring.
    #[inline]
    pub(super) fn offer(&mut self, number: u16) {
        self.slots[usize::from(number)].is_out = true;
        self.outstanding += 1;
        self.desk.ring.push(number);
    }

    /// Takes all that was used, and looks at each. Returns their number.
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

    // ANCHOR: complete
    #[inline]
    fn complete(&mut self, used: Used) -> Result<(), Violation> {
        let slot = self.slots.get_mut(used.id as usize);
        let slot = slot.filter(|slot| slot.is_out);
        let slot = slot.ok_or(Violation::UsedId(used.id))?;
        if used.len == 0 || used.len > slot.room {
            return Err(Violation::UsedLength(used.len));
        }
        slot.is_out = false;
        self.outstanding -= 1;
        self.arrived.push_back((used.id as u16, used.len));
        Ok(())
    }
    // ANCHOR_END: complete

    /// The next frame that is whole.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Frame<B::Landed>> {
        if let Some(frame) = self.broken.take() {
            return Some(frame);
        }
        loop {
            if let Some(partial) = self.partial.take() {
                match self.go_on(partial) {
                    Ok(frame) => return Some(frame),
                    Err(partial) => {
                        self.partial = Some(partial);
                        return None;
                    }
                }
            }
            let (slot, len) = self.arrived.pop_front()?;
            let (memory, header) = self.land(slot)?;
            let first = Piece {
                memory,
                part: HEADER.min(len as usize)..len as usize,
            };
            let rest = Vec::new();
            let content = Err(Malformed);
            let mut frame = Frame {
                first,
                rest,
                content,
            };
            let missing = match self.missing(header, len) {
                Ok(missing) => missing,
                Err(failure) => {
                    self.desk.trouble(failure);
                    return Some(frame);
                }
            };
            let header = header.unwrap_or_default();
            if missing == 0 {
                self.finish(&mut frame, &header);
                return Some(frame);
            }
            frame.rest.reserve_exact(missing.into());
            self.partial = Some(Partial {
                frame,
                header,
                missing,
                since: self.desk.scans,
            });
        }
    }

    /// Takes memory off the bus.
    #[inline]
    fn land(&mut self, slot: u16) -> Option<(B::Landed, Option<[u8; HEADER]>)> {
        let buffer = self.slots[usize::from(slot)].buffer.take()?;
        self.free.push(slot);
        Some(buffer.land())
    }

    /// How many pieces are still to come, by the header in the first.
    #[inline]
    fn missing(&self, header: Option<[u8; HEADER]>, len: u32) -> Result<u16, Failure> {
        // What cannot be read says nothing about what follows.
        let header = header.ok_or(Failure::Violation(Violation::Buffers(0)))?;
        if (len as usize) < HEADER {
            return Err(Failure::Violation(Violation::UsedLength(len)));
        }
        // Without the feature it is always one, whatever is written there.
        let buffers = match self.properties.mergeable {
            true => header::buffers(&header),
            false => 1,
        };
        let there = self.arrived.len() + self.outstanding;
        match buffers.checked_sub(1) {
            Some(missing) if usize::from(missing) <= there => Ok(missing),
            _ => Err(Failure::Violation(Violation::Buffers(buffers))),
        }
    }

    /// Adds the pieces that have come.
    fn go_on(
        &mut self,
        mut partial: Partial<B::Landed>,
    ) -> Result<Frame<B::Landed>, Partial<B::Landed>> {
        while partial.missing > 0 {
            let Some((slot, len)) = self.arrived.pop_front() else {
                return Err(partial);
            };
            let Some((memory, _)) = self.land(slot) else {
                return Err(partial);
            };
            partial.missing -= 1;
            partial.frame.rest.push(Piece {
                memory,
                part: 0..len as usize,
            });
        }
        self.desk.counters.merged += 1;
        self.finish(&mut partial.frame, &partial.header);
        Ok(partial.frame)
    }

    /// All of a frame is there.
    #[inline]
    fn finish(&mut self, frame: &mut Frame<B::Landed>, header: &[u8; HEADER]) {
        let rest: usize = frame.rest.iter().map(|piece| piece.part.len()).sum();
        let bytes = (frame.first.part.len() + rest) as u64;
        frame.content = header::content(header, &self.properties, bytes);
        let counters = &mut self.desk.counters;
        match frame.content {
            Ok(_) => {
                counters.frames += 1;
                counters.bytes += bytes;
            }
            Err(Malformed) => counters.malformed += 1,
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
