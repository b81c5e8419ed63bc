//! A queue of a card on its core: who looks at it, and when.
//!
//! As with disks, a queue is in interrupt mode, in which the core may sleep, or in polled mode, in which it
//! keeps looking, and goes from one to the other by what it finds. Nothing is masked for that: the queue
//! tells the device in memory when it wants to be told.

use crate::drivers::virtio::bell::{Bell, Rung};
use crate::executor::Look;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell, RefMut};
use virtio::net::{Counters, Reach, Turn, Works};

/// Frames in one turn that make a queue polled.
const BUSY: usize = 4;

/// Looks for nothing, one after the other, that end polling.
const PATIENCE: u32 = 2000;

/// A queue, and what this core knows of it.
pub(super) struct Line<Q> {
    queue: RefCell<Q>,
    /// Both queues of a pair may have the same.
    bell: Option<Rc<Bell>>,
    mode: Cell<Mode>,
    polls: Cell<u64>,
    interrupts: Cell<u64>,
    to_polled: Cell<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Interrupt,
    /// After so many looks for nothing.
    Polled(u32),
}

/// What a queue has done, as its core sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Looks at the queue.
    pub polls: u64,
    /// Interrupts taken notice of. Two queues that share one both count it, or either.
    pub interrupts: u64,
    /// Times that it became polled.
    pub to_polled: u64,
    /// What the driver counts.
    pub driver: Counters,
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl<Q: Works> Line<Q> {
    /// A queue that is to be looked at with this bell, or without one.
    pub(super) fn new(queue: Q, bell: Option<Rc<Bell>>) -> Self {
        let line = Self {
            queue: RefCell::new(queue),
            bell,
            mode: Cell::new(Mode::Interrupt),
            polls: Cell::new(0),
            interrupts: Cell::new(0),
            to_polled: Cell::new(0),
        };
        if line.bell.is_some() {
            line.with(Q::arm);
        }
        line
    }

    /// The queue, for as long as nobody else wants it.
    #[inline]
    pub(super) fn queue(&self) -> RefMut<'_, Q> {
        self.queue.borrow_mut()
    }

    #[inline]
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Q) -> R) -> R {
        action(&mut self.queue.borrow_mut())
    }

    pub(super) fn counters(&self) -> LineCounters {
        LineCounters {
            polls: self.polls.get(),
            interrupts: self.interrupts.get(),
            to_polled: self.to_polled.get(),
            driver: self.with(|queue| queue.counters()),
        }
    }

    /// Does all that is to be done for the queue. Once a turn of the core's executor.
    #[inline]
    pub(super) fn look(&self) -> Look {
        let turn = self.with(Q::turn);
        add(&self.polls);
        let waiting = self.decide(turn);
        match (turn.completed, waiting) {
            (0, None) => Look::Idle,
            (0, Some(look)) => look,
            _ => Look::Worked,
        }
    }

    /// What to do after a turn, if it is not what the turn itself says.
    fn decide(&self, turn: Turn) -> Option<Look> {
        // A device may refuse the vector.
        let Some(bell) = self.bell.as_ref().filter(|_| turn.interrupts) else {
            return (turn.outstanding > 0).then_some(Look::Waiting);
        };
        match self.mode.get() {
            Mode::Interrupt => {
                let rung = bell.take_rung();
                if rung != Rung::No {
                    add(&self.interrupts);
                }
                if turn.outstanding > 0 && turn.completed >= BUSY {
                    self.with(Q::disarm);
                    add(&self.to_polled);
                    self.mode.set(Mode::Polled(0));
                }
                (rung == Rung::LookAgain).then_some(Look::Worked)
            }
            Mode::Polled(_) if turn.completed > 0 => {
                self.mode.set(Mode::Polled(0));
                None
            }
            Mode::Polled(looks) if turn.outstanding > 0 && looks < PATIENCE => {
                self.mode.set(Mode::Polled(looks + 1));
                Some(Look::Waiting)
            }
            Mode::Polled(_) => {
                self.with(Q::arm);
                self.mode.set(Mode::Interrupt);
                // Once more: what came before the queue was armed does not interrupt.
                Some(Look::Worked)
            }
        }
    }
}

/// A core's way to its queue.
pub(super) struct Way<Q>(pub(super) Rc<Line<Q>>);

impl<Q: Works> Reach for Way<Q> {
    type Queue = Q;

    fn with<R>(&self, action: impl FnOnce(&mut Q) -> R) -> R {
        self.0.with(action)
    }
}
