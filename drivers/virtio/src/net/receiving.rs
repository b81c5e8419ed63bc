//! The receive queue: memory that lies ready, and frames that arrive in it.
//!
//! Each piece of memory that is supplied is a chain of its own, all of it for the device to write. A frame
//! begins with its header, in the same memory. So the driver has to read what the device has written, and a
//! [`Memory`] cannot be read: [`Landing`] is how it comes off the bus.
//!
//! What the device says is believed only after it was compared with what the queue knows: the chain is out,
//! the bytes are no more than the memory has, and a frame does not lie in more pieces than the device was
//! given. A device that breaks these rules is reset. A header that makes no sense costs the frame.

use super::config::Properties;
use super::desk::{self, Counters, Desk, Mode, Turn, Work, Works};
use super::header::{self, Content, HEADER, Malformed};
use crate::chain::{Chain, INDIRECT, WRITE, descriptor};
use crate::error::{Error, Failure, RequestError, Violation};
use crate::memory::{Access, Memory};
use crate::platform::{Platform, SharedMemory};
use crate::split::{DESCRIPTOR, Used};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::{Context, Poll, Waker};

/// Memory to receive in.
///
/// The driver calls [`land`](Self::land) when the device is done with it.
pub trait Landing: Memory {
    /// The memory when it is off the bus.
    type Landed;

    /// Takes the memory off the bus, and copies its first bytes. `None` if they cannot be read.
    fn land(self) -> (Self::Landed, Option<[u8; HEADER]>);
}

/// Memory in which a part of a frame lies.
#[derive(Debug)]
pub struct Piece<T> {
    /// All of the memory.
    pub memory: T,
    /// Which bytes of it the part is.
    pub part: Range<usize>,
}

/// A frame that arrived.
#[derive(Debug)]
pub struct Frame<T> {
    /// Its first part.
    pub first: Piece<T>,
    /// The others, if there are any. They are the only thing for which a queue asks for memory: frames in
    /// one piece cost nothing.
    pub rest: Vec<Piece<T>>,
    /// What the card says of it. A malformed one is to be thrown away.
    pub content: Result<Content, Malformed>,
}

/// A receive queue. `B` is what memory is supplied as.
pub struct Receiver<P: Platform, B: Landing> {
    /// `None` only while it is being dropped.
    body: Option<Body<P, B>>,
}

/// Most descriptors in a slot's table.
const TABLE: u16 = 8;

/// A slot: one descriptor of the ring, and a table.
struct Slot<B> {
    buffer: Option<B>,
    /// Bytes that the device may write.
    room: u32,
    is_out: bool,
}

/// A frame of which pieces are missing.
struct Partial<T> {
    frame: Frame<T>,
    header: [u8; HEADER],
    missing: u16,
    /// The scan before which its first piece came.
    since: u32,
}

struct Body<P: Platform, B: Landing> {
    desk: Desk<P>,
    properties: Properties,
    slots: Box<[Slot<B>]>,
    free: Vec<u16>,
    /// Slots that the device is done with, and what it says it has written, in order.
    arrived: VecDeque<(u16, u32)>,
    partial: Option<Partial<B::Landed>>,
    /// A frame that was cut off by a reset.
    broken: Option<Frame<B::Landed>>,
    outstanding: usize,
    /// Something arrived since the last scan.
    is_busy: bool,
    waker: Option<Waker>,
    table: u16,
    tables: Option<P::Shared>,
    tables_bus: u64,
}

impl<P: Platform, B: Landing> Receiver<P, B> {
    pub(super) fn new(
        desk: Desk<P>,
        properties: Properties,
        has_tables: bool,
    ) -> Result<Self, Error> {
        let count = desk.member.rings.entries;
        let table = if has_tables { TABLE.min(count) } else { 0 };
        let tables = match table {
            0 => None,
            table => {
                let bytes = usize::from(count) * usize::from(table) * DESCRIPTOR;
                Some(desk.shared.platform.allocate(bytes)?)
            }
        };
        let slot = || Slot {
            buffer: None,
            room: 0,
            is_out: false,
        };
        let body = Body {
            properties,
            slots: (0..count).map(|_| slot()).collect(),
            free: (0..count).rev().collect(),
            arrived: VecDeque::with_capacity(count.into()),
            partial: None,
            broken: None,
            outstanding: 0,
            is_busy: false,
            waker: None,
            table,
            tables_bus: tables.as_ref().map_or(0, |all| all.bus().addr().get()),
            tables,
            desk,
        };
        Ok(Self { body: Some(body) })
    }

    fn body(&self) -> &Body<P, B> {
        self.body.as_ref().expect("it is there until it is dropped")
    }

    #[inline]
    fn body_mut(&mut self) -> &mut Body<P, B> {
        self.body.as_mut().expect("it is there until it is dropped")
    }

    /// Pieces of memory that it can have at once.
    pub fn depth(&self) -> usize {
        self.body().slots.len()
    }

    /// Most ranges that such a piece may lie in.
    pub fn pieces(&self) -> usize {
        self.body().table.max(1).into()
    }

