//! A block device: from whatever state it was in to one that takes requests.
//!
//! The order is the specification's (section 3.1.1), and the calls follow it. [`Disk::new`] resets
//! the device and agrees on features, so that it is known how many queues there may be.
//! [`Disk::queue`] makes them. [`Disk::start`] tells the device of them and lets it go: once it
//! runs, no queue can be added.

use super::config::{self, Properties};
use super::queue::Queue;
use super::shared::{Options, Shared, State};
use crate::error::{Error, Failure};
use crate::link::Order;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::transport::{Accepted, Common, Notify, Step};
use alloc::sync::Arc;
use alloc::vec::Vec;
use atomic_waker::AtomicWaker;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;
use virtio_spec::blk::F;

/// The fewest entries of a queue that a request fits into: header, data, status.
const MIN_ENTRIES: u16 = 4;

/// A block device. Clones are handles of the same one.
pub struct Disk<P: Platform>(pub(super) Arc<Shared<P>>);

impl<P: Platform> Clone for Disk<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Platform> Disk<P> {
    /// Resets a device and agrees with it on features. `notify` is the block of
    /// [`Platform::notify`], as its capability describes it.
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong. The device is left reset, and without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        // Whatever firmware has told it: not before it has forgotten that.
        platform.stop_dma();
        let agreed = match Common(&platform).reset().await {
            Ok(()) => agree(&platform, &options),
            Err(failure) => Err(failure),
        };
        let (features, generation, properties) = match agreed {
            Ok(agreed) => agreed,
            Err(failure) => {
                let _ = Common(&platform).step(Step::Reset);
                return Err(Error::Failed(failure));
            }
        };
        let state = State {
            properties,
            features,
            generation,
            queues: 0,
            members: Vec::new(),
            trouble: None,
            reason: Failure::Reset,
            is_live: false,
            is_dead: false,
            resets: 0,
        };
        Ok(Self(Arc::new(Shared {
            platform,
            notify,
            options,
            state: crate::lock::Mutex::new(state),
            service: AtomicWaker::new(),
            is_nudged: false.into(),
            watcher: AtomicWaker::new(),
            changes: 0.into(),
            lost: 0.into(),
        })))
    }

    /// What the device is like at this moment: its size may change.
    pub fn properties(&self) -> Properties {
        self.0.state.lock().properties
    }

    /// Queues that there may be.
    pub fn queues(&self) -> u16 {
        self.properties().queues
    }

    /// Makes the next queue, with an interrupt vector or to be polled. The device does not know it
    /// before [`start`](Self::start); requests are taken already, and wait.
    ///
    /// # Errors
    /// [`Error::NoQueue`] if the device has no more or runs already, [`Error::OutOfMemory`], or
    /// [`Error::Failed`] if the device's queue is too small for a request.
    pub fn queue<B: Memory>(&self, vector: Option<u16>) -> Result<Queue<P, B>, Error> {
        let (number, properties, features) = {
            let mut state = self.0.state.lock();
            if state.is_live || state.is_dead || state.queues >= state.properties.queues {
                return Err(Error::NoQueue);
            }
            state.queues += 1;
            (state.queues - 1, state.properties, state.features)
        };
        let size = self.0.common().queue_size(number);
        let wanted = size.min(self.0.options.entries);
        if wanted < MIN_ENTRIES {
            let failure = Failure::QueueSize {
                queue: number,
                size,
            };
            return Err(Error::Failed(failure));
        }
        // A split queue's size is a power of two, whatever the device says.
        let entries = 1 << wanted.ilog2();
        let queue = Queue::allocate(
            self.0.clone(),
            number,
            entries,
            vector,
            &properties,
            &features,
        )?;
        self.0.state.lock().members.push(queue.member().clone());
        Ok(queue)
    }

    /// Tells the device of its queues, and lets it go.
    ///
    /// # Errors
    /// [`Error::Failed`]. The device is out of use then.
    pub async fn start(&self) -> Result<(), Error> {
        match self.0.introduce_all() {
            Ok(()) => {
                self.0.state.lock().is_live = true;
                self.0.order(Order::Live).await;
                Ok(())
            }
            Err(failure) => {
                self.0.give_up(failure).await;
                Err(Error::Failed(failure))
            }
        }
    }

    /// Watches over the device, and gets it back after a failure. Resolves when it is out of use. A
    /// task for one core: without it, requests of a device that fails wait for ever.
    pub async fn service(&self) {
        self.0.service().await;
    }

    /// Resets the device. Requests wait meanwhile, and are sent again. [`service`](Self::service)
    /// does it.
    ///
    /// # Errors
    /// [`Error::Dead`] if it did not come back.
    pub async fn reset(&self) -> Result<(), Error> {
        let resets = self.resets();
        self.0.report(Failure::Reset);
        self.until(|state| state.is_dead || state.resets != resets)
            .await;
        match self.failure() {
            Some(failure) => Err(Error::Dead(failure)),
            None => Ok(()),
        }
    }

    /// Ends the use of the device: all requests end, and it is left reset.
    /// [`service`](Self::service) does it.
    pub async fn shutdown(&self) {
        self.0.report(Failure::ShutDown);
        self.until(|state| state.is_dead).await;
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let period = self.0.options.scan_microseconds().min(10_000);
        while !is_so(&self.0.state.lock()) {
            self.0.platform.pause(period).await;
        }
    }

    /// Resolves when something has changed since `seen`, which is the last result or 0: the size,
    /// a reset, the end. One task may wait for that.
    pub async fn changed(&self, seen: u64) -> u64 {
        poll_fn(|cx| {
            self.0.watcher.register(cx.waker());
            match self.0.changes.load(Ordering::Acquire) {
                now if now == seen => Poll::Pending,
                now => Poll::Ready(now),
            }
        })
        .await
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        let state = self.0.state.lock();
        state.is_dead.then_some(state.reason)
    }

    /// Times that it was reset and came back.
    pub fn resets(&self) -> u64 {
        self.0.state.lock().resets
    }

    /// Pieces of memory that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

/// From a device that is reset to features and properties.
pub(super) fn agree<P: Platform>(
    platform: &P,
    options: &Options,
) -> Result<(Accepted<F>, u8, Properties), Failure> {
    let common = Common(platform);
    common.step(Step::Acknowledge)?;
    common.step(Step::Driver)?;
    let features = common.negotiate(&config::wishes())?;
    let generation = common.generation();
    let properties = Properties::read(platform, &features)?;
    common.set_config_vector(options.config_vector);
    Ok((features, generation, properties))
}
