//! A word for tasks on all cores, which sleep until it is said: that a core has its queue, that a
//! controller goes.
//!
//! `kernel/tests/bells.rs` tries all orders in which somebody can say it and others begin to listen.

use super::sync::{AtomicBool, Mutex, Ordering};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// It is said once.
#[derive(Default)]
pub(super) struct Word {
    is_said: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Word {
    pub(super) fn say(&self) {
        self.is_said.store(true, Ordering::Release);
        let waiting = core::mem::take(&mut *self.waiting.lock());
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits until it is said. The lock is taken once, and not each time that the task has a turn.
    pub(super) async fn said(&self) {
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if !known
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
            {
                known = Some(cx.waker().clone());
                self.waiting.lock().push(cx.waker().clone());
            }
            // After that: whoever says it either finds the waker, or said it before this look.
            match self.is_said.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
