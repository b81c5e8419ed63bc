//! What interrupts a core for a queue.
//!
//! # The problem
//!
//! An entry of a device's table of messages interrupts one core. Queues are on all cores, and a
//! table may have fewer entries than there are queues. A queue without any would have to be
//! looked at all the time, and its core could never sleep.
//!
//! # The idea
//!
//! Queues share entries where these run out. A shared entry interrupts its *home*, the core of the first
//! queue that has it, and a task there, the [`Relay`]'s, passes the word on to all who listen, on whatever
//! core: a task is woken, and a wake is what interrupts a core that sleeps.
//!
//! - Each listener hears of each interrupt, and looks whether it was for him.
//! - An entry of its own is masked while its queue is polled. A shared one is masked while all of its
//!   queues are: so who stops polling finds it unmasked, or unmasks it before his last look.
//! - The relay ends with its last listener: first the entry is masked, then the vector is given back.

use crate::cores::{self, CoreId};
use crate::drivers::audience::{Audience, Listener};
use crate::executor::{self, Task};
use crate::interrupts::Interrupt;
use crate::lock::Mutex;
use crate::pci::ecam::Ecam;
use crate::pci::msix::Msix;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::ops::Range;

/// The table of a device's messages. Used when a mode changes, without a lock: an entry has a word of its
/// own that masks it.
pub(super) type Messages = Arc<Msix<Ecam>>;

/// What interrupts the core for a queue.
pub(super) struct Bell(Kind);

enum Kind {
    /// An entry that is this queue's alone.
    Own(Entry, Interrupt),
    /// One that others have, too.
    Shared {
        relay: Arc<Relay>,
        /// The queue is in interrupt mode.
        is_open: Cell<bool>,
    },
}

impl Bell {
    fn shared(relay: Arc<Relay>) -> Self {
        relay.open();
        let is_open = Cell::new(true);
        Self(Kind::Shared { relay, is_open })
    }

    /// The entry of the device's table.
    pub(super) fn entry(&self) -> u16 {
        match &self.0 {
            Kind::Own(entry, _) => entry.number,
            Kind::Shared { relay, .. } => relay.entry.number,
        }
    }

    /// What a task of the queue's core must hear, so that the core is woken. `None` if that is interrupted itself.
    pub(super) fn ear(&self) -> Option<Ear> {
        match &self.0 {
            Kind::Own(..) => None,
            Kind::Shared { relay, .. } => Some(Ear::new(relay.clone(), false)),
        }
    }

    /// How many interrupts there were. Only differences mean anything.
    pub(super) fn raised(&self) -> u32 {
        match &self.0 {
            Kind::Own(_, interrupt) => interrupt.noticed(),
            Kind::Shared { relay, .. } => relay.audience.raised(),
        }
    }

    /// The queue is polled from now on.
    pub(super) fn mask(&self) {
        match &self.0 {
            Kind::Own(entry, _) => entry.hush(),
            Kind::Shared { relay, is_open, .. } => {
                if is_open.replace(false) {
                    relay.close();
                }
            }
        }
    }

    /// The queue is waited for from now on. Look at it once more afterwards.
    pub(super) fn unmask(&self) {
        match &self.0 {
            Kind::Own(entry, _) => entry.unmask(),
            Kind::Shared { relay, is_open, .. } => {
                if !is_open.replace(true) {
                    relay.open();
                }
            }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // Before the interrupt goes. One that is shared is masked with its last listener.
        self.mask();
    }
}

/// An entry of a device's table that was routed, so it exists.
pub(super) struct Entry {
    messages: Messages,
    number: u16,
}

impl Entry {
    /// Lets an entry interrupt the core of an interrupt.
    fn route(messages: &Messages, number: u16, interrupt: &Interrupt) -> Option<Self> {
        messages.route(number, interrupt).ok()?;
        Some(Self {
            messages: messages.clone(),
            number,
        })
    }

    fn hush(&self) {
        let _ = self.messages.hush(self.number);
    }

    fn unmask(&self) {
        let _ = self.messages.unmask(self.number);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = self.messages.mask(self.number);
    }
}

/// An entry that several have.
struct Relay {
    // Masked before the task, and with it the vector, goes.
    entry: Entry,
    /// Listeners who want to be interrupted. While there is none, the entry is masked.
    open: Mutex<usize>,
    audience: Arc<Audience>,
    _task: Task<()>,
}

impl Relay {
    /// Makes an entry interrupt a core, and pass it on from there.
    fn new(messages: &Messages, number: u16, home: CoreId) -> Option<Self> {
        let interrupt = Interrupt::allocate(home);
        let entry = Entry::route(messages, number, &interrupt)?;
        // Nobody listens yet. What comes until then is made up for when somebody does.
        entry.hush();
        let audience = Arc::new(Audience::default());
        let told = audience.clone();
        let task = executor::spawn_on(home, move || async move {
            loop {
                interrupt.raised().await;
                told.tell();
            }
        });
        Some(Self {
            entry,
            open: Mutex::new(0),
            audience,
            _task: task,
        })
    }

