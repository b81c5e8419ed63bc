//! A queue on its core: who looks at it, and when.
//!
//! The executor calls [`Local::look`] once in each turn: all requests of a turn's tasks go out
//! together, with one notification. As with NVMe, a queue is in interrupt mode, in which the core
//! may sleep, or in polled mode, in which it keeps looking: under load an interrupt for each
//! completion costs more than the completion.
//!
//! What differs is how interrupts are turned off. Nothing is masked: the queue tells the device in
//! memory from when on it wants some. So a change of mode costs a store and not a register write,
//! and the device does not even send what would be masked.

use super::bell::{Bell, Rung};
use super::platform::VirtioPlatform;
use crate::dma::Transfer;
use crate::executor::Look;
use crate::lock::Mutex;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};

pub(super) type Queue = virtio::blk::Queue<VirtioPlatform, Transfer>;

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

/// What one core knows of a queue.
pub(super) struct Local {
    access: Access,
    /// `None` where the queue is another core's to look at, or must be polled.
    bell: Option<Bell>,
    /// Whether this core has to look even though nothing interrupts it.
    must_poll: bool,
    mode: Cell<Mode>,
    counters: Counters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Interrupt,
    /// After so many looks for nothing.
    Polled(u32),
}

#[derive(Default)]
struct Counters {
    completed: Cell<u64>,
    polls: Cell<u64>,
    to_polled: Cell<u64>,
    to_interrupt: Cell<u64>,
    interrupts: Cell<u64>,
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

/// What a queue has done, as its core sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounters {
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
    pub driver: virtio::blk::Counters,
}

impl Local {
    /// The way to a queue that is to be looked at with this bell, or without one.
    pub(super) fn new(access: Access, bell: Option<Bell>, must_poll: bool) -> Self {
        let local = Self {
            access,
            bell,
            must_poll,
            mode: Cell::new(Mode::Interrupt),
            counters: Counters::default(),
        };
        if local.bell.is_some() {
            local.with(Queue::arm);
        }
        local
    }

    #[inline]
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Queue) -> R) -> R {
        match &self.access {
            Access::Own(queue) => action(&mut queue.borrow_mut()),
            Access::Shared(queue) => action(&mut queue.lock()),
        }
    }

    /// So many commands were found complete.
    #[inline]
    fn completed(&self, count: usize) {
        add(&self.counters.completed, count as u64);
    }

    pub(super) fn counters(&self) -> QueueCounters {
        let counters = &self.counters;
        QueueCounters {
            completed: counters.completed.get(),
            polls: counters.polls.get(),
            interrupts: counters.interrupts.get(),
            to_polled: counters.to_polled.get(),
            to_interrupt: counters.to_interrupt.get(),
            driver: self.with(|queue| *queue.counters()),
        }
    }

    // ANCHOR: look
    /// Does all that is to be done for the queue. Once a turn of the core's executor.
    pub(super) fn look(&self) -> Look {
        let turn = self.with(Queue::turn);
        add(&self.counters.polls, 1);
        self.completed(turn.completed);
        // A device may refuse the vector.
        let Some(bell) = self.bell.as_ref().filter(|_| turn.interrupts) else {
            let must_poll = self.must_poll || self.bell.is_some();
            return match (turn.completed, turn.outstanding) {
                (0, outstanding) if outstanding > 0 && must_poll => Look::Waiting,
                (0, _) => Look::Idle,
                _ => Look::Worked,
            };
        };
        match self.mode.get() {
            Mode::Interrupt => {
                let rung = bell.take_rung();
                if rung != Rung::No {
                    add(&self.counters.interrupts, 1);
                }
                if turn.outstanding > 0 && turn.completed >= BUSY {
                    self.with(Queue::disarm);
                    add(&self.counters.to_polled, 1);
                    self.mode.set(Mode::Polled(0));
                }
                if rung == Rung::LookAgain {
                    return Look::Worked;
                }
            }
            Mode::Polled(_) if turn.completed > 0 => self.mode.set(Mode::Polled(0)),
            Mode::Polled(looks) if turn.outstanding > 0 && looks < PATIENCE => {
                self.mode.set(Mode::Polled(looks + 1));
                return Look::Waiting;
            }
            Mode::Polled(_) => {
                self.with(Queue::arm);
                add(&self.counters.to_interrupt, 1);
                self.mode.set(Mode::Interrupt);
                // Once more: what came before the queue was armed does not interrupt.
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

/// A core's way to its queue.
pub(super) struct Way(pub(super) Rc<Local>);

impl virtio::blk::Reach for Way {
    type Platform = VirtioPlatform;
    type Memory = Transfer;

    fn with<R>(&self, action: impl FnOnce(&mut Queue) -> R) -> R {
        self.0.with(action)
    }

    fn found(&self, completed: usize) {
        self.0.completed(completed);
    }
}
