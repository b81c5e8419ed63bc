//! A request queue, used by one core.
//!
//! A slot of the queue is a request, with everything that its commands need: three descriptors of
//! the ring, a header and a status byte that the device reads and writes, and a table for long
//! lists. So a submit asks nobody for anything, and a slot that is free can always send.
//!
//! A request that is longer than a command, in bytes or in pieces, is sent as one command after the
//! other in its slot. Data in one piece, of up to a gigabyte, is one command.
//!
//! - No lock, no allocation, and no register but the one that notifies: a queue is `&mut`.
//! - [`turn`](Queue::turn) does all that is to be done, with at most one notification for what has
//!   been submitted, and must be called after requests were submitted and before the core sleeps.
//! - A request that its caller has [abandoned](Queue::abandon) is carried to its end all the same:
//!   the command that is out is waited for, and only then its memory is dropped.
//! - The queue never decides about the device. When something is wrong, it says so and stops, and
//!   goes on when the device has been reset.

mod completion;
mod orders;
mod reach;
mod sending;
mod slot;

use super::config::{Block, Properties};
use super::request::{Done, Request};
use crate::device::{Member, Shared};
use crate::error::{Error, Failure};
use crate::memory::Memory;
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::ring::{DESCRIPTOR, Ring, Terms};
use crate::transport::Accepted;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use slot::{AREA, Plan, Slot};
use virtio_spec::blk::F;

pub use reach::{Reach, attend};

/// A request queue. `B` is what requests bring their memory in.
pub struct Queue<P: Platform, B: Memory> {
    /// `None` only while it is being dropped.
    body: Option<Body<P, B>>,
}

/// A request that is in a queue. To be [polled](Queue::poll) or [abandoned](Queue::abandon).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request whose ticket is lost keeps its slot for ever"]
pub struct Ticket {
    slot: usize,
    /// Which of the slot's requests.
    serial: u32,
}

impl Ticket {
    /// The ticket as one number, for those who hand on nothing else.
    #[inline]
    pub fn into_number(self) -> u64 {
        u64::from(self.serial) << 32 | self.slot as u64
    }

    /// The ticket of a number that [`into_number`](Self::into_number) has given. One that was made
    /// up belongs to no request.
    #[inline]
    pub fn from_number(number: u64) -> Self {
        Self {
            slot: number as u32 as usize,
            serial: (number >> 32) as u32,
        }
    }
}

/// A request that a queue does not take.
#[derive(Debug)]
pub struct Refused<B> {
    /// The request as it was.
    pub request: Request<B>,
    /// Why. [`Error::Full`] passes.
    pub error: Error,
}

/// What one [`turn`](Queue::turn) has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Commands that were complete.
    pub completed: usize,
    /// Commands that the device has now.
    pub outstanding: usize,
    /// Whether the device interrupts for this queue, if it is [armed](Queue::arm).
    pub interrupts: bool,
}

/// What a queue has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands sent.
    pub commands: u64,
    /// Of these, with a table of their own for their pieces.
    pub indirect: u64,
    /// Times that the device was notified.
    pub notifications: u64,
    /// Commands that ended with an error.
    pub errors: u64,
    /// Commands that were sent again after a reset.
    pub retries: u64,
    /// Resets of the device that the queue has seen.
    pub resets: u64,
}

/// Whether a queue may use its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The device knows the ring.
    Live,
    /// It does not, or is not to be believed. Requests are kept.
    Held,
    /// The device is out of use. Requests are refused.
    Dead(Failure),
}

/// All of a queue.
struct Body<P: Platform, B> {
    shared: Arc<Shared<P, Block>>,
    member: Arc<Member>,
    mode: Mode,
    /// The device may use the queue's memory although nobody knows its state.
    is_lost: bool,
    ring: Ring<P::Shared>,
    plan: Plan,
    /// Offset in the notification block, cached.
    notify_at: usize,
    has_vector: bool,
    slots: Box<[Slot<B>]>,
    /// Slots that are free; the last is given out next.
    free: Vec<u16>,
    /// Commands that the device has.
    outstanding: usize,
    /// Slots with a command to send, when the device may be told.
    waiting: VecDeque<u16>,
    /// Who waits for room.
    room: Vec<Waker>,
    /// Headers, segments, status bytes.
    area: P::Shared,
    area_bus: u64,
    /// Tables of all slots, one after the other.
    tables: Option<P::Shared>,
    tables_bus: u64,
    /// Number of looks at what is outstanding so far.
    scans: u32,
    counters: Counters,
}

impl<P: Platform, B: Memory> Queue<P, B> {
    /// Takes memory for a queue. It holds until the device knows of it.
    pub(super) fn allocate(
        shared: Arc<Shared<P, Block>>,
        number: u16,
        entries: u16,
        vector: Option<u16>,
        properties: &Properties,
        features: &Accepted<F>,
    ) -> Result<Self, OutOfMemory> {
        let plan = Plan::new(entries, properties, features);
        let count = usize::from(plan.slots);
        let platform = &shared.platform;
        let terms = Terms::new(features);
        let (ring, rings) = Ring::allocate(platform, terms, number, entries, vector)?;
        let area = platform.allocate(count * AREA)?;
        let tables = match plan.table {
            0 => None,
            table => Some(platform.allocate(count * usize::from(table) * DESCRIPTOR)?),
        };
        let start = |memory: &P::Shared| memory.bus().addr().get();
        let slot = || Slot {
            serial: 0,
            is_out: false,
            data: 0,
            tries: 0,
            sent: 0,
            active: None,
        };
        let body = Body {
            member: Arc::new(Member::new(rings)),
            mode: Mode::Held,
            is_lost: false,
            ring,
            plan,
            notify_at: 0,
            has_vector: false,
            slots: (0..count).map(|_| slot()).collect(),
            free: (0..plan.slots).rev().collect(),
            outstanding: 0,
            waiting: VecDeque::with_capacity(count),
            room: Vec::with_capacity(count),
            area_bus: start(&area),
            area,
            tables_bus: tables.as_ref().map_or(0, start),
            tables,
            scans: 0,
            counters: Counters::default(),
            shared,
        };
        body.link_chains();
        Ok(Self { body: Some(body) })
    }

