//! A card with a pair of queues on one core, or on several.
//!
//! Frames of a core go through its own queues, so nobody waits for another core and no lock is taken. A core
//! without queues has no way to the card: there is no sense in receiving on a core that shares.
//!
//! Each pair has a task on its core, and the card has one on the core that found it. They end when the card is
//! out of use.

use super::line::{Line, LineCounters, Way};
use crate::cores::{self, CoreId, PerCore};
use crate::dma::{Domain, Transfer};
use crate::drivers::virtio::Location;
use crate::drivers::virtio::bell::{Bell, Messages, listen};
use crate::drivers::virtio::platform::VirtioPlatform;
use crate::executor::{self, Task};
use crate::lock::Mutex;
use crate::net::{self, Interface, MacAddress};
use crate::println;
use crate::storage::Name;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Waker;
use embassy_futures::join::join;
use embassy_futures::select::select;
use embassy_time::{Duration, Instant, Timer};
use spin::Once;
use virtio::net::{Properties, attend};

pub(super) type Card = virtio::net::Card<VirtioPlatform>;
pub(super) type Receiver = virtio::net::Receiver<VirtioPlatform, Transfer>;
pub(super) type Sender = virtio::net::Sender<VirtioPlatform, Transfer>;
type Control = virtio::net::Control<VirtioPlatform>;

/// How often it is looked whether something has ended that ends soon, and tells nobody.
const LOOK: Duration = Duration::from_millis(2);

/// How long a card that is out of use keeps the memory of frames that nobody asks for.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A network card.
pub struct Nic {
    pub(super) name: Name,
    location: Location,
    pub(super) card: Card,
    /// As it was found.
    pub(super) properties: Properties,
    pub(super) mac: Mutex<MacAddress>,
    pub(super) domain: Domain,
    /// The cores that have queues, and what these can do.
    pub(super) shape: Once<Shape>,
    /// This core's queues, if it has any.
    pub(super) pairs: PerCore<RefCell<Option<Rc<Pair>>>>,
    /// It is being let go, or has gone.
    pub(super) is_gone: AtomicBool,
    pub(super) changes: AtomicU64,
    pub(super) watching: Mutex<Vec<Waker>>,
    tasks: Mutex<Vec<Task<()>>>,
}

/// What the queues of a card are like: all are alike.
pub(super) struct Shape {
    pub(super) cores: Vec<CoreId>,
    pub(super) receive_depth: usize,
    pub(super) transmit_depth: usize,
    pub(super) pieces: usize,
}

/// A pair of queues on its core.
pub(super) struct Pair {
    pub(super) receive: Rc<Line<Receiver>>,
    pub(super) transmit: Rc<Line<Sender>>,
}

/// What the queues of a core have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairCounters {
    /// That for frames that arrive.
    pub receive: LineCounters,
    /// That for frames that leave.
    pub transmit: LineCounters,
}

/// The bells of a pair: one, or two, or none.
type Bells = [Option<Ringing>; 2];

/// A bell on its way to its core.
struct Ringing {
    bell: Bell,
    /// It rings for both queues.
    for_both: bool,
}

impl Nic {
    pub(super) fn new(location: Location, card: Card, domain: Domain) -> Self {
        let properties = card.properties();
        Self {
            name: Name::numbered("net"),
            mac: Mutex::new(mac_of(&properties, location)),
            location,
            card,
            properties,
            domain,
            shape: Once::new(),
            pairs: PerCore::new(|| RefCell::new(None)),
            is_gone: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            watching: Mutex::new(Vec::new()),
            tasks: Mutex::new(Vec::new()),
        }
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        self.location
    }

    /// The driver's handle: to be reset, or asked how it is.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// What this core's queues have done.
    pub fn pair_counters(&self) -> Option<PairCounters> {
        self.with_pair(|pair| {
            pair.map(|pair| PairCounters {
                receive: pair.receive.counters(),
                transmit: pair.transmit.counters(),
            })
        })
    }

    #[inline]
    pub(super) fn with_pair<R>(&self, action: impl FnOnce(Option<&Pair>) -> R) -> R {
        action(self.pairs.here().borrow().as_deref())
    }

    /// Makes the queues, starts the tasks and the device.
    pub(super) async fn start(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
        most: usize,
    ) -> Result<(), virtio::Error> {
        let result = self.start_queues(messages, first_entry, most).await;
        let nic = self.clone();
        let keeper = executor::spawn(async move { nic.keep().await });
        self.tasks.lock().push(keeper);
        if result.is_err() {
            self.card.shutdown().await;
            self.end_tasks().await;
        }
        result
    }

