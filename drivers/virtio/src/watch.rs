//! Waiting for a device without trusting it to answer.
//!
//! Every wait for something that only looking can show holds a [`Watch`] and calls
//! [`turn`](Watch::turn) each time that it has seen nothing. The watch pauses, a little longer
//! each time, and ends the wait when its time is over.
//!
//! A device may call who waits for an answer ([`Platform::calls`]). Then the clock is only the last resort:
//! the pause ends with the call. How often it has called is read *before* each look, so a call that comes after
//! the look ends the pause at once.

use crate::platform::Platform;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

/// The first and the longest pause, in microseconds.
const PAUSES: core::ops::Range<u64> = 20..10_000;

/// The pause of who is called, in microseconds.
const LAST_RESORT: u64 = 250_000;

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// One wait.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Microseconds until the wait is over.
    limit: u64,
    /// The clock at the start.
    started: u64,
    /// Microseconds of the next pause.
    pause: u64,
    /// How often the device had called before the last look, if it calls.
    seen: Option<u32>,
}

impl Watch {
    /// A wait of at most `limit` microseconds from now on.
    pub(crate) fn new(platform: &impl Platform, limit: u64) -> Self {
        Self {
            limit,
            started: platform.microseconds(),
            pause: PAUSES.start,
            seen: None,
        }
    }

    /// The same for an answer of the device's, of which it tells where it can. Look after this, not before.
    pub(crate) fn for_answer(platform: &impl Platform, limit: u64) -> Self {
        Self {
            seen: platform.calls(),
            ..Self::new(platform, limit)
        }
    }

    /// Lets a moment pass. An error says that the time was over before.
    pub(crate) async fn turn(&mut self, platform: &impl Platform) -> Result<(), Elapsed> {
        let waited = platform.microseconds().saturating_sub(self.started);
        if waited >= self.limit {
            return Err(Elapsed);
        }
        let left = self.limit - waited;
        match self.seen {
            Some(seen) => {
                first(platform.called(seen), platform.pause(LAST_RESORT.min(left))).await;
                self.seen = platform.calls();
            }
            None => {
                platform.pause(self.pause.min(left)).await;
                self.pause = (self.pause * 2).min(PAUSES.end);
            }
        }
        Ok(())
    }
}

/// Waits until one of two futures is ready, and drops the other.
pub(crate) async fn first<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        let is_ready = a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready();
        match is_ready {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}
