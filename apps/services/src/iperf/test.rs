//! A test: who takes part, where it is, and what was counted.

use super::datagram::Tally;
use super::wire::{Cookie, Count, Wanted};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, Waker};

/// Who waits for something to change in a server.
#[derive(Default)]
pub(super) struct Changes(RefCell<Vec<Waker>>);

impl Changes {
    pub(super) fn tell(&self) {
        self.0.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until there is something.
    pub(super) async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        poll_fn(|cx| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                let mut waiting = self.0.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}

/// Where a test is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not all connections have come.
    Gathering,
    /// Bytes go.
    Running,
    /// No more are sent. What is on its way still counts.
    Ending,
    /// No more.
    Over,
}

/// A connection of a test, or somebody who sends or gets datagrams.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) count: Count,
    /// Whose datagrams these are.
    pub(super) peer: Option<SocketAddr>,
    /// What became of datagrams that came.
    pub(super) tally: Tally,
}

/// A test.
pub(super) struct Test {
    pub(super) cookie: Cookie,
    /// Who wants it.
    pub(super) client: IpAddr,
    pub(super) wanted: Cell<Option<Wanted>>,
    pub(super) lanes: RefCell<Vec<Lane>>,
    pub(super) phase: Cell<Phase>,
    changes: Rc<Changes>,
}

impl Test {
    pub(super) fn new(cookie: Cookie, client: IpAddr, changes: Rc<Changes>) -> Self {
        Self {
            cookie,
            client,
            wanted: Cell::new(None),
            lanes: RefCell::default(),
            phase: Cell::new(Phase::Gathering),
            changes,
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&Self)) {
        change(self);
        self.changes.tell();
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        self.changes.until(|| holds(self).then_some(())).await;
    }

    /// What was counted, each lane by itself.
    pub(super) fn counts(&self) -> Vec<Count> {
        let lanes = self.lanes.borrow();
        let count = |lane: &Lane| match lane.tally.is_empty() {
            true => lane.count,
            false => lane.tally.count(lane.count.bytes),
        };
        lanes.iter().map(count).collect()
    }
}
