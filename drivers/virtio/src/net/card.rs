//! A network card: from whatever state it was in to one that carries frames.
//!
//! The order is the specification's (section 3.1.1), and the calls follow it. [`Card::new`] resets the device
//! and agrees on features, so that it is known how many pairs of queues there may be. [`Card::pair`] makes one
//! after the other, [`Card::control`] the control queue. [`Card::start`] tells the device of them and lets it go.

use super::config::{Net, Properties};
use super::control::{Commands, Control, Wishes};
use super::desk::Desk;
use super::filter::Filter;
use super::receiving::{Landing, Receiver};
use super::sending::Sender;
use crate::device::{Options, Shared};
use crate::error::{Error, Failure};
use crate::memory::Memory;
use crate::platform::Platform;
use crate::transport::Notify;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use virtio_spec::net::F;

/// The fewest entries of a queue for frames: header, head, body.
const LEAST_ENTRIES: u16 = 4;

/// The fewest entries of the control queue.
const LEAST_CONTROL: u16 = 4;

/// A pair of queues: `R` is what memory is supplied as, `S` what frames bring theirs in.
pub type Pair<P, R, S> = (Receiver<P, R>, Sender<P, S>);

/// A network card. Clones are handles of the same one.
pub struct Card<P: Platform> {
    shared: Arc<Shared<P, Net>>,
    wishes: Arc<Wishes>,
}

impl<P: Platform> Clone for Card<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            wishes: self.wishes.clone(),
        }
    }
}

impl<P: Platform> Card<P> {
    /// Resets a device and agrees with it on features. `notify` is the block of
    /// [`Platform::notify`], as its capability describes it.
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong. The device is left reset, and without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        Ok(Self {
            shared: Shared::open(platform, notify, options).await?,
            wishes: Arc::default(),
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared<P, Net>> {
        self.shared.clone()
    }

    /// What the card is like at this moment: its link may change.
    pub fn properties(&self) -> Properties {
        self.shared.state.lock().properties
    }

    /// Makes the next pair of queues, each with an interrupt vector or to be polled.
    ///
    /// # Errors
    /// [`Error::NoQueue`] if the device has no more or runs already, [`Error::OutOfMemory`], or
    /// [`Error::Failed`] if a queue of the device's is too small.
    pub fn pair<R: Landing, S: Memory>(
        &self,
        vectors: [Option<u16>; 2],
    ) -> Result<Pair<P, R, S>, Error> {
        let (pair, properties, features) = {
            let mut state = self.shared.state.lock();
            if state.is_live || state.is_dead || state.queues >= state.properties.pairs {
                return Err(Error::NoQueue);
            }
            state.queues += 1;
            (state.queues - 1, state.properties, state.features)
        };
        let has_tables = features.contains(F::INDIRECT_DESC);
        let [receive, send] = vectors;
        let receiver = Receiver::new(self.desk(2 * pair, receive)?, properties, has_tables)?;
        let sender = Sender::new(self.desk(2 * pair + 1, send)?, properties, has_tables)?;
        let mut state = self.shared.state.lock();
        state.members.push(receiver.member().clone());
        state.members.push(sender.member().clone());
        drop(state);
        self.wishes.set_pairs(pair + 1);
        Ok((receiver, sender))
    }

    /// Makes the control queue; `None` if the card has none. It is never armed.
    ///
    /// # Errors
    /// As for [`pair`](Self::pair).
    pub fn control(&self) -> Result<Option<Control<P>>, Error> {
        let properties = self.properties();
        let Some(number) = properties.control else {
            return Ok(None);
        };
        if self.shared.state.lock().is_live {
            return Err(Error::NoQueue);
        }
        let entries = self
            .shared
            .entries(number, LEAST_CONTROL)
            .map_err(Error::Failed)?;
        let entries = entries.min(LEAST_CONTROL);
        let desk = Desk::new(self.shared.clone(), number, entries, None)?;
        let control = Control::new(desk, self.wishes.clone())?;
        let mut state = self.shared.state.lock();
        state.members.push(control.member().clone());
        Ok(Some(control))
    }

    fn desk(&self, queue: u16, vector: Option<u16>) -> Result<Desk<P>, Error> {
        let entries = self
            .shared
            .entries(queue, LEAST_ENTRIES)
            .map_err(Error::Failed)?;
        Ok(Desk::new(self.shared.clone(), queue, entries, vector)?)
    }

    /// Tells the device of its queues, and lets it go.
    ///
    /// # Errors
    /// [`Error::Failed`]. The device is out of use then.
    pub async fn start(&self) -> Result<(), Error> {
        self.shared.start().await
    }

    /// Watches over the device, and gets it back after a failure. Resolves when it is out of use. A
    /// task for one core.
    pub async fn service(&self) {
        self.shared.service().await;
    }

    /// Resets the device. Frames that are on their way out may be lost. [`service`](Self::service) does it.
    ///
    /// # Errors
    /// [`Error::Dead`] if it did not come back.
    pub async fn reset(&self) -> Result<(), Error> {
        self.shared.reset().await
    }

    /// Resets one queue, by its number: twice the number of the pair for what arrives, one more for what leaves.
    /// The others go on, if the card can do that; else all of it is reset. [`service`](Self::service) does it.
    ///
    /// # Errors
    /// [`Error::NoQueue`] if there is none, [`Error::Dead`] if the device did not come back.
    pub async fn reset_queue(&self, queue: u16) -> Result<(), Error> {
        self.shared.reset_one(queue).await
    }

    /// Ends the use of the device. [`service`](Self::service) does it.
    pub async fn shutdown(&self) {
        self.shared.shutdown().await;
    }

    /// Says which frames are to arrive. The control queue does it, and does it again after a reset.
    pub fn set_filter(&self, filter: Filter) {
        self.wishes.set_filter(filter);
    }

    /// Resolves when something has changed since `seen`, which is the last result or 0: the link, the
    /// wish for an announcement, a reset, the end. One task may wait for that.
    pub async fn changed(&self, seen: u64) -> u64 {
        let now = self.shared.until_changed(seen).await;
        self.wishes.wake();
        now
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.failure()
    }

    /// Times that it was reset and came back.
    pub fn resets(&self) -> u64 {
        self.shared.resets()
    }

    /// Times that a queue was reset alone and came back.
    pub fn queue_resets(&self) -> u64 {
        self.shared.queue_resets()
    }

    /// What has become of commands.
    pub fn commands(&self) -> Commands {
        self.wishes.commands()
    }

    /// Pieces of memory that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}
