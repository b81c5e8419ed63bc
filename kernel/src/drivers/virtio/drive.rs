//! A disk with a queue on each core, as a block device.
//!
//! A request goes into the queue of the core that makes it. So nobody waits for another core, and
//! a lock is taken only where the device has fewer queues than there are cores: the last one is
//! then shared by all cores from there on.
//!
//! Each queue has a task on its core, and the device has one on the core that found it. They end
//! when the device is out of use and each request has been asked for or abandoned.

use super::platform::VirtioPlatform;
use super::queue::{Access, Bell, Local, Messages, Queue, QueueCounters, Way};
use crate::block::{
    BlockDevice, BlockError, Completion, Durability, Geometry, Limits, Operation, Ranges, Refusal,
    Request, Space, Ticket,
};
use crate::cores::{self, CoreId, PerCore};
use crate::dma::{self, Buffer, Direction, DmaLimits, DmaMapping, Transfer};
use crate::executor::{self, Task};
use crate::interrupts::Interrupt;
use crate::lock::Mutex;
use crate::pci::PciAddress;
use crate::println;
use crate::storage::{self, Name};
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use embassy_futures::select::select;
use embassy_time::{Duration, Timer};
use virtio::blk::Properties;

/// The driver's handle of a disk.
pub type Disk = virtio::blk::Disk<VirtioPlatform>;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// What the disk says it is.
const MODEL: &str = "virtio disk";

/// How often it is looked whether something has ended that ends soon, and tells nobody.
const LOOK: Duration = Duration::from_millis(2);

/// How often a core that shares a queue looks whether the device is out of use.
const SHARED_LOOK: Duration = Duration::from_millis(250);

/// A disk.
pub struct Drive {
    name: Name,
    address: PciAddress,
    disk: Disk,
    /// As it was found, with as many blocks as there can be: `blocks` is what counts.
    properties: Properties,
    blocks: AtomicU64,
    /// It is being let go, or has gone.
    is_gone: AtomicBool,
    /// This core's queue, if it has one.
    queues: PerCore<RefCell<Option<Rc<Local>>>>,
    depth: AtomicU64,
    pieces: AtomicU64,
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
    pub(super) fn new(address: PciAddress, disk: Disk) -> Self {
        let found = disk.properties();
        let mut properties = found;
        properties.blocks = u64::MAX / u64::from(found.block_size);
        Self {
            name: Name::lettered("vd"),
            address,
            disk,
            properties,
            blocks: AtomicU64::new(found.blocks),
            is_gone: AtomicBool::new(false),
            queues: PerCore::new(|| RefCell::new(None)),
            depth: AtomicU64::new(1),
            pieces: AtomicU64::new(1),
            tasks: Mutex::new(Vec::new()),
        }
    }

    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The driver's handle: to be reset, or asked how it is.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What this core's queue has done.
    pub fn counters(&self) -> Option<QueueCounters> {
        self.with_queue(|local| local.map(Local::counters))
    }

    #[inline]
    fn with_queue<R>(&self, action: impl FnOnce(Option<&Local>) -> R) -> R {
        action(self.queues.here().borrow().as_deref())
    }

    /// Makes the queues, starts the tasks and the device, and adds it to the storage.
    pub(super) async fn start(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
    ) -> Result<(), virtio::Error> {
        let result = self.start_queues(messages, first_entry).await;
        let drive = self.clone();
        let keeper = executor::spawn(async move { drive.keep().await });
        self.tasks.lock().push(keeper);
        match result {
            Ok(()) => storage::add(self.clone(), MODEL).await,
            Err(_) => {
                self.disk.shutdown().await;
                self.end_tasks().await;
            }
        }
        result
    }

