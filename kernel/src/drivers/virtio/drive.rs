//! A disk with a queue on each core.
//!
//! A request goes into the queue of the core that makes it. So nobody waits for another core, and
//! a lock is taken only where the device has fewer queues than there are cores: the last one is
//! then shared by all cores from there on.
//!
//! Each queue has a task on its core, and the device has one on the core that found it. They end
//! when the device is out of use and each request has been asked for or abandoned.

use super::Location;
use super::bell::{Bell, Messages, listen};
use super::device::limits;
use super::platform::VirtioPlatform;
use super::queue::{Access, Local, Queue, QueueCounters, Way};
use crate::block::{BlockDevice, Limits};
use crate::cores::{self, CoreId, PerCore};
use crate::dma::Domain;
use crate::executor::{self, Task};
use crate::lock::Mutex;
use crate::println;
use crate::storage::{self, Name};
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use embassy_futures::join::join;
use embassy_futures::select::select;
use embassy_time::{Duration, Timer};
use virtio::blk::Properties;

/// The driver's handle of a disk.
pub type Disk = virtio::blk::Disk<VirtioPlatform>;

/// How often it is looked whether something has ended that ends soon, and tells nobody.
const LOOK: Duration = Duration::from_millis(2);

/// How often a core that shares a queue looks whether the device is out of use.
const SHARED_LOOK: Duration = Duration::from_millis(250);

/// A disk.
pub struct Drive {
    pub(super) name: Name,
    location: Location,
    pub(super) disk: Disk,
    /// Where the device finds memory.
    pub(super) domain: Domain,
    /// As it was found, with as many blocks as there can be: `blocks` is what counts.
    pub(super) properties: Properties,
    pub(super) blocks: AtomicU64,
    /// But for depth and pieces, which the queues say.
    pub(super) limits: Limits,
    /// It is being let go, or has gone.
    pub(super) is_gone: AtomicBool,
    /// This core's queue, if it has one.
    queues: PerCore<RefCell<Option<Rc<Local>>>>,
    pub(super) depth: AtomicU64,
    pub(super) pieces: AtomicU64,
    /// Bytes that were copied because the device has no way to them.
    pub(super) bounced: AtomicU64,
    tasks: Mutex<Vec<Task<()>>>,
}

/// What a core gets.
#[expect(clippy::large_enum_variant, reason = "one for each core, once")]
enum Place {
    /// A queue of its own.
    Own(Queue),
    /// One that it shares, and keeps going.
    Home(Arc<Mutex<Queue>>),
    /// One that another core keeps going, and whether that is told by interrupts.
    Guest(Arc<Mutex<Queue>>, Told),
}

/// Whether a queue interrupts the core that keeps it going.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

impl Drive {
    pub(super) fn new(location: Location, disk: Disk, domain: Domain) -> Self {
        let found = disk.properties();
        let mut properties = found;
        properties.blocks = u64::MAX / u64::from(found.block_size);
        Self {
            name: Name::lettered("vd"),
            location,
            disk,
            domain,
            properties,
            blocks: AtomicU64::new(found.blocks),
            limits: limits(&found),
            is_gone: AtomicBool::new(false),
            queues: PerCore::new(|| RefCell::new(None)),
            depth: AtomicU64::new(1),
            pieces: AtomicU64::new(1),
            bounced: AtomicU64::new(0),
            tasks: Mutex::new(Vec::new()),
        }
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        self.location
    }

    /// The driver's handle: to be reset, or asked how it is.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Bytes of requests so far that went through other memory, because the device has no way to theirs.
    pub fn bounced(&self) -> u64 {
        self.bounced.load(Ordering::Relaxed)
    }

    /// What this core's queue has done.
    pub fn counters(&self) -> Option<QueueCounters> {
        self.with_queue(|local| local.map(Local::counters))
    }

    #[inline]
    pub(super) fn with_queue<R>(&self, action: impl FnOnce(Option<&Local>) -> R) -> R {
        action(self.queues.here().borrow().as_deref())
    }

    /// Makes the queues, starts the tasks and the device, and adds it to the storage.
    pub(super) async fn start(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
    ) -> Result<(), virtio::Error> {
        let mut unfinished = Unfinished {
            drive: Some(self.clone()),
            is_kept: false,
        };
        let result = self.start_queues(messages, first_entry).await;
        let drive = self.clone();
        let keeper = executor::spawn(async move { drive.keep().await });
        self.tasks.lock().push(keeper);
        unfinished.is_kept = true;
        match result {
            Ok(()) => storage::add(self.clone(), &self.model().await).await,
            Err(_) => {
                self.disk.shutdown().await;
                self.end_tasks().await;
            }
        }
        unfinished.drive = None;
        result
    }

