//! Time that passes when nothing else happens.

use crate::clock::Clock;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A clock that a test moves.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Rc<State>);

#[derive(Default)]
struct State {
    now: Cell<Duration>,
    alarms: RefCell<Vec<(Duration, Waker)>>,
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.0.now.get()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let at = self.now() + time;
        poll_fn(move |cx| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            self.0.alarms.borrow_mut().push((at, cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl TestClock {
    /// Goes on to the next alarm. `false`: there is none.
    fn skip(&self) -> bool {
        let mut alarms = self.0.alarms.borrow_mut();
        let Some(next) = alarms.iter().map(|(at, _)| *at).min() else {
            return false;
        };
        self.0.now.set(next.max(self.now()));
        let all = std::mem::take(&mut *alarms);
        drop(alarms);
        for (at, waker) in all {
            match at <= self.now() {
                true => waker.wake(),
                false => self.0.alarms.borrow_mut().push((at, waker)),
            }
        }
        true
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a future to its end. Time passes when nobody has been woken.
///
/// # Panics
/// If nobody ever will be.
pub(crate) fn run<F: Future>(clock: &TestClock, future: F) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        while flag.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        }
        assert!(clock.skip(), "everybody waits for somebody else");
    }
}
