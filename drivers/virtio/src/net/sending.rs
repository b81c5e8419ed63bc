//! The transmit queue: a header of the driver's, and a frame where it lies.
//!
//! A slot is everything that a frame needs, made beforehand: three descriptors of the ring (header, head,
//! body), a header, and a table for frames in more pieces. So a frame whose head and body are each in one
//! piece takes six stores, and nothing is copied whatever kinds of memory they are.
//!
//! The device writes nothing here but which chain it is done with, and that is compared with what is out. The
//! length that it gives has no meaning, and is not looked at. After a reset nothing is sent again: a frame may
//! be lost at any time, and those who mind know what to do.

use super::config::Properties;
use super::desk::{self, Counters, Desk, Mode, Turn, Work, Works};
use super::header::{ETHERNET, HEADER, Offload};
use crate::chain::{Chain, INDIRECT, NEXT, descriptor};
use crate::error::{Error, Failure, RequestError, Violation};
use crate::memory::{Access, Memory};
use crate::platform::{Platform, SharedMemory};
use crate::split::{DESCRIPTOR, Used};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

/// A frame to be sent.
#[derive(Debug)]
pub struct Sending<B> {
    /// Its first bytes.
    pub head: B,
    /// The others, if they lie elsewhere.
    pub body: Option<B>,
    /// What the card is to do with it.
    pub offload: Offload,
    /// Whether the memory is to come back, with this tag. If not, it is dropped when the card is done.
    pub tag: Option<u64>,
}

/// A frame that a queue does not take.
#[derive(Debug)]
pub struct Refused<B> {
    /// As it was.
    pub frame: Sending<B>,
    /// Why. [`Error::Full`] passes.
    pub error: Error,
}

/// A frame with a tag that the card is done with.
#[derive(Debug)]
pub struct Sent<B> {
    /// The tag.
    pub tag: u64,
    /// The memory, head and body; `None` only if [`Error::Lost`] says that it is lost.
    pub memory: Option<(B, Option<B>)>,
    /// Whether the card has sent it.
    pub result: Result<(), Error>,
}

/// A transmit queue. `B` is what frames bring their memory in.
pub struct Sender<P: Platform, B: Memory> {
    /// `None` only while it is being dropped.
    body: Option<Body<P, B>>,
}

/// Descriptors of the ring for each slot, if there are tables: header, head, body.
const CHAIN: u16 = 3;

/// Without tables.
const LONG_CHAIN: u16 = 8;

/// Most descriptors in a slot's table, the header's among them.
const TABLE: u16 = 20;

/// Bytes of a slot's header, with what keeps the next one aligned.
const AREA: usize = 16;

struct Slot<B> {
    /// Head and body.
    memory: Option<(B, Option<B>)>,
    tag: Option<u64>,
    is_out: bool,
    /// The scan before which it was sent.
    sent: u32,
    result: Result<(), Error>,
}

struct Body<P: Platform, B: Memory> {
    desk: Desk<P>,
    properties: Properties,
    slots: Box<[Slot<B>]>,
    free: Vec<u16>,
    /// Slots whose frames wait to be asked for, in the order in which the device was done with them.
    done: VecDeque<u16>,
    outstanding: usize,
    /// Who waits for frames that were sent, and for room.
    waker: Option<Waker>,
    room: Option<Waker>,
    chain: u16,
    area: P::Shared,
    area_bus: u64,
    table: u16,
    tables: Option<P::Shared>,
    tables_bus: u64,
}

