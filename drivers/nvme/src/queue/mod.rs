//! An I/O queue pair, used by one core.
//!
//! # The problem
//!
//! A caller has a request of any length; the device takes commands of limited length, so many
//! at a time, and answers in any order. The memory of a request belongs to the device from the
//! first command to the last completion, whatever becomes of the caller. And all this happens
//! a million times a second.
//!
//! # The idea
//!
//! [`Queue::submit`] moves a request, with its memory, into a table of the queue. From then on
//! the queue makes its commands, one after the other as there is room, and gives back the
//! request when the last one is complete. What the caller keeps is a [`Ticket`].
//!
//! - No lock, no allocation, and no register but the two doorbells: a queue is `&mut`.
//! - Commands are announced by [`ring`](Queue::ring), completions are taken by
//!   [`reap`](Queue::reap), both for a whole batch. [`turn`](Queue::turn) does all that is to
//!   be done, and must be called after requests were submitted and before the core sleeps.
//! - A request that its caller has [abandoned](Queue::abandon) is carried to its end all the
//!   same: commands that are out are waited for, and only then its memory is dropped.
//! - The queue never decides about the controller. When something is wrong, it says so and
//!   stops, and goes on when the [`Controller`](crate::Controller) has been reset.

mod completion;
mod making;
mod orders;
mod over;
mod sending;
mod table;

use crate::counters::Counters;
use crate::error::{Error, Failure};
use crate::limits::{Limits, MAX_PIECES};
use crate::memory::Memory;
use crate::operation::{Done, Request};
use crate::page::PAGE;
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::rings::Rings;
use crate::sgl;
use crate::shared::{Member, Shared};
use crate::slots::Slots;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use table::{Active, Command};

pub use over::Over;

/// An I/O queue pair. `B` is what requests bring their memory in.
///
/// See [`Memory`] for what it vouches for. A value that is cheap to move, of three words or
/// so, makes requests cheap.
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

/// What one [`turn`](Queue::turn) has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Commands that were complete.
    pub completed: usize,
    /// Commands that the device has now.
    pub outstanding: usize,
}

/// Whether a queue may use its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The controller knows the rings.
    Live,
    /// It does not, or is not to be believed. Requests are kept.
    Held,
    /// The controller is out of use. Requests are refused.
    Dead(Failure),
}

/// All of a queue.
struct Body<P: Platform, B> {
    shared: Arc<Shared<P>>,
    member: Arc<Member>,
    mode: Mode,
    /// The device may use the queue's memory although nobody knows its state.
    is_lost: bool,
    rings: Rings<P::Shared>,
    slots: Slots,
    commands: Box<[Command]>,
    requests: Box<[Active<B>]>,
    /// Homes of requests that have more to send.
    waiting: VecDeque<u8>,
    /// Slots of commands that are to be sent again.
    again: VecDeque<u8>,
    /// Who waits for room.
    room: Vec<Waker>,
    /// List memory of all slots, one after the other.
    lists: P::Shared,
    lists_bus: u64,
    /// Pages of list memory of one slot.
    list_pages: usize,
    /// Most memory pages that they can describe by PRPs.
    max_pages: u32,
    /// Most pieces of memory that they can describe by a scatter gather list.
    max_pieces: u32,
    /// Number of looks at what is outstanding so far.
    scans: u32,
    counters: Counters,
}

