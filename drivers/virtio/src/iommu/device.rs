//! The device: from whatever state it was in to one that translates, and then a request after the other.

use super::config::{self, Properties};
use super::events::{Events, Fault};
use super::request::{Request, Status, WORDS};
use crate::chain::{NEXT, WRITE, descriptor};
use crate::error::{Failure, Violation, Waiting};
use crate::lock::Mutex;
use crate::platform::{OutOfMemory, Platform, SharedMemory};
use crate::ring::{Ring, Terms, Used};
use crate::transport::{self, Accepted, Common, Notify, Step};
use core::fmt;
use virtio_spec::F;

/// Most entries of a queue that are used.
const MAX_ENTRIES: u16 = 128;

/// A request and its tail are two descriptors.
const DESCRIPTORS: u16 = 2;

/// Bytes of memory for a request, and where in them its tail is.
const SLOT: usize = 64;
const TAIL: usize = 48;

/// Microseconds that an answer may take.
const PATIENCE: u64 = 10_000_000;

/// What no device says in a tail.
const NO_STATUS: u64 = 0xff;

const REQUESTS: u16 = 0;
const EVENTS: u16 = 1;

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The device says why.
    Refused(Status),
    /// The device failed as a whole. Nobody can tell what it lets past from now on.
    Failed(Failure),
    /// The platform has no memory for the queues.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the IOMMU refuses: {status}"),
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::OutOfMemory => write!(f, "{OutOfMemory}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// A virtqueue, and how the device is told of what is in it.
pub(super) struct Queue<M> {
    pub(super) ring: Ring<M>,
    pub(super) entries: u16,
    number: u16,
    notify_at: usize,
}

impl<M: SharedMemory> Queue<M> {
    /// Sets a queue up and tells the device of it.
    fn introduce<P: Platform<Shared = M>>(
        platform: &P,
        number: u16,
        notify: &Notify,
    ) -> Result<Self, Error> {
        let common = Common(platform);
        let size = common.queue_size(number).min(MAX_ENTRIES);
        if size < DESCRIPTORS {
            let queue = number;
            return Err(Failure::QueueSize { queue, size }.into());
        }
        let entries = 1 << size.ilog2();
        let (ring, rings) = Ring::allocate(platform, Terms::PLAIN, number, entries, None)?;
        let introduced = common.introduce(&rings, notify)?;
        Ok(Self {
            ring,
            entries,
            number,
            notify_at: introduced.notify_at,
        })
    }

    pub(super) fn publish<P: Platform<Shared = M>>(&mut self, platform: &P) {
        if self.ring.publish() {
            transport::notify(platform, self.notify_at, self.number);
        }
    }

    pub(super) fn pop(&mut self) -> Result<Option<Used>, Failure> {
        self.ring.pop().map_err(Failure::Violation)
    }
}

/// Requests, each in a slot of its own: its memory, and two descriptors that never change but for a length.
struct Requests<M> {
    queue: Queue<M>,
    slots: M,
    /// The device broke a rule, and is not believed any more.
    failure: Option<Failure>,
}

/// An IOMMU that translates.
pub struct Iommu<P: Platform> {
    platform: P,
    properties: Properties,
    // Both are there until the end. Then they are dropped, or kept for ever.
    requests: Mutex<Option<Requests<P::Shared>>>,
    events: Mutex<Option<Events<P::Shared>>>,
}

/// Why what is there until the end is there.
const THERE: &str = "only dropping takes it";

impl<P: Platform> Iommu<P> {
    /// Resets the device, agrees with it on features, and lets it translate: no endpoint reaches anything
    /// from then on that is in no domain. `notify` is the block of [`Platform::notify`].
    ///
    /// # Errors
    /// What is wrong. The device is left reset, which is as if it were not there.
    pub async fn start(platform: P, notify: Notify) -> Result<Self, Error> {
        // Whatever firmware has told it: not before it has forgotten that.
        platform.stop_dma();
        Common(&platform).reset().await?;
        match Self::set_up(&platform, &notify) {
            Ok((features, properties, requests, events)) => {
                // From here on the device is stopped before its memory goes: by `Drop`.
                let iommu = Self {
                    platform,
                    properties,
                    requests: Mutex::new(Some(requests)),
                    events: Mutex::new(Some(events)),
                };
                iommu.let_go(&features)?;
                Ok(iommu)
            }
            Err(error) => {
                let _ = Common(&platform).step(Step::Reset);
                Err(error)
            }
        }
    }

    /// Agrees on everything, and makes queues. The device reaches no memory yet.
    #[expect(clippy::type_complexity, reason = "the fields of the result")]
    fn set_up(
        platform: &P,
        notify: &Notify,
    ) -> Result<
        (
            Accepted<F>,
            Properties,
            Requests<P::Shared>,
            Events<P::Shared>,
        ),
        Error,
    > {
        let common = Common(platform);
        common.step(Step::Acknowledge)?;
        common.step(Step::Driver)?;
        let features = common.negotiate(&config::wishes())?;
        let properties = Properties::read(platform.config(), &features)?;
        let requests = Requests::new(platform, Queue::introduce(platform, REQUESTS, notify)?)?;
        let queue = Queue::introduce(platform, EVENTS, notify)?;
        let buffers = platform.allocate(Events::<P::Shared>::bytes(queue.entries))?;
        Ok((features, properties, requests, Events::new(queue, buffers)))
    }

    fn let_go(&self, features: &Accepted<F>) -> Result<(), Failure> {
        self.platform.start_dma();
        Common(&self.platform).step(Step::DriverOk)?;
        let mut events = self.events.lock();
        events.as_mut().expect(THERE).fill(&self.platform);
        config::close(&self.platform, features)
    }

    /// What it can do.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Has requests carried out, in their order, and waits until they are.
    ///
    /// # Errors
    /// [`Refused`](Error::Refused) by the first that was not carried out; some behind it may have been.
    /// [`Failed`](Error::Failed) for good.
    pub fn execute(&self, requests: impl IntoIterator<Item = Request>) -> Result<(), Error> {
        let mut queue = self.requests.lock();
        let queue = queue.as_mut().expect(THERE);
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            queue.batch(&self.platform, &mut requests)?;
        }
        Ok(())
    }

    /// Takes the next fault off the record. Those for which the device had no buffer are not there.
    ///
    /// # Errors
    /// If the device broke a rule.
    pub fn next_fault(&self) -> Result<Option<Fault>, Failure> {
        let mut events = self.events.lock();
        events.as_mut().expect(THERE).next(&self.platform)
    }
}