    async fn start_queues(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
    ) -> Result<(), virtio::Error> {
        let cores: Vec<CoreId> = cores::online().collect();
        let count = cores.len().min(usize::from(self.disk.queues()));
        let count = count.min(messages.as_ref().map_or(usize::MAX, Messages::cores));
        let mut started = Vec::new();
        for (number, core) in cores.iter().enumerate().take(count) {
            let entry = first_entry + number as u16;
            let bell = messages.as_ref().and_then(|all| all.bell(entry, *core));
            let queue: Queue = self.disk.queue(bell.as_ref().map(Bell::entry))?;
            self.depth.store(queue.depth() as u64, Ordering::Relaxed);
            self.pieces.store(queue.pieces().into(), Ordering::Relaxed);
            let rest = &cores[count..];
            if number + 1 < count || rest.is_empty() {
                started.push(self.attach(*core, Place::Own(queue), bell));
                continue;
            }
            let queue = Arc::new(Mutex::new(queue));
            let told = match &bell {
                Some(_) => Told::Yes,
                None => Told::No,
            };
            started.push(self.attach(*core, Place::Home(queue.clone()), bell));
            for core in rest {
                let place = Place::Guest(queue.clone(), told);
                started.push(self.attach(*core, place, None));
            }
        }
        while !started
            .iter()
            .all(|started| started.load(Ordering::Acquire))
        {
            Timer::after(LOOK).await;
        }
        self.disk.start().await
    }

    /// Gives a core its way to a queue. The result becomes true when that has happened.
    fn attach(self: &Arc<Self>, core: CoreId, place: Place, bell: Option<Bell>) -> Arc<AtomicBool> {
        let is_ready = Arc::new(AtomicBool::new(false));
        let (drive, ready) = (self.clone(), is_ready.clone());
        let task = executor::spawn_on(core, move || async move {
            let is_guest = matches!(place, Place::Guest(..));
            let ear = bell.as_ref().and_then(Bell::ear);
            let (access, must_poll) = match place {
                Place::Own(queue) => (Access::Own(RefCell::new(queue)), true),
                Place::Home(queue) => (Access::Shared(queue), true),
                Place::Guest(queue, told) => (Access::Shared(queue), told == Told::No),
            };
            let local = Rc::new(Local::new(access, bell, must_poll));
            *drive.queues.here().borrow_mut() = Some(local.clone());
            let looked_at = local.clone();
            let poller = executor::add_poller(move || looked_at.look());
            ready.store(true, Ordering::Release);
            match is_guest {
                false => {
                    select(virtio::blk::attend(Way(local.clone())), listen(ear)).await;
                }
                true => {
                    while local.with(|queue| queue.failure().is_none()) {
                        Timer::after(SHARED_LOOK).await;
                    }
                }
            }
            while !local.with(|queue| queue.is_idle()) {
                Timer::after(LOOK).await;
            }
            drop(poller);
            drive.queues.here().borrow_mut().take();
        });
        self.tasks.lock().push(task);
        is_ready
    }

    /// The device's task: gets it back when it fails, and takes notice of what changes.
    async fn keep(self: Arc<Self>) {
        let watch = async {
            let mut seen = 0;
            loop {
                seen = self.disk.changed(seen).await;
                let now = self.disk.properties();
                self.blocks.store(now.blocks, Ordering::Relaxed);
            }
        };
        select(self.disk.service(), watch).await;
        match self.disk.failure() {
            Some(virtio::Failure::Gone) => self.forget(),
            Some(virtio::Failure::ShutDown) | None => {}
            Some(failure) => println!("{}: out of use: {failure}", self.name),
        }
    }

    /// It is not to be found any more.
    fn forget(self: &Arc<Self>) {
        self.is_gone.store(true, Ordering::Relaxed);
        let device: Arc<dyn BlockDevice> = self.clone();
        storage::remove(&device);
    }

    /// Lets the device go, and waits until it is nobody's.
    pub async fn leave(self: &Arc<Self>) {
        self.forget();
        self.disk.shutdown().await;
        self.end_tasks().await;
    }

    async fn end_tasks(&self) {
        let tasks = core::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.await;
        }
    }
}

/// A disk that is being brought up. If nobody waits for the end of that, the device is let go, as one that leaves: it is
/// nobody's when its queues have ended, which they do when it has stopped.
struct Unfinished {
    /// `None` when it is brought up, or was let go.
    drive: Option<Arc<Drive>>,
    /// Its task has been started.
    is_kept: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(drive) = self.drive.take() else {
            return;
        };
        let is_kept = self.is_kept;
        executor::spawn(async move {
            let keep = async {
                if !is_kept {
                    drive.clone().keep().await;
                }
            };
            join(keep, drive.leave()).await;
        })
        .detach();
    }
}
