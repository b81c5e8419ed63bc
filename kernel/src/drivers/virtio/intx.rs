//! A device that interrupts by a line which it shares, because it has no messages.
//!
//! The line tells of all queues of the device and of changes of its configuration, and of whatever other devices have. So who
//! hears it, the keeper of [`pci::intx`](crate::pci::intx) on the boot core, asks each device what it was. If it was
//! this one, all who have something to do with it are told, on whatever core: those who keep a queue going, and
//! tasks that wait for an answer. A core that sleeps is woken, because a task of its own is.

use super::bell::Changes;
use super::platform::Registers;
use crate::drivers::audience::{Audience, Listener};
use crate::pci::intx::Sharer;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::Poll;
use virtio::transport::ask;

/// What a device asks for, and who is told.
pub(super) struct Intx {
    /// The register that says what, and lets the line fall.
    isr: Registers,
    audience: Audience,
    pub(super) changes: Changes,
}

impl Intx {
    pub(super) fn new(isr: Registers) -> Self {
        Self {
            isr,
            audience: Audience::default(),
            changes: Changes::new(),
        }
    }

    /// How often the device has asked for something.
    #[inline]
    pub(super) fn calls(&self) -> u32 {
        self.audience.raised()
    }

    /// Resolves when it has asked for something since it had so often.
    pub(super) async fn called(self: &Arc<Self>, seen: u32) {
        let ear = Ear::new(self);
        poll_fn(|cx| {
            // First a waker, then a look: who tells counts first.
            let heard = self.audience.poll(&ear.listener, cx);
            match self.calls() != seen || heard.is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

impl Sharer for Intx {
    fn answer(&self) -> bool {
        let asked = ask(&self.isr);
        if asked.configuration {
            self.changes.tell();
        }
        if asked.is_some() {
            self.audience.tell();
        }
        asked.is_some()
    }
}

/// What a task of a core must hear, so that the core is woken.
pub(super) struct Ear {
    line: Arc<Intx>,
    listener: Listener,
}

impl Ear {
    pub(super) fn new(line: &Arc<Intx>) -> Self {
        Self {
            listener: line.audience.join(),
            line: line.clone(),
        }
    }

    /// Listens for ever.
    pub(super) async fn listen(self) {
        loop {
            poll_fn(|cx| self.line.audience.poll(&self.listener, cx)).await;
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.line.audience.leave(&self.listener);
    }
}
