//! Requests as futures.
//!
//! A queue is a value that one core owns and uses through `&mut`. A future has to get at it
//! for a moment, each time that it is polled. How, is the owner's business: a cell that only
//! one core can see, or a lock where two cores share a queue. [`Reach`] is that way, and the
//! futures here do not ask which it is.
//!
//! - [`execute`] carries out a request. It waits for room, submits, and waits for the end.
//! - Dropping such a future abandons the request: nothing is freed while the device has it.
//! - A future does not ring doorbells. Whoever runs the executor calls
//!   [`Queue::turn`] when all futures have had their turn, so there is one doorbell write for
//!   all of them.
//! - [`attend`] is the task that keeps one queue going: a look at the clock now and then, and
//!   an ear for the recovering core.

use crate::error::Error;
use crate::first::first;
use crate::lock::Mutex;
use crate::memory::Memory;
use crate::operation::{Done, Request};
use crate::platform::Platform;
use crate::queue::{Queue, Ticket};
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

/// A way to a queue.
pub trait Reach: Clone {
    /// The platform of its controller.
    type Platform: Platform;
    /// What its requests bring their memory in.
    type Memory: Memory;

    /// Calls `f` with the queue, which is used by nobody else for so long.
    fn with<R>(&self, f: impl FnOnce(&mut Queue<Self::Platform, Self::Memory>) -> R) -> R;

    /// The queue has taken a request of [`execute`]. For who counts; called inside of `with`, so not
    /// with the queue.
    fn taken(&self) {}

    /// [`attend`] has found so many commands complete, of which no other turn tells. For who counts.
    fn found(&self, _completed: usize) {}
}

/// A queue of one thread of control.
impl<P: Platform, B: Memory> Reach for Rc<RefCell<Queue<P, B>>> {
    type Platform = P;
    type Memory = B;

    fn with<R>(&self, f: impl FnOnce(&mut Queue<P, B>) -> R) -> R {
        f(&mut self.borrow_mut())
    }
}

/// A queue that cores share, since there are fewer queues than cores.
impl<P: Platform, B: Memory> Reach for Arc<Mutex<Queue<P, B>>> {
    type Platform = P;
    type Memory = B;

    fn with<R>(&self, f: impl FnOnce(&mut Queue<P, B>) -> R) -> R {
        f(&mut self.lock())
    }
}

/// Carries out a request. Give it its memory, and get it back.
pub fn execute<R: Reach>(reach: R, request: Request<R::Memory>) -> Execute<R> {
    Execute {
        reach,
        state: State::New(request),
    }
}

/// A request on its way. See [`execute`].
#[must_use = "a future does nothing before it is polled"]
pub struct Execute<R: Reach> {
    reach: R,
    state: State<R::Memory>,
}

enum State<B> {
    /// Not in the queue yet.
    New(Request<B>),
    /// In the queue.
    Sent(Ticket),
    /// The result was given out.
    Over,
}

// Nothing in it is ever pinned.
impl<R: Reach> Unpin for Execute<R> {}

impl<R: Reach> Future for Execute<R> {
    type Output = Done<R::Memory>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done<R::Memory>> {
        let this = &mut *self;
        let state = &mut this.state;
        this.reach.with(|queue| match state {
            State::Sent(ticket) => {
                let poll = queue.poll(ticket, cx);
                if poll.is_ready() {
                    *state = State::Over;
                }
                poll
            }
            State::New(request) => match queue.submit(request, cx.waker()) {
                // Should it be over already, the waker was woken.
                Ok(ticket) => {
                    *state = State::Sent(ticket);
                    this.reach.taken();
                    Poll::Pending
                }
                Err(Error::Full) => {
                    if queue.poll_room(cx).is_ready() {
                        // Room came up in between: once more, later.
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                Err(error) => {
                    let done = Done {
                        data: request.data.take(),
                        metadata: request.metadata.take(),
                        result: Err(error),
                    };
                    *state = State::Over;
                    Poll::Ready(done)
                }
            },
            State::Over => panic!("polled after its end"),
        })
    }
}

impl<R: Reach> Drop for Execute<R> {
    fn drop(&mut self) {
        if let State::Sent(ticket) = core::mem::replace(&mut self.state, State::Over) {
            self.reach.with(|queue| queue.abandon(ticket));
        }
    }
}

/// Keeps a queue going. A task for the queue's core, for as long as there is the queue.
///
/// It looks for commands that are out for too long, and does what the recovering core says.
/// Without it, a reset waits for the queue's next [`turn`](Queue::turn).
pub async fn attend<R: Reach>(reach: R) {
    let shared = reach.with(|queue| queue.shared().clone());
    let mut scanned = shared.port.platform().microseconds();
    loop {
        let now = shared.port.platform().microseconds();
        let period = shared.options.scan_microseconds();
        let waited = now.saturating_sub(scanned);
        if waited >= period {
            scanned = now;
            reach.found(reach.with(Queue::scan).completed);
            continue;
        }
        let order = poll_fn(|cx| reach.with(|queue| queue.poll_order(cx)));
        first(order, shared.port.platform().pause(period - waited)).await;
        reach.found(reach.with(Queue::turn).completed);
    }
}
