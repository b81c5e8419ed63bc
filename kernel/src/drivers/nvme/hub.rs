//! A controller with a queue on each core.
//!
//! A request goes into the queue of the core that makes it. So nobody waits for another core, and
//! a lock is taken only where the controller grants fewer queues than there are cores: the last
//! queue is then shared by all cores from there on.
//!
//! Each queue has a task on its core, and the controller has one on the core that found it. When
//! the controller goes, all of them end: first the requests, by errors; then the queues, when each request
//! has been asked for or abandoned; then the device is nobody's.

use super::bell::{Bell, Bells, Ear};
use super::namespace::Namespace;
use super::own::Own;
use super::platform::NvmePlatform;
use super::queue::{Access, Local, Policy, Queue, QueueCounters};
use super::word::Word;
use crate::block::BlockDevice;
use crate::cores::{self, CoreId, PerCore};
use crate::dma::{Domain, Transfer};
use crate::executor::{self, Task};
use crate::lock::Mutex;
use crate::pci::PciAddress;
use crate::println;
use crate::storage::{self, Name};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Ref, RefCell};
use core::future::pending;
use core::sync::atomic::{AtomicU64, Ordering};
use embassy_futures::select::select3;
use embassy_time::{Duration, Timer};

/// The driver's handle of a controller.
pub type Controller = nvme::Controller<NvmePlatform>;

/// A controller and what belongs to it.
pub struct Hub {
    name: Name,
    address: PciAddress,
    domain: Domain,
    model: String,
    /// This core's queue, if it has one.
    queues: PerCore<RefCell<Option<Rc<Local>>>>,
    /// `None` when it has gone.
    controller: Mutex<Option<Controller>>,
    /// The namespaces that are in use.
    namespaces: Mutex<Vec<Arc<Namespace>>>,
    /// The memory that it has itself.
    own: Own,
    leaving: Word,
    events: AtomicU64,
    tasks: Mutex<Vec<Task<()>>>,
}

/// How often it is looked whether something has ended that ends soon, and tells nobody.
const LOOK: Duration = Duration::from_millis(2);

/// A core's way to its queue.
#[derive(Clone)]
struct Way(Rc<Local>);

impl nvme::Reach for Way {
    type Platform = NvmePlatform;
    type Memory = Transfer;

    fn with<R>(&self, action: impl FnOnce(&mut Queue) -> R) -> R {
        action(&mut self.0.queue())
    }

    fn taken(&self) {
        self.0.submitted();
    }

    fn found(&self, completed: usize) {
        self.0.completed(completed);
    }
}

impl Hub {
    pub(super) fn new(
        name: Name,
        address: PciAddress,
        domain: Domain,
        controller: Controller,
        own: Own,
    ) -> Self {
        Self {
            name,
            address,
            domain,
            model: format!("{}", controller.identity().model),
            queues: PerCore::new(|| RefCell::new(None)),
            controller: Mutex::new(Some(controller)),
            namespaces: Mutex::new(Vec::new()),
            own,
            leaving: Word::default(),
            events: AtomicU64::new(0),
            tasks: Mutex::new(Vec::new()),
        }
    }

    /// The controller's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The memory that it has itself.
    #[inline]
    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    /// Its model, in its own words.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// Where it finds memory.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The driver's handle, while the controller is there.
    pub fn controller(&self) -> Option<Controller> {
        self.controller.lock().clone()
    }

