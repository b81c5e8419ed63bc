//! What the controller and its queues, on whatever cores, have in common.
//!
//! - The fast path of a queue uses the registers' doorbells and the queue's own
//!   [`Link`], nothing else from here.
//! - Everything behind a lock is for set-up, administration and trouble. No lock is held
//!   while something is waited for, and none while a waker is woken that could take it.
//! - Whoever is last to let go stops the device first.

use crate::admin::Coalescing;
use crate::admin_queue::AdminQueue;
use crate::controller_memory::ControllerMemory;
use crate::doorbell::Shadows;
use crate::error::Failure;
use crate::identity::Identity;
use crate::lending::Lent;
use crate::link::{Link, Order};
use crate::lock::Mutex;
use crate::namespace::Namespace;
use crate::notices::Notices;
use crate::platform::Platform;
use crate::port::Port;
use alloc::sync::Arc;
use alloc::vec::Vec;
use atomic_waker::AtomicWaker;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// I/O queue pairs to ask the controller for. It may grant fewer, or more.
    pub queues: u16,
    /// Entries of each I/O queue, 2 to 256. Fewer if the controller's MQES says so.
    pub entries: u16,
    /// Microseconds that a command may take before the driver does something about it.
    pub timeout: u64,
    /// How often a command is sent again after an error or a reset.
    pub retries: u8,
    /// How many resets in a row, without success, end the use of the controller.
    pub resets: u8,
    /// Whether to ring by shadows in memory where the controller offers it. Only emulated ones
    /// do, and it pays only if a register write is dear for them (QEMU: `ioeventfd=on`).
    pub shadow_doorbells: bool,
    /// Whether submission queues go to the controller's own memory where it has some that the
    /// platform can reach. It pays where a fetch over the bus is slow, and is dear where the
    /// controller is a program.
    pub controller_memory: bool,
    /// Most bytes of memory to lend to a controller that wants some (host memory buffer).
    pub host_memory: u64,
    /// How many completions, and for how long, an I/O queue may gather before it interrupts. The
    /// default is whatever the controller does.
    pub coalescing: Option<Coalescing>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: 1,
            entries: 64,
            timeout: 10_000_000,
            retries: 3,
            resets: 3,
            shadow_doorbells: true,
            controller_memory: false,
            host_memory: 32 << 20,
            coalescing: None,
        }
    }
}

/// Looks at outstanding commands in the time of one timeout.
pub(crate) const SCANS: u32 = 16;

impl Options {
    /// Microseconds between two looks at what is outstanding.
    pub(crate) fn scan_microseconds(&self) -> u64 {
        (self.timeout / u64::from(SCANS)).max(1)
    }
}

/// One queue, as the recovering core sees it.
#[derive(Debug)]
pub(crate) struct Member {
    /// Queue Identifier of both queues.
    pub(crate) id: u16,
    /// Interrupt vector; `None` if the queue is polled.
    pub(crate) vector: Option<u16>,
    pub(crate) entries: u16,
    /// Bus addresses.
    pub(crate) submission: u64,
    pub(crate) completion: u64,
    pub(crate) link: Link,
    /// Who does what the link says.
    pub(crate) attendant: AtomicWaker,
    /// A command that has been out for too long: [`Self::ABORT`] and its identifier, or 0.
    pub(crate) abort: AtomicU32,
    /// The controller knows the rings. Written by the recovering core only.
    pub(crate) is_created: AtomicBool,
    /// The queue was dropped.
    pub(crate) is_gone: AtomicBool,
}

impl Member {
    /// Bit that says that there is something to abort.
    pub(crate) const ABORT: u32 = 1 << 16;

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
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) identity: Identity,
    /// In the order of their identifiers.
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) namespaces_left_out: bool,
    /// I/O queue pairs that there may be.
    pub(crate) granted: u16,
    pub(crate) members: Vec<Arc<Member>>,
    /// Where submission queues may lie besides the host's memory.
    pub(crate) controller_memory: Option<ControllerMemory>,
    /// What has happened that needs a reset. The first report counts.
    pub(crate) trouble: Option<Failure>,
    /// Why the last reset was necessary, or why the controller is dead.
    pub(crate) reason: Failure,
    /// The controller is out of use.
    pub(crate) is_dead: bool,
    /// Somebody resets it right now.
    pub(crate) is_recovering: bool,
    /// Whoever waits for a reset to end.
    pub(crate) waiters: Vec<Waker>,
    pub(crate) notices: Notices,
    /// Times that it failed, and times that it was reset.
    pub(crate) failures: u64,
    pub(crate) resets: u64,
    /// Resets that somebody has asked for and that have begun.
    pub(crate) begun: u64,
}

