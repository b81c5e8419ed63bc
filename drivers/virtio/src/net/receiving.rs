//! The receive queue: memory that lies ready, and frames that arrive in it.
//!
//! Each piece of memory that is supplied is a chain of its own, all of it for the device to write. A frame
//! begins with its header, in the same memory. So the driver has to read what the device has written, and a
//! [`Memory`] cannot be read: [`Landing`] is how it comes off the bus.
//!
//! What the device says is believed only after it was compared with what the queue knows: the chain is out,
//! the bytes are no more than the memory has, and a frame does not lie in more pieces than the device was
//! given. A device that breaks these rules is reset. A header that makes no sense costs the frame.

mod frames;
mod recovery;

use super::config::Properties;
use super::desk::{self, Counters, Desk, Mode, Turn, Work, Works};
use super::header::{Content, HEADER, Malformed};
use crate::error::{Error, Failure};
use crate::memory::Memory;
use crate::platform::{Platform, SharedMemory};
use crate::ring::DESCRIPTOR;
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
