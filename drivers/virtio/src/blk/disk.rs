//! A block device: from whatever state it was in to one that takes requests.
//!
//! The order is the specification's (section 3.1.1), and the calls follow it. [`Disk::new`] resets
//! the device and agrees on features, so that it is known how many queues there may be.
//! [`Disk::queue`] makes them. [`Disk::start`] tells the device of them and lets it go: once it
//! runs, no queue can be added.

use super::config::{Block, Properties};
use super::queue::Queue;
use crate::device::{Options, Shared};
use crate::error::{Error, Failure, RequestError};
use crate::memory::Memory;
use crate::platform::Platform;
use crate::transport::Notify;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// The fewest entries of a queue that a request fits into: header, data, status.
const MIN_ENTRIES: u16 = 4;

/// A block device. Clones are handles of the same one.
pub struct Disk<P: Platform>(Arc<Shared<P, Block>>);

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
        Shared::open(platform, notify, options).await.map(Self)
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
        let entries = self.0.entries(number, MIN_ENTRIES).map_err(Error::Failed)?;
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
        self.0.start().await
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
        self.0.reset().await
    }

    /// Ends the use of the device: all requests end, and it is left reset.
    /// [`service`](Self::service) does it.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }

    /// Resolves when something has changed since `seen`, which is the last result or 0: the size,
    /// a reset, the end. One task may wait for that.
    pub async fn changed(&self, seen: u64) -> u64 {
        self.0.until_changed(seen).await
    }

    /// Whether the write cache is on.
    ///
    /// # Errors
    /// [`RequestError::Unsupported`] if there is none that could be turned off.
    pub fn write_cache(&self) -> Result<bool, Error> {
        let properties = self.properties();
        match properties.can_switch_cache {
            true => Ok(properties.writes_back),
            false => Err(RequestError::Unsupported.into()),
        }
    }

    /// Turns the write cache on or off, now and again after each reset. While it is off, what was written is durable when
    /// its request is over. What was written before is so only after a flush, which is still sent.
    ///
    /// # Errors
    /// As of [`write_cache`](Self::write_cache); [`DeviceError::Unsupported`](crate::DeviceError::Unsupported) if the
    /// device has not done it; [`Error::Dead`].
    pub fn set_write_cache(&self, is_on: bool) -> Result<(), Error> {
        self.0.set_write_cache(is_on)
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.0.failure()
    }

    /// Times that it was reset and came back.
    pub fn resets(&self) -> u64 {
        self.0.resets()
    }

    /// Pieces of memory that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}
