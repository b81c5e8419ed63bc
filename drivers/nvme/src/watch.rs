//! Waiting for a device without trusting it to answer.
//!
//! Every waiting loop of the driver holds a [`Watch`] and calls [`turn`](Watch::turn) each
//! time that it has seen nothing. The watch ends the loop when the time is over, and much
//! earlier if the controller says that no answer will come.
//!
//! Reading a clock may be slow, and reading a register of the device is slow. So the watch
//! reads the clock only in every 16th turn, and the controller's status once a millisecond.
//! A command that is answered at once costs neither.

use crate::error::{Failure, Waiting};
use crate::platform::Platform;
use crate::port::Port;

/// Microseconds that a command may take.
pub(crate) const COMMAND_MICROSECONDS: u64 = 10_000_000;

/// Turns between two readings of the clock.
const TURNS_PER_CLOCK: u32 = 16;

/// Microseconds between two looks at the controller's status.
const STATUS_MICROSECONDS: u64 = 1000;

/// One wait.
#[derive(Debug)]
pub(crate) struct Watch {
    waiting: Waiting,
    /// Microseconds until the wait is over.
    limit: u64,
    /// The clock when it was read first.
    started: Option<u64>,
    /// When to look at the controller's status next, in microseconds since the start.
    next_status: u64,
    turns: u32,
}

impl Watch {
    /// A wait of at most `limit` microseconds.
    pub(crate) fn new(waiting: Waiting, limit: u64) -> Self {
        Self {
            waiting,
            limit,
            started: None,
            next_status: STATUS_MICROSECONDS,
            turns: 0,
        }
    }

    /// Lets a moment pass. An error says that there is no use in waiting any longer.
    ///
    /// This is for waits that look at memory. They cannot see by themselves whether the
    /// controller is still there.
    pub(crate) fn turn<P: Platform>(&mut self, port: &Port<P>) -> Result<(), Failure> {
        let Some(waited) = self.pass(port) else {
            return Ok(());
        };
        if waited >= self.next_status {
            self.next_status = waited.saturating_add(STATUS_MICROSECONDS);
            port.health()?;
        }
        self.check(waited)
    }

    /// Lets a moment pass, in a wait that reads the controller's status itself.
    pub(crate) fn turn_reading_status<P: Platform>(
        &mut self,
        port: &Port<P>,
    ) -> Result<(), Failure> {
        self.pass(port).map_or(Ok(()), |waited| self.check(waited))
    }

    /// Relaxes. In some turns, returns the microseconds since the first such turn.
    fn pass<P: Platform>(&mut self, port: &Port<P>) -> Option<u64> {
        port.platform().relax();
        self.turns = self.turns.wrapping_add(1);
        if !self.turns.is_multiple_of(TURNS_PER_CLOCK) {
            return None;
        }
        let now = port.platform().microseconds();
        Some(now.saturating_sub(*self.started.get_or_insert(now)))
    }

    fn check(&self, waited: u64) -> Result<(), Failure> {
        if waited >= self.limit {
            return Err(Failure::Timeout(self.waiting));
        }
        Ok(())
    }
}
