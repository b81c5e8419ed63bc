//! The task that keeps a queue going.

use super::Queue;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::watch::first;
use core::future::poll_fn;

/// A way to a queue: a cell that only one core can see, or a lock where cores share a queue.
pub trait Reach {
    /// The platform of its device.
    type Platform: Platform;
    /// What its requests bring their memory in.
    type Memory: Memory;

    /// Calls `f` with the queue, which is used by nobody else for so long.
    fn with<R>(&self, f: impl FnOnce(&mut Queue<Self::Platform, Self::Memory>) -> R) -> R;

    /// [`attend`] has found so many commands complete, of which no other turn tells. For who counts.
    fn found(&self, _completed: usize) {}
}

/// Keeps a queue going. A task for the queue's core. Resolves when the device is out of use.
///
/// It looks for commands that are out for too long, and does what the recovering core says.
/// Without it, a reset waits for the queue's next [`turn`](Queue::turn).
pub async fn attend<R: Reach>(reach: R) {
    let shared = reach.with(|queue| queue.body().shared.clone());
    let mut scanned = shared.platform.microseconds();
    let period = shared.options.scan_microseconds();
    loop {
        let now = shared.platform.microseconds();
        let waited = now.saturating_sub(scanned);
        if waited >= period {
            scanned = now;
            reach.found(reach.with(Queue::scan).completed);
            continue;
        }
        let order = poll_fn(|cx| reach.with(|queue| queue.poll_order(cx)));
        first(order, shared.platform.pause(period - waited)).await;
        reach.found(reach.with(Queue::turn).completed);
        if reach.with(|queue| queue.failure().is_some()) {
            return;
        }
    }
}