    async fn start_queues(
        self: &Arc<Self>,
        messages: Option<Messages>,
        first_entry: u16,
    ) -> Result<(), virtio::Error> {
        let cores: Vec<CoreId> = cores::online().collect();
        let count = cores.len().min(usize::from(self.disk.queues()));
        let mut started = Vec::new();
        for (number, core) in cores.iter().enumerate().take(count) {
            let bell = bell(&messages, first_entry + number as u16, *core);
            let queue: Queue = self.disk.queue(bell.as_ref().map(|bell| bell.entry))?;
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
                false => virtio::blk::attend(Way(local.clone())).await,
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

    /// The driver's operation. The block request has been checked against the geometry and the limits.
    #[inline]
    fn operation(&self, request: &Request) -> Result<virtio::blk::Operation, BlockError> {
        let properties = &self.properties;
        let block = request.block;
        let blocks = (request.len() >> properties.block_size.trailing_zeros()) as u64;
        let (made, durability) = match &request.operation {
            Operation::Read(_) => (properties.read_blocks(block, blocks), Durability::Flushed),
            Operation::Write(_, durability) => {
                (properties.write_blocks(block, blocks), *durability)
            }
            Operation::Discard { blocks } => (
                properties.discard_blocks(block, *blocks),
                Durability::Flushed,
            ),
            Operation::WriteZeroes {
                blocks,
                space,
                durability,
            } => {
                let made = properties.zero_blocks(block, *blocks);
                let made = match space {
                    Space::Keep => made,
                    Space::Release => made.map(virtio::blk::Operation::with_unmap),
                };
                (made, *durability)
            }
            Operation::Flush => (
                properties.flush().ok_or(virtio::RequestError::Unsupported),
                Durability::Flushed,
            ),
            // virtio knows neither, the limits say so, and the check was before.
            Operation::Compare(_) | Operation::Verify { .. } => {
                return Err(BlockError::Unsupported);
            }
        };
        let made = made.map_err(|error| block_error(virtio::Error::Request(error)))?;
        Ok(match durability {
            Durability::Flushed => made,
            Durability::Now => made.with_durability(),
        })
    }
}

/// Puts the memory of a request on the bus. If that fails, the request still has it.
#[inline]
fn put_on_bus(operation: &mut Operation) -> Result<Option<Transfer>, BlockError> {
    Ok(Some(match operation {
        Operation::Read(buffer) => map(buffer)?.into(),
        Operation::Write(buffer, _) => map(buffer)?.into(),
        _ => return Ok(None),
    }))
}

#[inline]
fn map<D: Direction>(buffer: &mut Buffer<D>) -> Result<DmaMapping<D>, BlockError> {
    dma::map(buffer.take(), &super::DOMAIN, &LIMITS).map_err(|(error, back)| {
        *buffer = back;
        error.into()
    })
}

/// Takes the memory off the bus again, back into the request that was refused.
#[cold]
fn take_back(operation: &mut Operation, transfer: Option<Transfer>) {
    match (operation, transfer) {
        (Operation::Read(buffer), Some(Transfer::FromDevice(mapping))) => *buffer = mapping.unmap(),
        (Operation::Write(buffer, _), Some(Transfer::ToDevice(mapping))) => {
            *buffer = mapping.unmap();
        }
        _ => {}
    }
}

impl BlockDevice for Drive {
    fn name(&self) -> &str {
        &self.name
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: self.properties.block_size,
            blocks: self.blocks.load(Ordering::Relaxed),
            writable: !self.properties.read_only,
        }
    }

    fn limits(&self) -> Limits {
        let block = self.properties.block_size;
        let ranges = |extent: virtio::blk::Extent| {
            let sectors = block / 512;
            Ranges {
                granularity: u64::from(extent.granularity.div_ceil(sectors)),
                max_blocks: u64::from(extent.max_sectors / sectors),
            }
        };
        Limits {
            command: phyr::Limits {
                max_pieces: self.pieces.load(Ordering::Relaxed),
                ..phyr::Limits::of_blocks(block.into())
            },
            depth: self.depth.load(Ordering::Relaxed) as u16,
            write_cache: self.properties.has_cache,
            // By a flush behind it.
            durable_writes: true,
            discard: self.properties.discard.map(ranges),
            write_zeroes: self.properties.write_zeroes.map(ranges),
            compare: false,
            verify: false,
        }
    }

    #[expect(
        clippy::result_large_err,
        reason = "a request that is refused comes back by value"
    )]
    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(BlockError::Removed.into());
        }
        request.check(&self.geometry(), &self.limits())?;
        if matches!(request.operation, Operation::Flush) && !self.properties.has_cache {
            cx.waker().wake_by_ref();
            return Ok(Ticket::new(NOTHING_TO_DO));
        }
        let operation = self.operation(request)?;
        self.with_queue(|local| {
            let Some(local) = local else {
                let failure = self.disk.failure().unwrap_or(virtio::Failure::Gone);
                return Err(block_error(virtio::Error::Dead(failure)).into());
            };
            let data = put_on_bus(&mut request.operation)?;
            let made = virtio::blk::Request { operation, data };
            match local.with(|queue| queue.submit(made, cx.waker())) {
                Ok(ticket) => Ok(Ticket::new(ticket.into_number())),
                Err(refused) => {
                    take_back(&mut request.operation, refused.request.data);
                    Err(match refused.error {
                        virtio::Error::Full => Refusal::Full,
                        error => Refusal::Error(block_error(error)),
                    })
                }
            }
        })
    }

    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        if ticket.number() == NOTHING_TO_DO {
            return Poll::Ready(Completion {
                memory: None,
                result: Ok(()),
            });
        }
        let ticket = virtio::blk::Ticket::from_number(ticket.number());
        let done = self.with_queue(|local| {
            // A queue stays until all its requests were asked for, or abandoned.
            let local = local.expect("a request is in a queue of this core");
            local.with(|queue| queue.poll(&ticket, cx))
        });
        done.map(|done| Completion {
            memory: done.data.map(Transfer::into_memory),
            result: done.result.map_err(block_error),
        })
    }

    fn abandon(&self, ticket: Ticket) {
        if ticket.number() == NOTHING_TO_DO {
            return;
        }
        let ticket = virtio::blk::Ticket::from_number(ticket.number());
        self.with_queue(|local| {
            if let Some(local) = local {
                local.with(|queue| queue.abandon(ticket));
            }
        });
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_queue(|local| match local {
            Some(local) => local.with(|queue| queue.poll_room(cx)),
            None => Poll::Ready(()),
        })
    }

    fn outstanding(&self) -> usize {
        self.with_queue(|local| local.map_or(0, |local| local.with(|queue| queue.requests())))
    }
}

