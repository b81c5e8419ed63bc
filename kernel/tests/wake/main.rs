//! Whether a core can miss a call: every order in which two or three cores can go about it.
//!
//! The modules under test are the kernel's own files. Their atomics are loom's here, which runs each
//! test in all interleavings, and with all values that a weak memory may let a read return. A wake-up
//! that is lost shows as a core that sleeps while nobody is left to call it.
//!
//! Where two things are sent, the number of orders has to be bounded: by how often a thread is interrupted
//! at a moment that it has not chosen. Three times is enough for everything that has ever been found.
//!
//! One thing loom does not know: nothing comes between the two halves of a read-modify-write. If a
//! sender's `swap(false)` has read the `false` of a core that had got up, loom lets it come after the
//! `true` with which the core lies down the next time, and another sender reads it then. No machine does
//! that, and here nobody writes `false` over `false`: see `Doze::must_be_called`.

#[path = "../../src/executor/doze.rs"]
mod doze;
#[path = "../../src/executor/inbox.rs"]
mod inbox;
#[path = "../../src/executor/link.rs"]
mod link;

/// What the modules take their atomics from.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
}

use doze::Doze;
use inbox::Inbox;
use link::{Link, Linked};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::ptr::NonNull;

/// A task: a number in a box.
struct Letter {
    link: Link,
    number: usize,
}

// SAFETY: a box gives back what it was made from.
unsafe impl Linked for Box<Letter> {
    fn link(&self) -> &Link {
        &self.link
    }

    fn into_raw(self) -> NonNull<()> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the pointer is from `into_raw`.
        unsafe { Box::from_raw(raw.cast().as_ptr()) }
    }
}

/// The interrupt line of a core: it stays up until the core has taken it.
#[derive(Default)]
struct Interrupt {
    up: Mutex<bool>,
    changed: Condvar,
}

impl Interrupt {
    fn raise(&self) {
        *self.up.lock().unwrap() = true;
        self.changed.notify_one();
    }

    /// What `sti; hlt` does: wait until it is up, and take it.
    fn halt(&self) {
        let mut up = self.up.lock().unwrap();
        while !*up {
            up = self.changed.wait(up).unwrap();
        }
        *up = false;
    }
}

struct Core {
    inbox: Inbox<Box<Letter>>,
    doze: Doze,
    interrupt: Interrupt,
}

impl Core {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inbox: Inbox::new(),
            doze: Doze::new(),
            interrupt: Interrupt::default(),
        })
    }

    /// What another core does to wake a task of this one.
    fn send(&self, number: usize) {
        let link = Link::new();
        self.inbox.push(Box::new(Letter { link, number }));
        if self.doze.must_be_called() {
            self.interrupt.raise();
        }
    }

    /// The core's executor, until it has seen so many letters.
    fn run(&self, wanted: usize) -> Vec<usize> {
        let mut seen = Vec::new();
        loop {
            self.inbox.drain(|letter| seen.push(letter.number));
            if seen.len() >= wanted {
                return seen;
            }
            self.doze.lie_down();
            if self.inbox.is_empty() {
                self.interrupt.halt();
            }
            self.doze.get_up();
        }
    }
}

#[test]
fn one_sender_is_never_missed() {
    loom::model(|| {
        let core = Core::new();
        let sender = core.clone();
        let other = thread::spawn(move || sender.send(1));
        assert_eq!(core.run(1), [1]);
        other.join().unwrap();
    });
}

#[test]
fn a_core_that_sleeps_again_is_called_again() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let core = Core::new();
        let sender = core.clone();
        let other = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        assert_eq!(core.run(2), [1, 2]);
        other.join().unwrap();
    });
}

#[test]
fn of_two_senders_one_call_is_enough() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let core = Core::new();
        let others = [1, 2].map(|number| {
            let sender = core.clone();
            thread::spawn(move || sender.send(number))
        });
        let mut seen = core.run(2);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        for other in others {
            other.join().unwrap();
        }
    });
}

/// What the kernel does not do. Each of these is found asleep with a letter.
mod mistakes {
    use super::sync::{AtomicBool, Ordering, fence};
    use super::*;

    #[derive(Default)]
    struct State {
        asleep: AtomicBool,
        letter: AtomicBool,
        interrupt: Interrupt,
    }

    fn explore(send: fn(&State), sleep: fn(&State)) {
        loom::model(move || {
            // Leaked: loom cannot drop its things while it panics.
            let state: &'static State = Box::leak(Box::default());
            let other = thread::spawn(move || send(state));
            sleep(state);
            other.join().unwrap();
        });
    }

    fn send(state: &State) {
        state.letter.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if state.asleep.load(Ordering::Relaxed) {
            state.interrupt.raise();
        }
    }

    fn sleep(state: &State) {
        state.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !state.letter.load(Ordering::Relaxed) {
            state.interrupt.halt();
        }
    }

    /// These two are right.
    #[test]
    fn no_mistake() {
        explore(send, sleep);
    }

    #[test]
    #[should_panic = "deadlock"]
    fn a_core_that_looks_before_it_lies_down() {
        explore(send, |state| {
            let empty = !state.letter.load(Ordering::Relaxed);
            state.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if empty {
                state.interrupt.halt();
            }
        });
    }

    #[test]
    #[should_panic = "deadlock"]
    fn a_core_without_a_fence() {
        explore(send, |state| {
            state.asleep.store(true, Ordering::Release);
            if !state.letter.load(Ordering::Acquire) {
                state.interrupt.halt();
            }
        });
    }

    #[test]
    #[should_panic = "deadlock"]
    fn a_sender_without_a_fence() {
        explore(
            |state| {
                state.letter.store(true, Ordering::Release);
                if state.asleep.load(Ordering::Acquire) {
                    state.interrupt.raise();
                }
            },
            sleep,
        );
    }
}
