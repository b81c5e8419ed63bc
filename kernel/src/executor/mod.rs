//! The executor: what each core does when it is not told what to do.
//!
//! A core has one thread of control. It runs tasks, which are futures, one after the other, each
//! until it waits. There is no preemption and no scheduler in between: what makes a task ready is
//! its waker, and a wake on the same core is a few stores.
//!
//! One [turn](Here::turn) of the executor looks at everything once, in this order: interrupts that were
//! noted, timers that ran out, [pollers](add_poller), and the tasks that were ready when their turn came;
//! after tasks, the pollers once more, so that what was asked of a device is sent off at once.
//! A task that wakes itself is polled again in the next turn, so nobody starves. When a turn has done
//! nothing, the core halts until the next interrupt.
//!
//! - A task stays on the core that it was made on. Its future need not be `Send`.
//! - A wake on its own core takes no lock, allocates nothing and is no atomic addition of ours.
//! - A wake from another core goes to the core's inbox. The core is interrupted only if it may be
//!   asleep; see `doze` for why that loses nothing.
//! - `main`, on the boot core, is ordinary code. It waits by [`block_on`], which runs the tasks
//!   meanwhile. The other cores [`run`] for ever.

mod alarms;
mod counters;
mod doze;
#[cfg(all(phyros, feature = "vm-tests"))]
mod halting;
mod home;
mod idle;
mod inbox;
mod line;
mod link;
mod pollers;
mod root;
mod sync;
mod task;
#[cfg(test)]
mod tests;

pub use counters::Activity;
pub use home::activity;
pub use pollers::{Look, Poller};
pub use task::{Task, spawn, spawn_on};

use crate::interrupts;
use crate::time::Key;
use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use home::{Here, here};

/// Has a function called once a turn by the executor of this core, until the result is dropped.
///
/// The function must not wait. It may add pollers, which are called from the next turn on, and drop
/// any, itself too.
pub fn add_poller(look: impl FnMut() -> Look + 'static) -> Poller {
    here().pollers.add(look)
}

/// Runs this core's tasks until the future is ready, and halts the core while there is nothing to do.
///
/// This is how code that is no task waits. A task says `.await`.
///
/// # Panics
/// In a task or a poller: the tasks of a core wait together, and this one would keep all others.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let here = here();
    let waker = root::waker(here);
    let _running = Running::begin(here, Key::of(&waker));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    here.root_ready.set(true);
    loop {
        if here.take_root_call()
            && let Poll::Ready(output) = future.as_mut().poll(&mut context)
        {
            return output;
        }
        here.until_root_is_called();
    }
}

/// Runs this core's tasks for ever.
///
/// # Panics
/// As [`block_on`].
pub fn run() -> ! {
    match block_on(pending::<Infallible>()) {}
}

/// While it lives, the executor of this core is on the stack.
struct Running {
    here: Here,
    /// Of the waker of what is waited for.
    key: Key,
}

impl Running {
    fn begin(here: Here, key: Key) -> Self {
        assert!(
            !here.running.replace(true),
            "block_on in a task: it would keep all other tasks of the core waiting. Use .await"
        );
        Self { here, key }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.here.running.set(false);
        self.here.alarms.forget(self.key);
    }
}

/// The time, in microseconds.
#[inline]
pub(crate) fn time() -> u64 {
    here().alarms.now()
}

/// Says that this core's timer has rung, or was armed for something else: the next alarm is armed
/// anew.
#[cfg(phyros)]
pub(crate) fn timer_was_used() {
    here().alarms.disarmed();
}

/// Wakes at this time.
pub(crate) fn wake_at(at: u64, waker: &Waker) {
    here().alarms.add(at, waker);
}

/// Sees to it that the core is interrupted soon, for what does not come back on its own.
#[cfg(phyros)]
pub(crate) fn interrupt_within(microseconds: u64) -> bool {
    here().alarms.arm_within(microseconds)
}

impl Here {
    /// Turns until the future of `block_on` is to be polled, once at least.
    ///
    /// It is one function, with all that a turn does in it: in polled mode, turns are what a core does.
    fn until_root_is_called(self) {
        loop {
            let look = self.turn();
            if self.is_root_called() {
                return;
            }
            match look {
                Look::Worked => {}
                Look::Waiting => core::hint::spin_loop(),
                Look::Idle => idle::wait(self),
            }
        }
    }

    // ANCHOR: turn
    /// Looks at everything once.
    #[inline(always)]
    fn turn(self) -> Look {
        let counters = &self.home().counters;
        counters.turns.add(1);
        let interrupted = interrupts::drain();
        let rang = self.alarms.ring();
        let looked = self.pollers.look();
        self.empty_inbox();
        if !self.ready.is_empty() {
            let batch = self.ready.take();
            while let Some(task) = batch.pop() {
                counters.polls.add(1);
                task.run();
            }
            // What the tasks have asked devices for goes out now, and not a turn later.
            self.pollers.look();
            return Look::Worked;
        }
        if interrupted || rang {
            Look::Worked
        } else {
            looked
        }
    }
    // ANCHOR_END: turn
}
