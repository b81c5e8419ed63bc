//! The transmit queue: a header of the driver's, and a frame where it lies.
//!
//! A slot is everything that a frame needs, made beforehand: three descriptors of the ring (header, head,
//! body), a header, and a table for frames in more pieces. So a frame whose head and body are each in one
//! piece takes six stores, and nothing is copied whatever kinds of memory they are.
//!
//! The device writes nothing here but which chain it is done with, and that is compared with what is out. The
//! length that it gives has no meaning, and is not looked at. After a reset nothing is sent again: a frame may
//! be lost at any time, and those who mind know what to do.

mod frames;
mod recovery;

use super::config::Properties;
use super::desk::{self, Counters, Desk, Mode, Turn, Work, Works};
use super::header::Offload;
use crate::error::{Error, Failure};
use crate::memory::Memory;
use crate::platform::{Platform, SharedMemory};
use crate::ring::DESCRIPTOR;
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
