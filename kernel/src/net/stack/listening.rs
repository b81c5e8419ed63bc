//! A port that is listened to.

use super::options::Backlog;
use super::slots::Id;
use alloc::collections::VecDeque;
use core::task::Waker;

/// A port that is listened to.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) backlog: Backlog,
    /// Being opened, the oldest first.
    pub(super) half_open: VecDeque<Id>,
    /// Open, and not accepted.
    pub(super) ready: VecDeque<Id>,
    pub(super) waiting: Option<Waker>,
}

impl Listening {
    pub(super) const fn new(backlog: Backlog) -> Self {
        Self {
            backlog,
            half_open: VecDeque::new(),
            ready: VecDeque::new(),
            waiting: None,
        }
    }

    /// One is open, or there will be none.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// It is not half open any more.
    pub(super) fn is_past(&mut self, id: Id) {
        self.half_open.retain(|other| *other != id);
    }
}
