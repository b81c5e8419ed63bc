//! Whether somebody who waits for a word can miss it: every order in which cores can go about it.
//!
//! The modules under test are the kernel's own files, with loom's atomics and lock. A task is a
//! thread here that parks until it is woken. A wake-up that is lost shows as a thread that is parked
//! for ever, which loom reports.

extern crate alloc;

#[path = "../src/drivers/audience.rs"]
mod audience;
#[path = "../src/drivers/nvme/word.rs"]
mod word;

/// What the modules use of the kernel, as loom has it.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// A lock without an error for a holder that has panicked.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("nobody panics")
        }
    }
}

use audience::Audience;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, Thread};
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use word::Word;

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a task to its end, on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        thread::park();
    }
}

/// Every order of at most so many interruptions.
fn check(interruptions: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = interruptions;
    model.check(run);
}

/// Listens until there were `interrupts` of them.
fn listen(audience: &Audience, interrupts: u32) {
    let listener = audience.join();
    while audience.raised() != interrupts {
        block_on(std::future::poll_fn(|cx| audience.poll(&listener, cx)));
    }
    audience.leave(&listener);
}

#[test]
fn who_listens_hears_of_each_interrupt() {
    check(None, || {
        let audience = Arc::new(Audience::default());
        let other = audience.clone();
        let listener = thread::spawn(move || listen(&other, 2));
        audience.tell();
        audience.tell();
        listener.join().expect("it has heard");
    });
}

#[test]
fn all_who_listen_hear_of_it_and_who_leaves_takes_no_word_with_him() {
    check(Some(3), || {
        let audience = Arc::new(Audience::default());
        let listeners = [1, 1].map(|interrupts| {
            let audience = audience.clone();
            thread::spawn(move || listen(&audience, interrupts))
        });
        // One that was about to wait, and goes.
        let leaver = audience.join();
        let _ = audience.poll(&leaver, &mut Context::from_waker(Waker::noop()));
        audience.leave(&leaver);
        audience.tell();
        for listener in listeners {
            listener.join().expect("it has heard");
        }
    });
}

/// What was done before the word, whoever hears it sees: a ring with a new entry, for instance.
#[test]
fn what_was_done_before_the_word_is_seen_by_who_hears_it() {
    check(None, || {
        let shared = Arc::new((Audience::default(), UnsafeCell::new(0)));
        let other = shared.clone();
        let listener = thread::spawn(move || {
            listen(&other.0, 1);
            // SAFETY: that nobody writes it any more is what is tested.
            other.1.with(|entry| assert_eq!(unsafe { *entry }, 7));
        });
        // SAFETY: nobody was told of it.
        shared.1.with_mut(|entry| unsafe { *entry = 7 });
        shared.0.tell();
        listener.join().expect("it has heard");
    });
}

#[test]
fn a_word_is_heard_by_all_who_wait_and_by_all_who_come_later() {
    check(Some(3), || {
        let word = Arc::new(Word::default());
        let tasks = [(), ()].map(|()| {
            let word = word.clone();
            thread::spawn(move || block_on(word.said()))
        });
        word.say();
        block_on(word.said());
        for task in tasks {
            task.join().expect("it has heard");
        }
    });
}

/// A task is woken for other reasons as well, and may have another waker each time.
#[test]
fn a_word_finds_the_last_waker_of_a_task() {
    check(None, || {
        let word = Arc::new(Word::default());
        let other = word.clone();
        let task = thread::spawn(move || {
            let mut said = pin!(other.said());
            let early = said.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if early.is_pending() {
                block_on(said);
            }
        });
        word.say();
        task.join().expect("it has heard");
    });
}
