//! Who wants to know what comes and goes.
//!
//! A subscriber begins with everything that is there, as if it arrived one after the other. So nobody has to look at a
//! list first and at news later, with a gap between the two in which something happens.
//!
//! News wait in a list of their own for each subscriber until it takes them; none is ever lost. A
//! subscriber that is dropped gets no more.

use super::super::{Function, PciAddress};
use crate::lock::Mutex;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// Something has happened on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A function is there, placed, and nobody's.
    Arrived(Function),
    /// Somebody wants to take it out: end what is under way and drop its [`Device`](crate::pci::Device).
    /// Its power goes off when that is done, or after five seconds. Then it is [removed](Event::Removed).
    Leaving(PciAddress),
    /// It is gone. What is under way on it never ends by itself.
    Removed(PciAddress),
}

/// A subscription.
pub struct Events(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Events {
    /// The next event, if there is one by now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.lock().events.pop_front()
    }

    /// Polls for the next event.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let mut queue = self.0.lock();
        match queue.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> Event {
        poll_fn(|context| self.poll_next(context)).await
    }
}

/// All subscribers.
#[derive(Default)]
pub(super) struct Subscribers(Vec<Weak<Mutex<Queue>>>);

impl Subscribers {
    /// Another subscriber, to whom these functions are new.
    pub(super) fn add(&mut self, present: &[Function]) -> Events {
        let events = present.iter().cloned().map(Event::Arrived).collect();
        let queue = Arc::new(Mutex::new(Queue {
            events,
            waker: None,
        }));
        self.0.push(Arc::downgrade(&queue));
        Events(queue)
    }

    /// Tells everybody.
    pub(super) fn tell(&mut self, event: &Event) {
        self.0.retain(|subscriber| {
            let Some(queue) = subscriber.upgrade() else {
                return false;
            };
            let waker = {
                let mut queue = queue.lock();
                queue.events.push_back(event.clone());
                queue.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            true
        });
    }
}
