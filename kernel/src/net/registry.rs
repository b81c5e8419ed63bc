//! The interfaces that there are at this moment.

use super::Interface;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

/// The interfaces that there are, in the order in which they came.
#[derive(Default)]
pub struct Registry {
    interfaces: Vec<Arc<dyn Interface>>,
    /// Comings and goings.
    changes: u64,
    waiting: Vec<Waker>,
}

impl Registry {
    /// No interfaces.
    pub const fn new() -> Self {
        Self {
            interfaces: Vec::new(),
            changes: 0,
            waiting: Vec::new(),
        }
    }

    /// An interface has come. Returns who is to be woken, outside of any lock.
    #[must_use]
    pub fn add(&mut self, interface: Arc<dyn Interface>) -> Vec<Waker> {
        self.interfaces.push(interface);
        self.changed()
    }

    /// An interface has gone. Returns it, or `None` if it was not there; and who is to be woken. Both
    /// are to be dropped outside of any lock.
    #[must_use]
    pub fn remove(
        &mut self,
        interface: &Arc<dyn Interface>,
    ) -> (Option<Arc<dyn Interface>>, Vec<Waker>) {
        let is_it = |other: &Arc<dyn Interface>| Arc::ptr_eq(other, interface);
        match self.interfaces.iter().position(is_it) {
            Some(at) => (Some(self.interfaces.remove(at)), self.changed()),
            None => (None, Vec::new()),
        }
    }

    /// What there is.
    pub fn snapshot(&self) -> Vec<Arc<dyn Interface>> {
        self.interfaces.clone()
    }

    /// Ready when something has changed since `seen`, which is the last result, or 0.
    pub fn poll_changed(&mut self, seen: u64, cx: &mut Context<'_>) -> Poll<u64> {
        if self.changes != seen {
            return Poll::Ready(self.changes);
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn changed(&mut self) -> Vec<Waker> {
        self.changes += 1;
        core::mem::take(&mut self.waiting)
    }
}
