//! The control queue: what is wished for, and one command after the other until the card does it.
//!
//! Whoever wants something writes it down ([`Wishes`]) and goes on. One task compares what is wished for with
//! what the card was told, and tells it the rest. A card that was reset has forgotten everything, and is told
//! everything again. So nobody has to know what state the card is in.
//!
//! A command that the card refuses is counted, and that is all: what it cannot do, it could not do before.

use super::config::Net;
use super::desk::{self, Desk, Mode, Turn, Work};
use super::filter::{self, Command, DATA, Filter};
use crate::chain::{NEXT, WRITE, descriptor};
use crate::device::Kind;
use crate::error::{Error, Failure, Violation};
use crate::lock::Mutex;
use crate::platform::{Platform, SharedMemory};
use crate::watch::{Watch, first};
use alloc::sync::Arc;
use alloc::vec::Vec;
use atomic_waker::AtomicWaker;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use virtio_spec::net::F;

/// What has become of the commands to a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// It has carried out so many.
    pub done: u64,
    /// It has refused so many.
    pub refused: u64,
    /// It has asked so many times that the network is told where it is.
    pub announcements: u64,
}

/// What is wished for.
#[derive(Default)]
pub(super) struct Wishes {
    list: Mutex<List>,
    /// Changes of the list so far.
    version: AtomicU64,
    waker: AtomicWaker,
    done: AtomicU64,
    refused: AtomicU64,
    announcements: AtomicU64,
}

#[derive(Clone, Default)]
struct List {
    filter: Filter,
    pairs: u16,
}

impl Wishes {
    pub(super) fn set_filter(&self, filter: Filter) {
        self.list.lock().filter = filter;
        self.version.fetch_add(1, Ordering::Release);
        self.wake();
    }

    pub(super) fn set_pairs(&self, pairs: u16) {
        self.list.lock().pairs = pairs;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn commands(&self) -> Commands {
        Commands {
            done: self.done.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            announcements: self.announcements.load(Ordering::Acquire),
        }
    }
}

/// Where things are in the memory that is shared with the card: the command, its answer, its data.
const HEADER_AT: usize = 0;
const ANSWER_AT: usize = 8;
const DATA_AT: usize = 64;

const _: () = assert!(DATA_AT + DATA <= 4096);

/// Answers (section 5.1.6.5).
const OK: u8 = 0;

/// An answer that no card gives.
const NO_ANSWER: u64 = 0xff;

/// Microseconds that a command may take.
const LIMIT: u64 = 5_000_000;

/// The control queue of a card. It has no interrupts: it is looked at while a command is out.
pub struct Control<P: Platform> {
    body: Option<Body<P>>,
}

struct Body<P: Platform> {
    desk: Desk<P>,
    wishes: Arc<Wishes>,
    area: P::Shared,
    is_out: bool,
    /// What the card has said of the last command.
    answer: Option<u8>,
    /// The version of the wishes that the card was told; `None` if it knows nothing.
    told: Option<u64>,
    /// The VLANs that it lets through.
    vlans: Vec<u16>,
}

impl<P: Platform> Control<P> {
    pub(super) fn new(desk: Desk<P>, wishes: Arc<Wishes>) -> Result<Self, Error> {
        let area = desk.shared.platform.allocate(4096)?;
        let body = Body {
            desk,
            wishes,
            area,
            is_out: false,
            answer: None,
            told: None,
            vlans: Vec::new(),
        };
        Ok(Self { body: Some(body) })
    }

    pub(super) fn member(&self) -> &Arc<crate::device::Member> {
        let body = self.body.as_ref();
        &body.expect("it is there until it is dropped").desk.member
    }

    /// Keeps the card told of what is wished for. A task for one core. Resolves when the device is out of use.
    pub async fn run(mut self) {
        if let Some(body) = &mut self.body {
            body.run().await;
        }
    }
}

impl<P: Platform> Drop for Control<P> {
    /// As for every queue: the device cannot reach the memory any more, or it is kept for ever.
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !desk::let_go(&body)
        {
            core::mem::forget(body);
        }
    }
}

impl<P: Platform> Body<P> {
    async fn run(&mut self) {
        loop {
            self.turn();
            if self.desk.failure().is_some() {
                return;
            }
            if self.desk.mode == Mode::Live {
                if self.must_announce() {
                    self.announce().await;
                    continue;
                }
                let version = self.wishes.version.load(Ordering::Acquire);
                if self.told != Some(version) {
                    self.tell(version).await;
                    continue;
                }
            }
            self.wait().await;
        }
    }

