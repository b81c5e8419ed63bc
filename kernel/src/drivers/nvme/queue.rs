//! A queue on its core: who looks at it, and when.
//!
//! # The problem
//!
//! Under load, an interrupt for each completion costs more than the completion. Without load,
//! looking costs everything that the core could do instead, and the core never sleeps. And a command
//! in memory of which the device was not told is a request that never ends.
//!
//! # The idea
//!
//! The executor calls [`Local::look`] once in each turn. It takes what is complete, sends what waits,
//! and rings each doorbell at most once: so all requests of a turn's tasks go out together, and the
//! last thing before a core sleeps is a turn in which nothing was done, this included.
//!
//! Who starts the turn depends on the load:
//!
//! - *interrupt mode*: the core may sleep, and the queue's vector wakes it;
//! - *polled mode*: the vector is masked, and the core keeps looking.
//!
//! A queue goes to polled mode when a turn finds several completions at once: the device is faster than the
//! interrupts. It goes back when it has run dry, or has been looked at many times for nothing. The
//! vector is then unmasked first, and the queue looked at once more: what arrived in between is
//! either seen here, or interrupts.

use super::bell::Bell;
use super::platform::NvmePlatform;
use crate::dma::Transfer;
use crate::executor::Look;
use crate::lock::Mutex;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell, RefMut};
use core::ops::{Deref, DerefMut};
use spin::MutexGuard;

pub(super) type Queue = nvme::Queue<NvmePlatform, Transfer>;

/// Completions in one turn that make a queue polled.
const BUSY: usize = 4;

/// Looks for nothing, one after the other, that end polling.
const PATIENCE: u32 = 2000;

/// A queue of one core, or of several.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each core, and a pointer less to follow"
)]
pub(super) enum Access {
    /// This core's alone.
    Own(RefCell<Queue>),
    /// One of fewer queues than cores.
    Shared(Arc<Mutex<Queue>>),
}

/// A queue, for as long as it is used.
pub(super) enum Use<'a> {
    Own(RefMut<'a, Queue>),
    Shared(MutexGuard<'a, Queue>),
}

impl Deref for Use<'_> {
    type Target = Queue;

    #[inline(always)]
    fn deref(&self) -> &Queue {
        match self {
            Self::Own(queue) => queue,
            Self::Shared(queue) => queue,
        }
    }
}

impl DerefMut for Use<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Queue {
        match self {
            Self::Own(queue) => queue,
            Self::Shared(queue) => queue,
        }
    }
}

/// What one core knows of a queue.
pub(super) struct Local {
    access: Access,
    /// `None` where the queue is another core's to look at, or must be polled.
    bell: Option<Bell>,
    /// The bell's interrupts before it was this queue's.
    raised_before: u32,
    /// Whether this core has to look even though nothing interrupts it.
    must_poll: bool,
    mode: Cell<Mode>,
    policy: Cell<Policy>,
    counters: Counters,
}

/// When a queue is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Under load.
    ByLoad,
    /// While anything is outstanding.
    Polled,
    /// Never.
    Interrupt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Interrupt,
    /// After so many looks for nothing.
    Polled(u32),
}

#[derive(Default)]
struct Counters {
    submitted: Cell<u64>,
    completed: Cell<u64>,
    polls: Cell<u64>,
    to_polled: Cell<u64>,
    to_interrupt: Cell<u64>,
}

/// Counts. No counter lives long enough to wrap.
fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().wrapping_add(more));
}

/// What a queue has done, as its core sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Requests that this core has submitted.
    pub submitted: u64,
    /// Commands that this core has seen complete.
    pub completed: u64,
    /// Looks at the queue.
    pub polls: u64,
    /// Interrupts taken notice of.
    pub interrupts: u64,
    /// Times that it became polled.
    pub to_polled: u64,
    /// Times that it went back to interrupts.
    pub to_interrupt: u64,
    /// What the driver counts.
    pub driver: nvme::Counters,
}

impl Local {
    pub(super) fn new(access: Access, bell: Option<Bell>, must_poll: bool) -> Self {
        Self {
            access,
            raised_before: bell.as_ref().map_or(0, Bell::raised),
            bell,
            must_poll,
            mode: Cell::new(Mode::Interrupt),
            policy: Cell::new(Policy::ByLoad),
            counters: Counters::default(),
        }
    }

    /// The queue. Not while it is used already.
    #[inline(always)]
    pub(super) fn queue(&self) -> Use<'_> {
        match &self.access {
            Access::Own(queue) => Use::Own(queue.borrow_mut()),
            Access::Shared(queue) => Use::Shared(queue.lock()),
        }
    }

    /// Says when to poll from now on. For measurements.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.policy.set(policy);
    }

    /// Whether the queue is to be polled, after a turn in interrupt mode.
    #[inline]
    fn wants_polling(&self, turn: &nvme::Turn) -> bool {
        turn.outstanding > 0
            && match self.policy.get() {
                Policy::ByLoad => turn.completed >= BUSY,
                Policy::Polled => true,
                Policy::Interrupt => false,
            }
    }

    /// How many looks for nothing end polling.
    #[inline]
    fn patience(&self) -> u32 {
        match self.policy.get() {
            Policy::ByLoad => PATIENCE,
            Policy::Polled => u32::MAX,
            Policy::Interrupt => 0,
        }
    }

    /// A request was submitted.
    #[inline]
    pub(super) fn submitted(&self) {
        add(&self.counters.submitted, 1);
    }

    /// So many commands were found complete.
    #[inline]
    pub(super) fn completed(&self, count: usize) {
        add(&self.counters.completed, count as u64);
    }

    pub(super) fn counters(&self) -> QueueCounters {
        let counters = &self.counters;
        let raised = self.bell.as_ref().map_or(0, Bell::raised);
        QueueCounters {
            submitted: counters.submitted.get(),
            completed: counters.completed.get(),
            polls: counters.polls.get(),
            interrupts: u64::from(raised.wrapping_sub(self.raised_before)),
            to_polled: counters.to_polled.get(),
            to_interrupt: counters.to_interrupt.get(),
            driver: *self.queue().counters(),
        }
    }

    // ANCHOR: look
    /// Does all that is to be done for the queue. Once a turn of the core's executor.
    pub(super) fn look(&self) -> Look {
        let turn = self.queue().turn();
        add(&self.counters.polls, 1);
        self.completed(turn.completed);
        let Some(bell) = &self.bell else {
            return match (turn.completed, turn.outstanding) {
                (0, outstanding) if outstanding > 0 && self.must_poll => Look::Waiting,
                (0, _) => Look::Idle,
                _ => Look::Worked,
            };
        };
        match self.mode.get() {
            Mode::Interrupt if self.wants_polling(&turn) => {
                bell.mask();
                add(&self.counters.to_polled, 1);
                self.mode.set(Mode::Polled(0));
                // Also where nothing was complete: nothing interrupts from here on.
                return Look::Worked;
            }
            Mode::Interrupt => {}
            Mode::Polled(_) if turn.completed > 0 => self.mode.set(Mode::Polled(0)),
            Mode::Polled(looks) if turn.outstanding > 0 && looks < self.patience() => {
                self.mode.set(Mode::Polled(looks + 1));
                return Look::Waiting;
            }
            Mode::Polled(_) => {
                bell.unmask();
                add(&self.counters.to_interrupt, 1);
                self.mode.set(Mode::Interrupt);
                // Once more: what came before the vector was unmasked does not interrupt.
                return Look::Worked;
            }
        }
        match turn.completed {
            0 => Look::Idle,
            _ => Look::Worked,
        }
    }
    // ANCHOR_END: look
}