    async fn start_queues(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
        most: usize,
    ) -> Result<(), virtio::Error> {
        let here = cores::current();
        let others = cores::online().filter(|core| *core != here);
        let most = most.min(usize::from(self.properties.pairs));
        let most = most.min(messages.as_ref().map_or(usize::MAX, Messages::cores));
        let cores: Vec<CoreId> = core::iter::once(here).chain(others).take(most).collect();
        let mut started = Vec::new();
        for (number, core) in cores.iter().enumerate() {
            let first = first_entry + 2 * number as u16;
            let bells = bells(messages.as_ref(), first, *core);
            let [one, other] = bells
                .each_ref()
                .map(|bell| bell.as_ref().map(|ringing| ringing.bell.entry()));
            let other = other.or(one);
            let (receiver, sender) = self.card.pair([one, other])?;
            self.shape.call_once(|| Shape {
                cores: cores.clone(),
                receive_depth: Receiver::depth(&receiver),
                transmit_depth: Sender::depth(&sender),
                pieces: sender.pieces(),
            });
            started.push(self.attach(*core, receiver, sender, bells));
        }
        while !started
            .iter()
            .all(|started| started.load(Ordering::Acquire))
        {
            Timer::after(LOOK).await;
        }
        if let Some(control) = self.card.control()? {
            let task = executor::spawn(run(control));
            self.tasks.lock().push(task);
        }
        self.card.start().await
    }

    /// Gives a core its queues. The result becomes true when that has happened.
    fn attach(
        self: &Arc<Self>,
        core: CoreId,
        receiver: Receiver,
        sender: Sender,
        bells: Bells,
    ) -> Arc<AtomicBool> {
        let is_ready = Arc::new(AtomicBool::new(false));
        let (nic, ready) = (self.clone(), is_ready.clone());
        let task = executor::spawn_on(core, move || async move {
            // What tells of one tells of both.
            let ear = bells[0].as_ref().and_then(|ringing| ringing.bell.ear());
            let [one, other] = hang(bells);
            let receive = Rc::new(Line::new(receiver, one));
            let transmit = Rc::new(Line::new(sender, other));
            let pair = Rc::new(Pair {
                receive: receive.clone(),
                transmit: transmit.clone(),
            });
            *nic.pairs.here().borrow_mut() = Some(pair);
            let (looked_at, also) = (receive.clone(), transmit.clone());
            let poller = executor::add_poller(move || looked_at.look().max(also.look()));
            ready.store(true, Ordering::Release);
            let attended = join(
                attend(nic.card.clone(), Way(receive)),
                attend(nic.card.clone(), Way(transmit.clone())),
            );
            select(attended, listen(ear)).await;
            let deadline = Instant::now() + LAST_GRACE;
            while transmit.with(|queue| queue.frames() > 0) && Instant::now() < deadline {
                Timer::after(LOOK).await;
            }
            drop(poller);
            let pair = nic.pairs.here().borrow_mut().take();
            drop(pair);
        });
        self.tasks.lock().push(task);
        is_ready
    }

    /// The card's task: gets it back when it fails, and takes notice of what changes.
    async fn keep(self: Arc<Self>) {
        let watch = async {
            let mut seen = 0;
            loop {
                seen = self.card.changed(seen).await;
                self.changed();
            }
        };
        select(self.card.service(), watch).await;
        match self.card.failure() {
            Some(virtio::Failure::Gone) => self.forget(),
            Some(virtio::Failure::ShutDown) | None => {}
            Some(failure) => {
                println!("{}: out of use: {failure}", self.name);
                self.forget();
            }
        }
    }

    /// Wakes all who want to know.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        let wakers = core::mem::take(&mut *self.watching.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// It is not to be found any more.
    fn forget(self: &Arc<Self>) {
        self.is_gone.store(true, Ordering::Relaxed);
        let interface: Arc<dyn Interface> = self.clone();
        net::remove(&interface);
        self.changed();
    }

    /// Lets the card go, and waits until it is nobody's.
    pub async fn leave(self: &Arc<Self>) {
        self.forget();
        self.card.shutdown().await;
        self.end_tasks().await;
    }

    async fn end_tasks(&self) {
        let tasks = core::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.await;
        }
    }
}

async fn run(control: Control) {
    control.run().await;
}

/// The card's address, or one that is made of its place, and says that nobody has assigned it.
fn mac_of(properties: &Properties, location: Location) -> MacAddress {
    properties.mac.map_or_else(
        || match location {
            Location::Function(address) => {
                let [a, b] = address.segment().to_be_bytes();
                let slot = address.device() << 3 | address.function();
                MacAddress([2, 0x70, a, b, address.bus(), slot])
            }
            Location::Window(address) => {
                // The lower bits are zeros.
                let [.., a, b, c, d] = (address.get() >> 4).to_be_bytes();
                MacAddress([2, 0x71, a, b, c, d])
            }
        },
        MacAddress,
    )
}

/// Lets entries of the device's table interrupt a core: one for each queue of a pair, or one for both.
fn bells(messages: Option<&Messages>, first: u16, core: CoreId) -> Bells {
    let Some(messages) = messages else {
        return [None, None];
    };
    let ring = |entry: u16| {
        Some(Ringing {
            bell: messages.bell(entry, core)?,
            for_both: false,
        })
    };
    match (ring(first), ring(first + 1)) {
        (Some(one), None) => [
            Some(Ringing {
                for_both: true,
                ..one
            }),
            None,
        ],
        pair => pair.into(),
    }
}

/// The bells, on the core that they ring on.
fn hang(bells: Bells) -> [Option<Rc<Bell>>; 2] {
    let for_both = bells[0].as_ref().is_some_and(|bell| bell.for_both);
    let [one, other] = bells.map(|ringing| ringing.map(|ringing| Rc::new(ringing.bell)));
    match for_both {
        true => [one.clone(), one],
        false => [one, other],
    }
}