impl<P: Platform, B: Memory> Queue<P, B> {
    /// Takes memory for a queue for commands of the size that `limits` says. `submission` is for
    /// its submission ring, if that does not lie in the host's memory.
    ///
    /// It holds until the controller knows of it.
    pub(crate) fn allocate(
        shared: Arc<Shared<P>>,
        id: u16,
        entries: u16,
        vector: Option<u16>,
        limits: Limits,
        submission: Option<P::Shared>,
    ) -> Result<Self, OutOfMemory> {
        let platform = shared.port.platform();
        let rings = Rings::allocate(platform, id, entries, submission)?;
        let slots = Slots::new(usize::from(entries) - 1);
        let count = slots.len();
        // At least one page: it also takes the ranges of a Dataset Management command.
        let list_pages = limits.list_pages().max(1);
        let max_pieces = sgl::most_pieces(list_pages) as u64;
        let lists = platform.allocate(count * list_pages * PAGE as usize)?;
        let member = Arc::new(Member {
            id,
            vector,
            entries,
            submission: rings.submission_bus(),
            completion: rings.completion_bus(),
            link: crate::link::Link::new(),
            attendant: atomic_waker::AtomicWaker::new(),
            abort: Default::default(),
            is_created: Default::default(),
            is_gone: Default::default(),
        });
        let body = Body {
            member,
            mode: Mode::Held,
            is_lost: false,
            rings,
            slots,
            commands: alloc::vec![Command::default(); count].into_boxed_slice(),
            requests: (0..count).map(|_| Active::room()).collect(),
            waiting: VecDeque::with_capacity(count),
            again: VecDeque::with_capacity(count),
            room: Vec::with_capacity(count),
            lists_bus: lists.bus().addr().get(),
            lists,
            list_pages,
            max_pages: limits.max_pages as u32,
            max_pieces: max_pieces.min(MAX_PIECES) as u32,
            scans: 0,
            counters: Counters::default(),
            shared,
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

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.body().member
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<P>> {
        &self.body().shared
    }

    /// The controller never heard of this queue: it needs no stopping.
    pub(crate) fn is_unknown(&mut self) {
        self.body_mut().mode = Mode::Dead(Failure::SetUp);
    }

    /// Queue Identifier.
    pub fn id(&self) -> u16 {
        self.member().id
    }

    /// Most commands that it can have outstanding.
    pub fn depth(&self) -> usize {
        self.body().slots.len()
    }

    /// Commands that the device has now.
    pub fn outstanding(&self) -> usize {
        self.body().slots.outstanding()
    }

    /// Requests in the queue, in whatever state: a request keeps a slot until it is given back.
    pub fn requests(&self) -> usize {
        let slots = &self.body().slots;
        slots.len() - slots.free()
    }

    /// True if no request is in the queue, in whatever state.
    pub fn is_idle(&self) -> bool {
        let slots = &self.body().slots;
        slots.free() == slots.len()
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.body().counters
    }

    /// True while the controller is being reset, or has to be.
    pub fn is_held(&self) -> bool {
        self.body().mode == Mode::Held
    }

    /// Why the controller is out of use, as far as this queue has heard.
    pub fn failure(&self) -> Option<Failure> {
        match self.body().mode {
            Mode::Dead(failure) => Some(failure),
            Mode::Live | Mode::Held => None,
        }
    }

    /// Takes a request's memory, and does what the request says. Its first commands are in the queue,
    /// but the device does not know of them before [`ring`](Self::ring). When it is over, `waker` is
    /// woken.
    ///
    /// # Errors
    ///
    /// The request is as it was, and nothing was sent: it cannot be sent as it is, or there is
    /// no room ([`Error::Full`], which passes), or the controller is out of use ([`Error::Dead`]).
    /// While the controller is being reset, requests are taken and wait.
    #[inline(always)]
    pub fn submit(&mut self, request: &mut Request<B>, waker: &Waker) -> Result<Ticket, Error> {
        self.body_mut().submit(request, waker)
    }

    /// The request, if it is over. Else wakes `cx`, and nobody else, when it is.
    ///
    /// # Errors
    ///
    /// The result is [`RequestError::NoSuchRequest`](crate::RequestError::NoSuchRequest), and there is
    /// no memory with it, if the ticket is of another queue, or its request was given back already.
    pub fn poll(&mut self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Done<B>> {
        self.poll_in_place(ticket, cx).map(|over| match over {
            Ok(over) => over.done(),
            Err(error) => Done {
                data: None,
                metadata: None,
                result: Err(error),
            },
        })
    }

    /// As [`poll`](Self::poll), and leaves the request where it is: for those who want a part of it.
    ///
    /// # Errors
    ///
    /// [`RequestError::NoSuchRequest`](crate::RequestError::NoSuchRequest) as there.
    #[inline(always)]
    pub fn poll_in_place(
        &mut self,
        ticket: &Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Over<'_, B>, Error>> {
        self.body_mut().poll(ticket, cx)
    }

    /// Nobody wants the request's result any more. Its memory is dropped when the device is
    /// done with it.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.body_mut().abandon(ticket);
    }

    /// Ready when there is room for a request, or no use in waiting. Else wakes `cx` when
    /// there is.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body_mut().poll_room(cx)
    }

    /// Takes all completions that are there, and looks at each. Returns their number.
    #[inline]
    pub fn reap(&mut self) -> usize {
        self.body_mut().reap()
    }

    /// Tells the device of all commands in the queue and all completions taken since the last
    /// time. At most one write to each of the two doorbells.
    #[inline]
    pub fn ring(&mut self) {
        self.body_mut().ring();
    }

    /// All that is to be done: orders from the recovering core, completions, commands that
    /// have waited for room, doorbells. Once in each turn of the core's executor, and before
    /// the core sleeps: until nothing was [complete](Turn::completed). Of completions the device may
    /// be told in the turn after the one that has taken them.
    #[inline(always)]
    pub fn turn(&mut self) -> Turn {
        self.body_mut().turn()
    }

    /// Does what is to be done in a [`turn`](Self::turn), and looks for commands that are out for too long. To be
    /// called at every [`scan_microseconds`](Self::scan_microseconds), by [`attend`](crate::attend).
    pub fn scan(&mut self) -> Turn {
        self.body_mut().scan()
    }

    /// How often [`scan`](Self::scan) is to be called.
    pub fn scan_microseconds(&self) -> u64 {
        self.shared().options.scan_microseconds()
    }

    /// Ready when the recovering core has said something: [`turn`](Self::turn) does it.
    pub fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
    /// A queue of a controller that was shut down just goes. Else the device is cut off from
    /// memory: the controller fails, for all its queues.
    fn drop(&mut self) {
        if let Some(mut body) = self.body.take()
            && !body.let_go()
        {
            core::mem::forget(body);
        }
    }
}
