//! Those who hear of an interrupt that several share.
//!
//! One side tells, on one core. Listeners are on any core, and each counts for itself how many
//! interrupts it has heard of. Who waits leaves a waker, and looks at the count once more afterwards:
//! whoever tells counts first, and looks for wakers afterwards. So of the two, one sees the other.
//!
//! `kernel/tests/bells.rs` tries all orders.

use super::sync::{AtomicU32, Mutex, Ordering};
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

/// Those who listen.
#[derive(Default)]
pub(super) struct Audience {
    /// Interrupts so far.
    raised: AtomicU32,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The number of the next listener. None is given twice.
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

/// One who listens.
pub(super) struct Listener {
    id: u64,
    /// Interrupts that it has heard of.
    seen: AtomicU32,
}

impl Audience {
    /// Somebody who hears of what comes from now on.
    pub(super) fn join(&self) -> Listener {
        let mut waiting = self.waiting.lock();
        waiting.next += 1;
        Listener {
            id: waiting.next,
            seen: AtomicU32::new(self.raised()),
        }
    }

    /// How many interrupts there were.
    #[inline]
    pub(super) fn raised(&self) -> u32 {
        self.raised.load(Ordering::Acquire)
    }

    /// There was an interrupt.
    pub(super) fn tell(&self) {
        self.raised.fetch_add(1, Ordering::Release);
        // A waker only puts its task into a line.
        for (_, waker) in self.waiting.lock().wakers.drain(..) {
            waker.wake();
        }
    }

    /// Ready if there was an interrupt since the last time. Else wakes `cx` at the next one.
    pub(super) fn poll(&self, listener: &Listener, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_raised(listener) {
            return Poll::Ready(());
        }
        {
            let wakers = &mut self.waiting.lock().wakers;
            match wakers.iter_mut().find(|(id, _)| *id == listener.id) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => wakers.push((listener.id, cx.waker().clone())),
            }
        }
        // After that: whoever tells either finds the waker, or has counted before this look.
        match self.has_raised(listener) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// A listener goes, and is not woken any more.
    pub(super) fn leave(&self, listener: &Listener) {
        let wakers = &mut self.waiting.lock().wakers;
        wakers.retain(|(id, _)| *id != listener.id);
    }

    fn has_raised(&self, listener: &Listener) -> bool {
        let raised = self.raised();
        listener.seen.swap(raised, Ordering::Relaxed) != raised
    }
}
