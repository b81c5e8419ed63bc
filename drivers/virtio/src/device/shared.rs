//! What the device and its queues, on whatever cores, have in common.
//!
//! - The fast path of a queue uses the notification register and its own [`Link`], nothing else
//!   from here.
//! - Everything behind the lock is for set-up and trouble. It is not held while something is
//!   waited for, nor while a waker is woken that could take it.
//! - Whoever is last to let go stops the device first.

use super::Kind;
use crate::error::Failure;
use crate::link::{Link, Order};
use crate::lock::Mutex;
use crate::platform::Platform;
use crate::transport::{Accepted, Common, Notify, Rings, Step};
use alloc::sync::Arc;
use alloc::vec::Vec;
use atomic_waker::AtomicWaker;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Most entries of each queue: a power of two, at least 4. Fewer if the device says so.
    pub entries: u16,
    /// Microseconds that a request may take before the device is reset.
    pub timeout: u64,
    /// How often a request is sent again after a reset.
    pub retries: u8,
    /// How many resets in a row, without success, end the use of the device.
    pub resets: u8,
    /// The interrupt vector for changes of the configuration.
    pub config_vector: Option<u16>,
    /// Features that are not accepted although this driver implements them, by their numbers as bits.
    pub avoid: u128,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 256,
            timeout: 30_000_000,
            retries: 3,
            resets: 3,
            config_vector: None,
            avoid: 0,
        }
    }
}

/// Looks at outstanding requests in the time of one timeout.
pub(crate) const SCANS: u32 = 16;

impl Options {
    /// Microseconds between two looks at what is outstanding.
    pub(crate) fn scan_microseconds(&self) -> u64 {
        (self.timeout / u64::from(SCANS)).max(1)
    }
}

/// One queue, as the recovering core sees it.
pub(crate) struct Member {
    pub(crate) rings: Rings,
    pub(crate) link: Link,
    /// Who does what the link says.
    pub(crate) attendant: AtomicWaker,
    /// Where the queue is notified. Written before the queue is told that it is live.
    pub(crate) notify_at: AtomicU32,
    /// The device interrupts for it. Likewise.
    pub(crate) has_vector: AtomicBool,
    /// The device was told of the queue. Changed and looked at behind the lock.
    pub(crate) is_known: AtomicBool,
    /// The queue was dropped. Changed behind the lock.
    pub(crate) is_gone: AtomicBool,
}

impl Member {
    pub(crate) fn new(rings: Rings) -> Self {
        Self {
            rings,
            link: Link::new(),
            attendant: AtomicWaker::new(),
            notify_at: AtomicU32::new(0),
            has_vector: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
        }
    }

    /// Tells the queue what to do.
    pub(crate) fn command(&self, order: Order) {
        self.link.command(order);
        self.attendant.wake();
    }

    /// Whether the queue has done that, or is not there any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.link.is_answered() || self.is_gone.load(Ordering::Acquire)
    }
}

/// What is behind the lock.
pub(crate) struct State<K: Kind> {
    pub(crate) properties: K::Properties,
    pub(crate) features: Accepted<K::Features>,
    /// The generation of the configuration that the properties are of.
    pub(crate) generation: u32,
    /// Queues that were made. No number is given twice.
    pub(crate) queues: u16,
    pub(crate) members: Vec<Arc<Member>>,
    /// What has happened that needs a reset. The first report counts.
    pub(crate) trouble: Option<Failure>,
    /// Queues that need a reset, and may get one of their own.
    pub(crate) sick: Vec<(Arc<Member>, Failure)>,
    /// Why the last reset was necessary, or why the device is dead.
    pub(crate) reason: Failure,
    /// It was started, and its queues are live.
    pub(crate) is_live: bool,
    /// It is out of use.
    pub(crate) is_dead: bool,
    /// Times that it was reset and came back.
    pub(crate) resets: u64,
    /// Times that one queue was.
    pub(crate) queue_resets: u64,
}

/// What all handles of a device share.
pub(crate) struct Shared<P: Platform, K: Kind> {
    pub(crate) platform: P,
    pub(crate) notify: Notify,
    pub(crate) options: Options,
    pub(crate) state: Mutex<State<K>>,
    /// What lasts over a reset. Written behind the lock.
    pub(crate) standing: K::Standing,
    /// Who watches over the device, and whether there is something for it to look at.
    pub(crate) service: AtomicWaker,
    pub(crate) is_nudged: AtomicBool,
    /// Who wants to know when something has changed, and how often it has.
    pub(crate) watcher: AtomicWaker,
    pub(crate) changes: AtomicU64,
    /// Pieces of memory that are kept for ever, since the device may still use them.
    pub(crate) lost: AtomicU64,
}

impl<P: Platform, K: Kind> Shared<P, K> {
    pub(crate) fn common(&self) -> Common<'_, P> {
        Common(&self.platform)
    }

    /// Something has happened that needs a reset. Of several the first counts; but the end of all use is not
    /// forgotten for the sake of a device that can be got back.
    pub(crate) fn report(&self, failure: Failure) {
        {
            let trouble = &mut self.state.lock().trouble;
            match failure {
                Failure::ShutDown => *trouble = Some(failure),
                failure => _ = trouble.get_or_insert(failure),
            }
        }
        self.nudge();
    }

    /// There is something for whoever watches over the device.
    pub(crate) fn nudge(&self) {
        self.is_nudged.store(true, Ordering::Release);
        self.service.wake();
    }

    /// Something has changed that others may want to know.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.watcher.wake();
    }

    pub(crate) fn reason(&self) -> Failure {
        self.state.lock().reason
    }

    /// A queue goes, and its memory with it, and has not been told that the device has stopped.
    /// Returns whether the device cannot reach the memory any more: it was never told of it, or is
    /// kept from all memory at once.
    ///
    /// Behind the lock, so that no device is let go meanwhile that has just been told.
    pub(crate) fn leave(&self, member: &Member) -> bool {
        let state = self.state.lock();
        member.is_gone.store(true, Ordering::Release);
        let is_known = member.is_known.load(Ordering::Relaxed);
        let is_safe = !is_known || self.platform.stop_dma();
        drop(state);
        if is_known {
            self.report(Failure::Dropped);
        }
        is_safe
    }

    /// The queues that there are.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        let mut state = self.state.lock();
        let is_there = |member: &Arc<Member>| !member.is_gone.load(Ordering::Acquire);
        state.members.retain(is_there);
        state.members.clone()
    }
}

impl<P: Platform, K: Kind> Drop for Shared<P, K> {
    /// The memory of queues and requests is the queues', which are gone. So this is only good
    /// manners: the device is left reset, and without a way to memory.
    fn drop(&mut self) {
        let _ = self.common().step(Step::Reset);
        self.platform.stop_dma();
    }
}