    /// Waits for an order, or for another wish.
    async fn wait(&self) {
        let seen = self.told;
        poll_fn(|cx| {
            self.wishes.waker.register(cx.waker());
            let order = self.desk.poll_order(cx);
            let is_live = self.desk.mode == Mode::Live;
            let is_new = seen != Some(self.wishes.version.load(Ordering::Acquire));
            match order.is_ready() || is_live && (is_new || self.must_announce()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    fn must_announce(&self) -> bool {
        self.desk.shared.state.lock().properties.must_announce
    }

    /// Does what a card wishes that was moved. First it is known that there is something to send, then the card hears
    /// that it is (section 5.1.6.5.4).
    ///
    /// Meanwhile it may be moved once more. If it says so before it hears, what it hears takes that back with the rest.
    /// All that is left then is a configuration that has changed, and so there is something to send once more: to tell the
    /// neighbours too often harms nobody.
    async fn announce(&mut self) {
        let shared = self.desk.shared.clone();
        let generation = shared.common().generation();
        self.call_out();
        if !self.execute(&Command::announced()).await {
            // It was reset, and asked anew.
            return;
        }
        let is_still = shared.common().generation() == generation;
        {
            let mut state = shared.state.lock();
            match is_still {
                // Also if the card goes on wishing, as one that refuses to hear of it does: it would be told for ever.
                true => state.properties.must_announce = false,
                false => Net::notice(
                    &shared.standing,
                    shared.platform.config(),
                    &mut state.properties,
                ),
            }
        }
        if !is_still && !self.must_announce() {
            self.call_out();
        }
    }

    /// Has the neighbours told.
    fn call_out(&self) {
        self.wishes.announcements.fetch_add(1, Ordering::Release);
        self.desk.shared.changed();
    }

    /// Tells the card of all wishes.
    async fn tell(&mut self, version: u64) {
        let list = self.wishes.list.lock().clone();
        let (properties, features) = {
            let state = self.desk.shared.state.lock();
            (state.properties, state.features)
        };
        let filter = &list.filter;
        let mut commands = Vec::new();
        if features.contains(F::MQ) {
            commands.push(Command::pairs(list.pairs));
        }
        if let Some(spread) = properties.spread.filter(|_| list.pairs > 1) {
            commands.push(spread.command(list.pairs));
        }
        if properties.has_new_mac {
            commands.extend(filter::new_mac(filter));
        }
        if properties.has_filter {
            commands.extend(filter::by_address(filter));
        }
        if properties.has_vlans {
            commands.extend(filter::by_vlan(filter, &self.vlans));
        }
        for command in &commands {
            if !self.execute(command).await {
                return;
            }
        }
        self.vlans = list.filter.vlans;
        self.told = Some(version);
    }

    /// Gives the card a command, and waits for its answer. Returns whether there is one.
    async fn execute(&mut self, command: &Command) -> bool {
        self.send(command);
        let shared = self.desk.shared.clone();
        let mut watch = Watch::new(&shared.platform, LIMIT);
        loop {
            self.turn();
            if let Some(answer) = self.answer.take() {
                let count = match answer {
                    OK => &self.wishes.done,
                    _ => &self.wishes.refused,
                };
                count.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            if !self.is_out {
                // The device was reset meanwhile.
                return false;
            }
            if self.desk.mode == Mode::Live && watch.turn(&shared.platform).await.is_err() {
                self.desk.trouble(Failure::LATE);
            }
            if self.desk.mode != Mode::Live {
                let desk = &self.desk;
                let order = poll_fn(|cx| desk.poll_order(cx));
                first(order, shared.platform.pause(LIMIT)).await;
            }
        }
    }

    fn send(&mut self, command: &Command) {
        let words = u64::from(command.class) | u64::from(command.command) << 8;
        self.area.store64(HEADER_AT, words);
        self.area.store64(ANSWER_AT, NO_ANSWER);
        for (index, part) in command.data.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            let at = DATA_AT + 8 * index;
            self.area.store64(at, u64::from_le_bytes(word));
        }
        let start = self.area.bus().addr().get();
        let place = |at: usize| start + at as u64;
        let ring = &mut self.desk.ring;
        let len = command.data.len() as u32;
        let behind = if len == 0 { 2 } else { 1 };
        ring.describe(0, descriptor(place(HEADER_AT), 2, NEXT, behind));
        ring.describe(1, descriptor(place(DATA_AT), len, NEXT, 2));
        ring.describe(2, descriptor(place(ANSWER_AT), 1, WRITE, 0));
        ring.push(0);
        self.is_out = true;
        self.answer = None;
    }

    fn reap(&mut self) -> Result<usize, Violation> {
        let used = match self.desk.ring.pop() {
            Ok(Some(used)) => used,
            Ok(None) => return Ok(0),
            Err(violation) => return Err(violation),
        };
        if used.id != 0 || !self.is_out {
            return Err(Violation::UsedId(used.id));
        }
        if used.len > 1 {
            return Err(Violation::UsedLength(used.len));
        }
        self.is_out = false;
        self.answer = Some(self.area.load64(ANSWER_AT) as u8);
        Ok(1)
    }
}

impl<P: Platform> Work<P> for Body<P> {
    fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    fn desk_mut(&mut self) -> &mut Desk<P> {
        &mut self.desk
    }

    fn clean(&mut self, _: Failure) {
        (self.is_out, self.answer, self.told) = (false, None, None);
        self.vlans.clear();
    }

    fn end(&mut self, reason: Failure) {
        self.clean(reason);
    }

    fn lose(&mut self) -> u64 {
        0
    }

    fn oldest(&self) -> Option<u32> {
        None
    }

    fn held(&self) -> u64 {
        0
    }

    fn turn(&mut self) -> Turn {
        desk::obey(self);
        self.desk.publish();
        let mut completed = 0;
        if self.desk.mode == Mode::Live {
            match self.reap() {
                Ok(count) => completed = count,
                Err(violation) => self.desk.trouble(Failure::Violation(violation)),
            }
        }
        self.desk.found(completed, self.is_out.into())
    }
}