impl<P: Platform> Drop for Iommu<P> {
    /// Its memory is never used again if it might still reach it.
    fn drop(&mut self) {
        let _ = Common(&self.platform).step(Step::Reset);
        if !self.platform.stop_dma() {
            core::mem::forget(self.requests.lock().take());
            core::mem::forget(self.events.lock().take());
        }
    }
}

impl<M: SharedMemory> Requests<M> {
    fn new<P: Platform<Shared = M>>(platform: &P, queue: Queue<M>) -> Result<Self, OutOfMemory> {
        let count = queue.entries / DESCRIPTORS;
        Ok(Self {
            slots: platform.allocate(usize::from(count) * SLOT)?,
            queue,
            failure: None,
        })
    }

    /// As many requests as there is room for.
    fn batch<P: Platform<Shared = M>>(
        &mut self,
        platform: &P,
        requests: &mut impl Iterator<Item = Request>,
    ) -> Result<(), Error> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        let most = self.queue.entries / DESCRIPTORS;
        let mut sent = 0;
        while sent < most
            && let Some(request) = requests.next()
        {
            self.write(sent, &request);
            sent += 1;
        }
        self.queue.publish(platform);
        if let Err(failure) = self.wait(platform, sent) {
            self.failure = Some(failure);
            return Err(failure.into());
        }
        for slot in 0..sent {
            let status = self.slots.load64(usize::from(slot) * SLOT + TAIL);
            match Status(status as u8) {
                Status::OK => {}
                status => return Err(Error::Refused(status)),
            }
        }
        Ok(())
    }

    fn write(&mut self, slot: u16, request: &Request) {
        let (words, len) = request.encode();
        let at = usize::from(slot) * SLOT;
        for (index, word) in words.into_iter().enumerate() {
            self.slots.store64(at + 8 * index, word);
        }
        self.slots.store64(at + TAIL, NO_STATUS);
        let bus = self.slots.bus().addr().get() + at as u64;
        let head = slot * DESCRIPTORS;
        let ring = &mut self.queue.ring;
        ring.describe(head, descriptor(bus, len, NEXT, head + 1));
        ring.describe(head + 1, descriptor(bus + TAIL as u64, 4, WRITE, 0));
        ring.push(head);
    }

    /// Waits for the answers to the first `sent` slots: each of them once.
    fn wait<P: Platform<Shared = M>>(&mut self, platform: &P, sent: u16) -> Result<(), Failure> {
        let started = platform.microseconds();
        let mut missing = u64::MAX >> (64 - u32::from(sent));
        while missing != 0 {
            let Some(used) = self.queue.pop()? else {
                if platform.microseconds().saturating_sub(started) > PATIENCE {
                    return Err(Failure::Timeout(Waiting::Request));
                }
                core::hint::spin_loop();
                continue;
            };
            let wrong = Failure::Violation(Violation::UsedId(used.id));
            let slot = used.id / u32::from(DESCRIPTORS);
            let is_head = used.id.is_multiple_of(u32::from(DESCRIPTORS)) && slot < 64;
            if !is_head || missing >> slot & 1 == 0 {
                return Err(wrong);
            }
            missing &= !(1 << slot);
        }
        Ok(())
    }
}

const _: () = assert!(MAX_ENTRIES / DESCRIPTORS <= 64, "a bit for each slot");
const _: () = assert!(8 * WORDS <= TAIL && TAIL + 8 <= SLOT);
