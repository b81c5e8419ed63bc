//! What all queues of a card have in common: a ring, a place to notify, and a link over which they are told
//! what to do.
//!
//! The rules are those of the link: between *hold* and *live* a queue notifies nobody and believes nothing.

use super::card::Card;
use super::config::Net;
use crate::device::{Member, SCANS, Shared};
use crate::error::Failure;
use crate::link::{Order, Pending};
use crate::platform::{OutOfMemory, Platform};
use crate::ring::{Ring, Terms};
use crate::transport;
use crate::watch::first;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

/// Whether a queue may use its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The device knows the ring.
    Live,
    /// It does not, or is not to be believed.
    Held,
    /// The device is out of use.
    Dead(Failure),
}

/// What one turn of a queue has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Chains that the device was done with.
    pub completed: usize,
    /// Chains that the device has now.
    pub outstanding: usize,
    /// Whether the device interrupts for this queue, if it is armed.
    pub interrupts: bool,
}

/// What a queue has done so far.
// No page frame: these are Ethernet's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chains with a table of their own for their pieces.
    pub indirect: u64,
    /// Times that the device was notified.
    pub notifications: u64,
    /// Frames that arrived in more than one piece of memory.
    pub merged: u64,
    /// Frames of which the device has said what makes no sense.
    pub malformed: u64,
    /// Resets of the device that the queue has seen.
    pub resets: u64,
}

/// A queue's desk.
pub(super) struct Desk<P: Platform> {
    pub(super) shared: Arc<Shared<P, Net>>,
    pub(super) member: Arc<Member>,
    pub(super) mode: Mode,
    /// The device may use the queue's memory although nobody knows its state.
    is_lost: bool,
    pub(super) ring: Ring<P::Shared>,
    /// Offset in the notification block, cached.
    notify_at: usize,
    has_vector: bool,
    pub(super) counters: Counters,
    /// Number of looks at what is outstanding so far.
    pub(super) scans: u32,
}

impl<P: Platform> Desk<P> {
    /// A queue of so many entries that holds: the device does not know it yet.
    pub(super) fn new(
        shared: Arc<Shared<P, Net>>,
        queue: u16,
        entries: u16,
        vector: Option<u16>,
    ) -> Result<Self, OutOfMemory> {
        let terms = Terms::new(&shared.state.lock().features);
        let (ring, rings) = Ring::allocate(&shared.platform, terms, queue, entries, vector)?;
        Ok(Self {
            shared,
            member: Arc::new(Member::new(rings)),
            mode: Mode::Held,
            is_lost: false,
            ring,
            notify_at: 0,
            has_vector: false,
            counters: Counters::default(),
            scans: 0,
        })
    }

    /// Tells the device of what is in the ring.
    #[inline]
    pub(super) fn publish(&mut self) {
        // An order that nobody has looked at may be to be silent.
        if self.mode != Mode::Live || self.member.link.pending().is_some() {
            return;
        }
        if self.ring.publish() {
            self.notify();
        }
    }

    #[inline]
    pub(super) fn notify(&mut self) {
        let queue = self.member.rings.queue;
        transport::notify(&self.shared.platform, self.notify_at, queue);
        self.counters.notifications += 1;
    }

    /// The device is not to be believed, or needs a reset.
    #[cold]
    pub(super) fn trouble(&mut self, failure: Failure) {
        self.mode = Mode::Held;
        self.shared.report_of(&self.member, failure);
    }

    /// Why the device is out of use, as far as this queue has heard.
    #[inline]
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.mode {
            Mode::Dead(failure) => Some(failure),
            Mode::Live | Mode::Held => None,
        }
    }

    #[inline]
    pub(super) fn found(&self, completed: usize, outstanding: usize) -> Turn {
        Turn {
            completed,
            outstanding,
            interrupts: self.has_vector,
        }
    }

    pub(super) fn poll_order(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.member.attendant.register(cx.waker());
        match self.member.link.pending() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
}

/// A queue: something that works at a desk.
pub(super) trait Work<P: Platform> {
    fn desk(&self) -> &Desk<P>;
    fn desk_mut(&mut self) -> &mut Desk<P>;

    /// The device has stopped, and the ring is as new: takes everything back.
    fn clean(&mut self, reason: Failure);

    /// The device has stopped for good, or nobody can stop it and it has what it has: ends everything.
    fn end(&mut self, reason: Failure);

    /// The device may go on using memory: keeps for ever what it may use. Returns the number of pieces.
    fn lose(&mut self) -> u64;

    /// Before which scan the device was given what it should have been done with first.
    fn oldest(&self) -> Option<u32>;

    /// Pieces of memory in the queue.
    fn held(&self) -> u64;

    /// All that is to be done.
    fn turn(&mut self) -> Turn;
}

/// Does what the recovering core says.
#[inline]
pub(super) fn obey<P: Platform>(work: &mut impl Work<P>) {
    if work.desk().member.link.pending().is_some() {
        obey_all(work);
    }
}