/// What all handles of a controller share.
pub(crate) struct Shared<P: Platform> {
    pub(crate) port: Port<P>,
    pub(crate) options: Options,
    /// `None` after the memory was given up for lost.
    pub(crate) admin: Mutex<Option<AdminQueue<P::Shared>>>,
    pub(crate) state: Mutex<State>,
    /// Shadow doorbells, once there were any.
    pub(crate) shadows: Mutex<Option<Arc<Shadows<P::Shared>>>>,
    /// What the controller has of the host's memory, or had.
    pub(crate) lent: Mutex<Option<Lent<P::Shared>>>,
    /// The controller knows the shadows.
    pub(crate) is_shadowed: AtomicBool,
    /// Who watches over the controller.
    pub(crate) service: AtomicWaker,
    /// There is something for it to look at.
    pub(crate) is_nudged: AtomicBool,
    /// The device is known to have stopped, or to be kept from memory.
    pub(crate) is_stopped: AtomicBool,
    /// Pieces of memory that are kept for ever, since the device may still use them.
    pub(crate) lost: AtomicU64,
    /// Command Retry Delay Times 1 to 3 (CRDT), 16 bits each, in units of 100 ms.
    pub(crate) retry_delays: AtomicU64,
}

impl<P: Platform> Shared<P> {
    /// Something has happened that needs a reset.
    pub(crate) fn report(&self, failure: Failure) {
        self.state.lock().trouble.get_or_insert(failure);
        self.nudge();
    }

    /// There is something for whoever watches over the controller.
    pub(crate) fn nudge(&self) {
        self.is_nudged.store(true, Ordering::Release);
        self.service.wake();
    }

    /// Why the last reset was necessary, or why the controller is dead.
    pub(crate) fn reason(&self) -> Failure {
        self.state.lock().reason
    }

    /// What the doorbells of a queue are that has just been created.
    pub(crate) fn shadows(&self) -> Option<Arc<Shadows<P::Shared>>> {
        match self.is_shadowed.load(Ordering::Acquire) {
            true => self.shadows.lock().clone(),
            false => None,
        }
    }

    /// Command Retry Delay Times (CRDT), if the controller was told that they are kept to.
    pub(crate) fn retry_delays(&self) -> [u16; 3] {
        let delays = self.retry_delays.load(Ordering::Relaxed);
        [0, 16, 32].map(|shift| (delays >> shift) as u16)
    }

    /// Scans that surely take so long.
    pub(crate) fn scans_of(&self, milliseconds: u32) -> u32 {
        let microseconds = u64::from(milliseconds) * 1000;
        let scans = microseconds.div_ceil(self.options.scan_microseconds());
        // The next scan may be at once. No delay is longer than two hours.
        u32::try_from(scans + 1).unwrap_or(u32::MAX / 2)
    }

    /// Keeps the device from memory at once and for good. Returns whether that is certain.
    ///
    /// For an owner of memory who goes away without having been told that the device has
    /// stopped.
    pub(crate) fn cut_off(&self, failure: Failure) -> bool {
        let is_certain = self.port.cut_off();
        self.is_stopped.store(is_certain, Ordering::Release);
        self.report(failure);
        is_certain
    }
}

impl<P: Platform> Drop for Shared<P> {
    /// Stops the device, so that the memory may go that it has for as long as it runs.
    fn drop(&mut self) {
        if *self.is_stopped.get_mut() || self.port.cut_off() {
            return;
        }
        core::mem::forget(self.admin.get_mut().take());
        core::mem::forget(self.shadows.get_mut().take());
        core::mem::forget(self.lent.get_mut().take());
    }
}