    /// This core's queue.
    #[inline(always)]
    pub(super) fn local(&self) -> Option<Ref<'_, Local>> {
        let local = self.queues.here().borrow();
        Ref::filter_map(local, Option::as_deref).ok()
    }

    /// Carries out a request of the driver's on this core's queue.
    ///
    /// For what a block device has no words for: zones, metadata, protection information in the
    /// caller's hands, copies. The request is made by the [namespace](nvme::Namespace), and its
    /// memory by [`dma::map`](crate::dma::map) within [`LIMITS`](super::namespace::LIMITS).
    /// A future that is dropped leaves its memory to the device for as long as that has it.
    ///
    /// The future stays on this core. Where the controller has gone, the request ends at once.
    pub async fn execute(&self, request: nvme::Request<Transfer>) -> nvme::Done<Transfer> {
        let way = self.queues.here().borrow().clone().map(Way);
        match way {
            Some(way) => nvme::execute(way, request).await,
            None => nvme::Done {
                data: request.data,
                metadata: request.metadata,
                result: Err(nvme::Error::Dead(nvme::Failure::Gone)),
            },
        }
    }

    /// Says when this core's queue is to be polled. It is polled by load unless somebody measures.
    pub fn set_policy(&self, policy: Policy) {
        if let Some(local) = self.local() {
            local.set_policy(policy);
        }
    }

    /// What this core's queue has done.
    pub fn counters(&self) -> Option<QueueCounters> {
        self.local().map(|local| local.counters())
    }

    /// Makes the queues, and starts the tasks.
    pub(super) async fn start(self: &Arc<Self>, mut bells: Bells) -> Result<(), nvme::Error> {
        let Some(controller) = self.controller() else {
            return Ok(());
        };
        let cores: Vec<CoreId> = cores::online().collect();
        let count = cores.len().min(usize::from(controller.queues()));
        let (own, others) = match count < cores.len() {
            true => cores.split_at(count - 1),
            false => (&cores[..], &[][..]),
        };
        let mut started = Vec::new();
        for (number, core) in own.iter().enumerate() {
            let bell = bells.queue(number, count, *core);
            let vector = bell.as_ref().map(Bell::entry);
            let queue = controller.queue(vector).await?;
            started.push(self.attach(*core, Place::Own(queue), bell));
        }
        if let Some((home, rest)) = others.split_first() {
            let bell = bells.queue(own.len(), count, *home);
            let vector = bell.as_ref().map(Bell::entry);
            let queue = Arc::new(Mutex::new(controller.queue(vector).await?));
            // Without an interrupt for its home, each core looks for itself.
            let must_poll = bell.is_none();
            let place = Place::Home(queue.clone());
            started.push(self.attach(*home, place, bell));
            for core in rest {
                let place = Place::Guest(queue.clone(), must_poll);
                started.push(self.attach(*core, place, None));
            }
        }
        for started in started {
            started.said().await;
        }
        let hub = self.clone();
        let keeper = executor::spawn(async move { hub.keep(controller).await });
        self.tasks.lock().push(keeper);
        Ok(())
    }

    /// Gives a core its way to a queue. The word is said when that has happened.
    fn attach(self: &Arc<Self>, core: CoreId, place: Place, bell: Option<Bell>) -> Arc<Word> {
        let started = Arc::new(Word::default());
        let (hub, ready) = (self.clone(), started.clone());
        let task = executor::spawn_on(core, move || async move {
            // One core looks at the clock for a queue: its scans are counted.
            let (access, must_poll, attends) = match place {
                Place::Own(queue) => (Access::Own(RefCell::new(queue)), true, true),
                Place::Home(queue) => (Access::Shared(queue), true, true),
                Place::Guest(queue, must_poll) => (Access::Shared(queue), must_poll, false),
            };
            let ear = bell.as_ref().and_then(Bell::ear);
            let local = Rc::new(Local::new(access, bell, must_poll));
            *hub.queues.here().borrow_mut() = Some(local.clone());
            let looked_at = local.clone();
            let poller = executor::add_poller(move || looked_at.look());
            ready.say();
            if attends {
                let attend = nvme::attend(Way(local.clone()));
                select3(attend, listen(ear), hub.leaving.said()).await;
            } else {
                hub.leaving.said().await;
            }
            while !local.queue().is_idle() {
                Timer::after(LOOK).await;
            }
            drop(poller);
            hub.queues.here().borrow_mut().take();
        });
        self.tasks.lock().push(task);
        started
    }

    /// The controller's task: watches over it, and tells the storage what changes.
    async fn keep(self: Arc<Self>, controller: Controller) {
        let watch = async {
            loop {
                let notice = controller.next_notice().await;
                if let nvme::Notice::Event(event) = notice {
                    self.note(&controller, event).await;
                }
                self.refresh(&controller).await;
                if notice == nvme::Notice::Dead && controller.failure() == Some(nvme::Failure::Gone)
                {
                    self.forget_namespaces();
                }
            }
        };
        select3(controller.service(), watch, self.leaving.said()).await;
    }

    /// Something has happened to the controller by itself. Warnings are for whoever reads the console.
    async fn note(&self, controller: &Controller, event: nvme::Event) {
        use nvme::Happening::NamespacesChanged;
        if event.what != NamespacesChanged {
            println!("{}: {:?}", self.name, event.what);
            if let Ok(health) = controller.health().await {
                let warning = health.warning.into_bits();
                if warning != 0 {
                    println!("{}: the health log warns: {warning:#04x}", self.name);
                }
            }
        }
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events the controller has told of by itself.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Compares the namespaces in use with those that there are.
    pub(super) async fn refresh(self: &Arc<Self>, controller: &Controller) {
        let found = controller.namespaces();
        let find = |id| found.iter().find(|namespace| namespace.id == id);
        let gone: Vec<_> = {
            let mut namespaces = self.namespaces.lock();
            namespaces
                .extract_if(.., |namespace| !namespace.update(find(namespace.id())))
                .collect()
        };
        for namespace in gone {
            let device: Arc<dyn BlockDevice> = namespace;
            storage::remove(&device);
        }
        for namespace in &found {
            let known = |other: &Arc<Namespace>| other.id() == namespace.id;
            if self.namespaces.lock().iter().any(known) {
                continue;
            }
            if let Some(reason) = unusable(namespace) {
                println!(
                    "{}: namespace {} is not used: {reason}",
                    self.name, namespace.id
                );
                continue;
            }
            let name = Name::or_next(&format!("{}n{}", self.name, namespace.id));
            let depth = self.local().map_or(1, |local| local.queue().depth());
            let device = Arc::new(Namespace::new(name, self.clone(), *namespace, depth as u16));
            self.namespaces.lock().push(device.clone());
            storage::add(device, &self.model).await;
        }
    }

    fn forget_namespaces(&self) {
        let gone = core::mem::take(&mut *self.namespaces.lock());
        for namespace in gone {
            namespace.update(None);
            let device: Arc<dyn BlockDevice> = namespace;
            storage::remove(&device);
        }
    }

    /// Lets the controller go, and waits until it is nobody's.
    pub async fn leave(&self) {
        self.forget_namespaces();
        self.own.hide();
        if let Some(controller) = self.controller() {
            // One that is gone already says so; either way nothing is outstanding afterwards.
            let _ = controller.shutdown().await;
        }
        // Requests of other controllers may be under way with its memory. They end.
        self.own.take_back().await;
        self.leaving.say();
        self.controller.lock().take();
        let tasks = core::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.await;
        }
    }
}

/// Is woken by the interrupts that are passed on to this core. That is all it takes: after a task has run, the
/// core looks at its queue.
async fn listen(ear: Option<Ear>) {
    match ear {
        Some(ear) => loop {
            ear.raised().await;
        },
        None => pending().await,
    }
}

/// Why a namespace is no block device, if it is none.
fn unusable(namespace: &nvme::Namespace) -> Option<String> {
    match namespace.unusable {
        Some(reason) => Some(format!("{reason}")),
        // A block device has nowhere to put metadata, and writes where it likes.
        None if !namespace.is_plain() => Some(format!("blocks of {} bytes", namespace.format)),
        None if namespace.zoned.is_some() => Some("it is zoned".into()),
        None => None,
    }
}

/// What a core gets.
#[expect(clippy::large_enum_variant, reason = "one for each core, once")]
enum Place {
    Own(Queue),
    /// With others, whose requests it looks after as well.
    Home(Arc<Mutex<Queue>>),
    /// With others, one of which is its home; and whether this core has to look at it all the same.
    Guest(Arc<Mutex<Queue>>, bool),
}