#[cold]
fn obey_all<P: Platform>(work: &mut impl Work<P>) {
    while let Some(pending) = work.desk().member.link.pending() {
        obey_one(work, pending);
        let desk = work.desk();
        desk.member.link.answer(pending);
        desk.shared.nudge();
    }
}

fn obey_one<P: Platform>(work: &mut impl Work<P>, pending: Pending) {
    let desk = work.desk_mut();
    match pending.order() {
        Order::Hold => desk.mode = Mode::Held,
        Order::Clean => {
            let reason = desk.shared.reason();
            (desk.mode, desk.is_lost) = (Mode::Held, false);
            desk.counters.resets += 1;
            desk.ring.reset();
            work.clean(reason);
        }
        Order::Live => {
            desk.mode = Mode::Live;
            desk.notify_at = desk.member.notify_at.load(Ordering::Acquire) as usize;
            desk.has_vector = desk.member.has_vector.load(Ordering::Acquire);
        }
        Order::Dead => {
            let reason = desk.shared.reason();
            (desk.mode, desk.is_lost) = (Mode::Dead(reason), false);
            work.end(reason);
        }
        Order::Lost => {
            let reason = desk.shared.reason();
            (desk.mode, desk.is_lost) = (Mode::Dead(reason), true);
            let lost = work.lose();
            work.desk().shared.lost.fetch_add(lost, Ordering::Relaxed);
            work.end(reason);
        }
    }
}

/// Looks for what is out for too long. A notification may have been lost, so one is sent before anything
/// is done about it.
#[cold]
pub(super) fn scan<P: Platform>(work: &mut impl Work<P>) {
    work.turn();
    let desk = work.desk_mut();
    desk.scans = desk.scans.wrapping_add(1);
    if desk.mode != Mode::Live {
        return;
    }
    let scans = desk.scans;
    match work.oldest().map_or(0, |sent| scans.wrapping_sub(sent)) {
        age if age > SCANS => work.desk_mut().trouble(Failure::LATE),
        age if age > SCANS / 4 => work.desk_mut().notify(),
        _ => {}
    }
}

/// Before a queue's memory goes. Returns whether the device cannot reach it any more.
pub(super) fn let_go<P: Platform>(work: &impl Work<P>) -> bool {
    let desk = work.desk();
    let is_ordered = desk.member.link.pending().is_some();
    let is_done = matches!(desk.mode, Mode::Dead(_)) && !desk.is_lost && !is_ordered;
    let is_safe = is_done || desk.shared.leave(&desk.member);
    if !is_safe {
        desk.shared.lost.fetch_add(work.held(), Ordering::Relaxed);
    }
    desk.member.is_gone.store(true, Ordering::Release);
    desk.shared.nudge();
    is_safe
}

/// What can be kept going: a [`Receiver`](super::Receiver) or a [`Sender`](super::Sender).
pub trait Works {
    /// All that is to be done: orders from the recovering core, a notification, completions. Once in each
    /// turn of the core's executor, and before the core sleeps.
    fn turn(&mut self) -> Turn;

    /// Asks the device for interrupts, from the next completion on. A [`turn`](Self::turn) has to follow.
    fn arm(&mut self);

    /// Asks the device for no more interrupts: somebody looks all the time.
    fn disarm(&mut self);

    /// Why the device is out of use, as far as this queue has heard.
    fn failure(&self) -> Option<Failure>;

    /// What it has done so far.
    fn counters(&self) -> Counters;

    /// Looks for what is out for too long. Called by [`attend`], now and then.
    #[doc(hidden)]
    fn scan(&mut self);

    /// Ready when the recovering core has said something.
    #[doc(hidden)]
    fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A way to a queue: a cell that only one core can see, or a lock where cores share one.
pub trait Reach {
    /// The queue.
    type Queue: Works;

    /// Calls `f` with the queue, which is used by nobody else for so long.
    fn with<R>(&self, f: impl FnOnce(&mut Self::Queue) -> R) -> R;
}

/// Keeps a queue of a card going. A task for the queue's core. Resolves when the device is out of use.
///
/// It looks for what is out for too long, and does what the recovering core says. Without it, a reset waits
/// for the queue's next [`turn`](Works::turn).
pub async fn attend<P: Platform, R: Reach>(card: Card<P>, reach: R) {
    let shared = card.shared();
    let mut scanned = shared.platform.microseconds();
    let period = shared.options.scan_microseconds();
    loop {
        let now = shared.platform.microseconds();
        let waited = now.saturating_sub(scanned);
        if waited >= period {
            scanned = now;
            reach.with(Works::scan);
            continue;
        }
        let order = poll_fn(|cx| reach.with(|queue| queue.poll_order(cx)));
        first(order, shared.platform.pause(period - waited)).await;
        reach.with(Works::turn);
        if reach.with(|queue| queue.failure().is_some()) {
            return;
        }
    }
}