/// The ticket of a request that was done when it came.
const NOTHING_TO_DO: u64 = u64::MAX;

#[cold]
fn block_error(error: virtio::Error) -> BlockError {
    use virtio::{DeviceError, Error, Failure, RequestError};
    match error {
        Error::Request(RequestError::Pieces { .. }) => BlockError::NeedsBounce,
        Error::Request(RequestError::OutOfRange) => BlockError::OutOfRange,
        Error::Request(RequestError::Length) => BlockError::Length,
        Error::Request(RequestError::ReadOnly) => BlockError::ReadOnly,
        Error::Request(RequestError::Unsupported) => BlockError::Unsupported,
        Error::Device(DeviceError::Unsupported) => BlockError::Unsupported,
        Error::Failed(Failure::Timeout(_)) => BlockError::TimedOut,
        // One is shut down because it is to go.
        Error::Failed(Failure::Gone | Failure::ShutDown)
        | Error::Dead(Failure::Gone | Failure::ShutDown)
        | Error::Lost(Failure::Gone | Failure::ShutDown) => BlockError::Removed,
        Error::OutOfMemory => BlockError::OutOfMemory,
        other => BlockError::device(&other),
    }
}

/// Lets an entry of the device's table interrupt a core. `None` if there is no such entry.
fn bell(messages: &Option<Messages>, entry: u16, core: CoreId) -> Option<Bell> {
    let messages = messages.as_ref()?;
    let interrupt = Interrupt::allocate(core);
    messages.route(entry, &interrupt).ok()?;
    Some(Bell {
        interrupt,
        messages: messages.clone(),
        entry,
    })
}
