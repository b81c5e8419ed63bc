//! Waiting for a device without trusting it to answer.
//!
//! Every wait of the driver for something that only looking can show holds a [`Watch`] and
//! calls [`turn`](Watch::turn) each time that it has seen nothing. The watch pauses, a little
//! longer each time, and ends the wait when its time is over. Who waits looks once more
//! after each pause, so an answer that comes in the last moment is taken.

use crate::error::{Failure, Waiting};
use crate::platform::Platform;

/// The first and the longest pause, in microseconds.
const PAUSES: core::ops::Range<u64> = 20..10_000;

/// One wait.
#[derive(Debug)]
pub(crate) struct Watch {
    waiting: Waiting,
    /// Microseconds until the wait is over.
    limit: u64,
    /// The clock at the start.
    started: u64,
    /// Microseconds of the next pause.
    pause: u64,
}

impl Watch {
    /// A wait of at most `limit` microseconds from now on.
    pub(crate) fn new(platform: &impl Platform, waiting: Waiting, limit: u64) -> Self {
        Self {
            waiting,
            limit,
            started: platform.microseconds(),
            pause: PAUSES.start,
        }
    }

    /// Lets a moment pass. An error says that the time was over before.
    pub(crate) async fn turn(&mut self, platform: &impl Platform) -> Result<(), Failure> {
        let waited = platform.microseconds().saturating_sub(self.started);
        if waited >= self.limit {
            return Err(Failure::Timeout(self.waiting));
        }
        platform.pause(self.pause.min(self.limit - waited)).await;
        self.pause = (self.pause * 2).min(PAUSES.end);
        Ok(())
    }
}