    fn open(&self) {
        let mut open = self.open.lock();
        *open += 1;
        if *open == 1 {
            self.entry.unmask();
        }
    }

    fn close(&self) {
        let mut open = self.open.lock();
        *open -= 1;
        if *open == 0 {
            self.entry.hush();
        }
    }
}

/// One who listens.
pub(super) struct Ear {
    relay: Arc<Relay>,
    listener: Listener,
    /// It keeps the entry from being masked.
    is_open: bool,
}

impl Ear {
    fn new(relay: Arc<Relay>, is_open: bool) -> Self {
        if is_open {
            relay.open();
        }
        let listener = relay.audience.join();
        Self {
            relay,
            listener,
            is_open,
        }
    }

    /// Waits until there was an interrupt since the last time.
    pub(super) async fn raised(&self) {
        poll_fn(|cx| self.relay.audience.poll(&self.listener, cx)).await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.relay.audience.leave(&self.listener);
        if self.is_open {
            self.relay.close();
        }
    }
}

/// What interrupts a core for the admin queue.
pub(super) enum AdminBell {
    /// The first entry, if there are others for the queues.
    Own(
        #[expect(dead_code, reason = "it is only held")] Entry,
        Interrupt,
    ),
    /// The only entry.
    Shared(Ear),
}

impl AdminBell {
    /// Waits until there was an interrupt. For ever, where nobody would be woken: there the admin queue is looked at
    /// by the clock.
    pub(super) async fn raised(&self) {
        match self {
            Self::Own(_, interrupt) if interrupt.core() == cores::current() => {
                interrupt.raised().await;
            }
            Self::Own(..) => pending().await,
            Self::Shared(ear) => ear.raised().await,
        }
    }
}

/// The entries of a device's table, to be given to its queues.
pub(super) struct Bells {
    messages: Option<Messages>,
    /// Those for I/O queues.
    entries: Range<u16>,
    /// Those of them that are shared.
    relays: Vec<Arc<Relay>>,
}

impl Bells {
    /// The first `most` entries of a table, if there is a table.
    pub(super) fn new(messages: Option<Msix<Ecam>>, most: u16) -> Self {
        let count = messages.as_ref().map_or(0, |table| table.len().min(most));
        Self {
            messages: messages.map(Arc::new),
            // The first is the admin queue's, unless it is the only one.
            entries: u16::from(count > 1)..count,
            relays: Vec::new(),
        }
    }

    /// What interrupts this core for the admin queue, which has entry 0 (NVMe base specification 2.0, section 3.3.1.1).
    pub(super) fn admin(&mut self) -> Option<AdminBell> {
        let here = cores::current();
        if self.entries.start == 0 {
            let relay = self.relay(0, here)?;
            return Some(AdminBell::Shared(Ear::new(relay, true)));
        }
        let interrupt = Interrupt::allocate(here);
        let entry = Entry::route(self.messages.as_ref()?, 0, &interrupt)?;
        Some(AdminBell::Own(entry, interrupt))
    }

    /// What interrupts a core for I/O queue `number` of `count`, which are counted from 0. `None` if nothing can.
    pub(super) fn queue(&mut self, number: usize, count: usize, core: CoreId) -> Option<Bell> {
        let entries = self.entries.len();
        let index = number.checked_rem(entries)?;
        let entry = self.entries.start + index as u16;
        // Entries go round. Entry 0 is the admin queue's in any case.
        if entry == 0 || index + entries < count {
            return self.relay(entry, core).map(Bell::shared);
        }
        let interrupt = Interrupt::allocate(core);
        let entry = Entry::route(self.messages.as_ref()?, entry, &interrupt)?;
        Some(Bell(Kind::Own(entry, interrupt)))
    }

    /// The relay of an entry, with this core as its home if it is new.
    fn relay(&mut self, entry: u16, core: CoreId) -> Option<Arc<Relay>> {
        let mut relays = self.relays.iter();
        if let Some(relay) = relays.find(|relay| relay.entry.number == entry) {
            return Some(relay.clone());
        }
        if self.entries.is_empty() {
            return None;
        }
        let relay = Arc::new(Relay::new(self.messages.as_ref()?, entry, core)?);
        self.relays.push(relay.clone());
        Some(relay)
    }
}