    /// Pieces of memory that it has, whether something has arrived in them or not.
    pub fn supplied(&self) -> usize {
        self.depth() - self.body().free.len()
    }

    /// Takes memory for a frame, or for a part of one. The device hears of it in the next turn.
    ///
    /// # Errors
    /// The memory comes back: it is too short, in too many pieces or for the other direction, or there is no
    /// room ([`Error::Full`]), or the device is out of use ([`Error::Dead`]).
    #[inline]
    pub fn supply(&mut self, memory: B) -> Result<(), (Error, B)> {
        self.body_mut().supply(memory)
    }

    /// The next frame. If there is none, `cx` is woken when there may be.
    #[inline]
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Frame<B::Landed>> {
        let body = self.body_mut();
        if let Some(frame) = body.next() {
            return Poll::Ready(frame);
        }
        match &mut body.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<P: Platform, B: Landing> Works for Receiver<P, B> {
    #[inline]
    fn turn(&mut self) -> Turn {
        self.body_mut().turn()
    }

    fn arm(&mut self) {
        self.body_mut().desk.ring.arm();
    }

    fn disarm(&mut self) {
        self.body_mut().desk.ring.disarm();
    }

    fn failure(&self) -> Option<Failure> {
        self.body().desk.failure()
    }

    fn counters(&self) -> Counters {
        self.body().desk.counters
    }

    fn scan(&mut self) {
        let body = self.body_mut();
        desk::scan(body);
        // Nothing may have arrived because nobody has sent, or because the device was not told that there
        // is memory: a notification was lost.
        let is_quiet = !core::mem::take(&mut body.is_busy);
        if is_quiet && body.outstanding > 0 && body.desk.mode == Mode::Live {
            body.desk.notify();
        }
    }

    fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body().desk.poll_order(cx)
    }
}

impl<P: Platform, B: Landing> Receiver<P, B> {
    pub(super) fn member(&self) -> &alloc::sync::Arc<crate::device::Member> {
        &self.body().desk.member
    }
}

impl<P: Platform, B: Landing> Drop for Receiver<P, B> {
    /// As for every queue: the device cannot reach the memory any more, or it is kept for ever.
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !desk::let_go(&body)
        {
            core::mem::forget(body);
        }
    }
}

impl<P: Platform, B: Landing> Body<P, B> {
    #[inline]
    fn supply(&mut self, memory: B) -> Result<(), (Error, B)> {
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
    fn offer(&mut self, number: u16) {
        self.slots[usize::from(number)].is_out = true;
        self.outstanding += 1;
        self.desk.ring.push(number);
    }

    /// Takes all that was used, and looks at each. Returns their number.
    #[inline]
    fn reap(&mut self) -> usize {
        let mut count = 0;
        while self.desk.mode == Mode::Live {
            let taken = match self.desk.ring.pop() {
                Ok(None) => break,
                Ok(Some(used)) => self.complete(used),
                Err(overrun) => Err(Violation::UsedIndex(overrun.index)),
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
    fn next(&mut self) -> Option<Frame<B::Landed>> {
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

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<P: Platform, B: Landing> Work<P> for Body<P, B> {
    fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        &mut self.desk
    }

    /// Frames that were not taken yet are lost, and their memory lies ready again, with all other.
    fn clean(&mut self, _: Failure) {
        self.arrived.clear();
        self.outstanding = 0;
        if let Some(partial) = self.partial.take() {
            self.broken = Some(partial.frame);
        }
        for number in 0..self.slots.len() as u16 {
            if self.slots[usize::from(number)].buffer.is_some() {
                self.offer(number);
            }
        }
        self.wake();
    }

    fn end(&mut self, _: Failure) {
        self.arrived.clear();
        self.outstanding = 0;
        self.partial = None;
        self.broken = None;
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            slot.is_out = false;
            if slot.buffer.take().is_some() {
                self.free.push(number as u16);
            }
        }
        self.wake();
    }

    fn lose(&mut self) -> u64 {
        let mut lost = 0;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if !core::mem::take(&mut slot.is_out) {
                continue;
            }
            if let Some(buffer) = slot.buffer.take() {
                core::mem::forget(buffer);
                self.free.push(number as u16);
                lost += 1;
            }
        }
        lost
    }

    fn oldest(&self) -> Option<u32> {
        self.partial.as_ref().map(|partial| partial.since)
    }

    fn held(&self) -> u64 {
        let held = self.slots.iter().filter(|slot| slot.buffer.is_some());
        held.count() as u64
    }

    #[inline]
    fn turn(&mut self) -> Turn {
        desk::obey(self);
        // First, so that nothing can be used that the device does not know of.
        self.desk.publish();
        let mut completed = self.reap();
        while self.desk.ring.is_spent() && self.desk.mode == Mode::Live {
            self.desk.ring.arm();
            completed += self.reap();
        }
        if completed > 0 {
            self.is_busy = true;
            self.wake();
        }
        self.desk.found(completed, self.outstanding)
    }
}