    fn body(&self) -> &Body<P, B> {
        self.body.as_ref().expect("it is there until it is dropped")
    }

    #[inline]
    fn body_mut(&mut self) -> &mut Body<P, B> {
        self.body.as_mut().expect("it is there until it is dropped")
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.body().member
    }

    /// Number of the queue.
    pub fn number(&self) -> u16 {
        self.member().rings.queue
    }

    /// Most requests that it can have.
    pub fn depth(&self) -> usize {
        self.body().slots.len()
    }

    /// Most pieces of memory in one command.
    pub fn pieces(&self) -> u16 {
        self.body().plan.cut.max_pieces
    }

    /// Commands that the device has now.
    pub fn outstanding(&self) -> usize {
        self.body().outstanding
    }

    /// Requests in the queue, in whatever state: a request keeps its slot until it is given back.
    pub fn requests(&self) -> usize {
        self.depth() - self.body().free.len()
    }

    /// True if no request is in the queue, in whatever state.
    pub fn is_idle(&self) -> bool {
        self.requests() == 0
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.body().counters
    }

    /// Why the device is out of use, as far as this queue has heard.
    pub fn failure(&self) -> Option<Failure> {
        match self.body().mode {
            Mode::Dead(failure) => Some(failure),
            Mode::Live | Mode::Held => None,
        }
    }

    /// Takes a request. Its first command is in the ring, but the device does not know of it before
    /// the next [`turn`](Self::turn).
    ///
    /// # Errors
    /// The request comes back, and nothing was sent: it cannot be sent as it is, or there is no room
    /// ([`Error::Full`]), or the device is out of use ([`Error::Dead`]). While the device is being
    /// reset, requests are taken and wait.
    #[inline]
    pub fn submit(&mut self, request: Request<B>, waker: &Waker) -> Result<Ticket, Refused<B>> {
        self.body_mut().submit(request, waker)
    }

    /// The request, if it is over. Else wakes `cx` when it is.
    ///
    /// The result is [`RequestError::NoSuchRequest`](crate::RequestError::NoSuchRequest), and there is no memory, if
    /// the ticket is of another queue, or its request was given back already.
    #[inline]
    pub fn poll(&mut self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Done<B>> {
        self.body_mut().poll(ticket, cx)
    }

    /// Nobody wants the request's result any more. Its memory is dropped when the device is done
    /// with it.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.body_mut().abandon(&ticket);
    }

    /// Ready when there is room for a request, or no use in waiting. Else wakes `cx` when there is.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body_mut().poll_room(cx)
    }

    /// All that is to be done: orders from the recovering core, notifications, completions. Once in
    /// each turn of the core's executor, and before the core sleeps.
    #[inline]
    pub fn turn(&mut self) -> Turn {
        self.body_mut().turn()
    }

    /// Asks the device for interrupts, from the next completion on. What came before is found by
    /// the [`turn`](Self::turn) that has to follow, and that keeps asking.
    pub fn arm(&mut self) {
        self.body_mut().ring.arm();
    }

    /// Asks the device for no more interrupts: somebody looks all the time. An odd one may come.
    pub fn disarm(&mut self) {
        self.body_mut().ring.disarm();
    }

    /// Looks for commands that are out for too long. Called by [`attend`], now and then.
    pub(super) fn scan(&mut self) -> Turn {
        self.body_mut().scan()
    }

    /// Ready when the recovering core has said something: [`turn`](Self::turn) does it.
    fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let member = self.member();
        member.attendant.register(cx.waker());
        match member.link.pending() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
}

impl<P: Platform, B: Memory> Drop for Queue<P, B> {
    /// Makes sure that the device cannot reach the queue's memory, nor that of its requests.
    ///
    /// A queue of a device that was shut down just goes. Else the device is cut off from memory: it
    /// fails, for all its queues.
    fn drop(&mut self) {
        if let Some(mut body) = self.body.take()
            && !body.let_go()
        {
            core::mem::forget(body);
        }
    }
}

impl<P: Platform, B: Memory> Body<P, B> {
    /// Before the queue's memory goes. Returns whether the device cannot reach it any more.
    fn let_go(&mut self) -> bool {
        let is_ordered = self.member.link.pending().is_some();
        let is_done = matches!(self.mode, Mode::Dead(_)) && !self.is_lost && !is_ordered;
        let is_safe = is_done || self.shared.leave(&self.member);
        if !is_safe {
            let kept = self.slots.iter().filter_map(|slot| slot.active.as_ref());
            let kept = kept.filter(|active| active.data.is_some()).count() as u64;
            self.shared.lost.fetch_add(kept, Ordering::Relaxed);
        }
        self.member.is_gone.store(true, Ordering::Release);
        self.shared.nudge();
        is_safe
    }
}