impl<P: Platform, B: Memory> Sender<P, B> {
    pub(super) fn new(
        desk: Desk<P>,
        properties: Properties,
        has_tables: bool,
    ) -> Result<Self, Error> {
        let entries = desk.member.rings.entries;
        let (chain, table) = match has_tables {
            true => (CHAIN, TABLE.min(entries)),
            false => (LONG_CHAIN.min(entries), 0),
        };
        let count = entries / chain;
        let area = desk.shared.platform.allocate(usize::from(count) * AREA)?;
        let tables = match table {
            0 => None,
            table => {
                let bytes = usize::from(count) * usize::from(table) * DESCRIPTOR;
                Some(desk.shared.platform.allocate(bytes)?)
            }
        };
        let slot = || Slot {
            memory: None,
            tag: None,
            is_out: false,
            sent: 0,
            result: Ok(()),
        };
        let body = Body {
            properties,
            slots: (0..count).map(|_| slot()).collect(),
            free: (0..count).rev().collect(),
            done: VecDeque::with_capacity(count.into()),
            outstanding: 0,
            waker: None,
            room: None,
            chain,
            area_bus: area.bus().addr().get(),
            area,
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

    pub(super) fn member(&self) -> &alloc::sync::Arc<crate::device::Member> {
        &self.body().desk.member
    }

    /// Most frames that it can have.
    pub fn depth(&self) -> usize {
        self.body().slots.len()
    }

    /// Most ranges of memory in a frame, head and body together.
    pub fn pieces(&self) -> usize {
        usize::from(self.body().chain.max(self.body().table)) - 1
    }

    /// Frames in the queue, in whatever state.
    pub fn frames(&self) -> usize {
        self.depth() - self.body().free.len()
    }

    /// Takes a frame. The device hears of it in the next turn.
    ///
    /// # Errors
    /// The frame comes back, and nothing was sent: it cannot be sent as it is, or there is no room
    /// ([`Error::Full`]), or the device is out of use ([`Error::Dead`]).
    #[inline]
    pub fn send(&mut self, frame: Sending<B>) -> Result<(), Refused<B>> {
        self.body_mut().send(frame)
    }

    /// The next frame with a tag that the device is done with. If there is none, `cx` is woken when there is.
    #[inline]
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Sent<B>> {
        let body = self.body_mut();
        if let Some(sent) = body.take() {
            return Poll::Ready(sent);
        }
        body.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when there is room for a frame, or no use in waiting. Else wakes `cx` when there is.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let body = self.body_mut();
        if !body.free.is_empty() || matches!(body.desk.mode, Mode::Dead(_)) {
            return Poll::Ready(());
        }
        body.room = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<P: Platform, B: Memory> Works for Sender<P, B> {
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
        desk::scan(self.body_mut());
    }

    fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body().desk.poll_order(cx)
    }
}

impl<P: Platform, B: Memory> Drop for Sender<P, B> {
    /// As for every queue: the device cannot reach the memory any more, or it is kept for ever.
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !desk::let_go(&body)
        {
            core::mem::forget(body);
        }
    }
}

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
    fn send(&mut self, frame: Sending<B>) -> Result<(), Refused<B>> {
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

    fn take(&mut self) -> Option<Sent<B>> {
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

    fn wake(&mut self) {
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
    fn finish_all(&mut self, error: Error) {
        self.outstanding = 0;
        for index in 0..self.slots.len() {
            if core::mem::take(&mut self.slots[index].is_out) {
                self.finish(index, Err(error));
            }
        }
        self.wake();
    }
}

fn pieces_of<B>((_, body): &(B, Option<B>)) -> u64 {
    1 + u64::from(body.is_some())
}

impl<P: Platform, B: Memory> Work<P> for Body<P, B> {
    fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        &mut self.desk
    }

    fn clean(&mut self, reason: Failure) {
        self.finish_all(Error::Failed(reason));
    }

    fn end(&mut self, reason: Failure) {
        self.finish_all(Error::Failed(reason));
    }

    fn lose(&mut self) -> u64 {
        let mut lost = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_out) {
            if let Some(memory) = slot.memory.take() {
                lost += pieces_of(&memory);
                core::mem::forget(memory);
            }
        }
        lost
    }

    fn oldest(&self) -> Option<u32> {
        let out = self.slots.iter().filter(|slot| slot.is_out);
        let ages = out.map(|slot| self.desk.scans.wrapping_sub(slot.sent));
        ages.max().map(|age| self.desk.scans.wrapping_sub(age))
    }

    fn held(&self) -> u64 {
        let held = self.slots.iter().filter_map(|slot| slot.memory.as_ref());
        held.map(pieces_of).sum()
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
            self.wake();
        }
        self.desk.found(completed, self.outstanding)
    }
}
