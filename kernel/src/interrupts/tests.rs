//! Interrupts on the host: a thread is a core, and the test sets the bits that stubs would set.

use super::*;
use crate::cores::CoreId;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::pin;
use core::sync::atomic::AtomicUsize;
use core::task::{Context, Poll, Waker};
use std::future::Future;
use std::thread;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (woken.clone(), Waker::from(woken))
}

/// What a stub does.
fn raise(vector: u8) {
    let word = &cores::local().pending[usize::from(vector / 64)];
    word.fetch_or(1 << (vector % 64), Ordering::Relaxed);
}

#[test]
fn a_raised_vector_wakes_whoever_waits_for_it_and_nobody_else() {
    let (one, other) = (
        Interrupt::allocate(cores::current()),
        Interrupt::allocate(cores::current()),
    );
    assert_ne!(one.vector(), other.vector());
    let ((woken, waker), (asleep, other_waker)) = (waker(), waker());
    let mut context = Context::from_waker(&waker);
    assert_eq!(one.poll_raised(&mut context), Poll::Pending);
    assert_eq!(
        other.poll_raised(&mut Context::from_waker(&other_waker)),
        Poll::Pending
    );
    raise(one.vector());
    assert!(drain());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(asleep.0.load(Ordering::Relaxed), 0);
    assert_eq!(one.poll_raised(&mut context), Poll::Ready(()));
    assert_eq!(
        one.poll_raised(&mut context),
        Poll::Pending,
        "it was looked at"
    );
    assert!(!drain(), "all bits were taken");
}

#[test]
fn what_was_raised_before_the_wait_is_not_lost() {
    let interrupt = Interrupt::allocate(cores::current());
    raise(interrupt.vector());
    drain();
    let mut future = pin!(interrupt.raised());
    let (_, waker) = waker();
    let ready = future.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(ready, Poll::Ready(()));
}

#[test]
fn what_is_raised_between_look_and_drain_wakes() {
    let interrupt = Interrupt::allocate(cores::current());
    let (woken, waker) = waker();
    let mut context = Context::from_waker(&waker);
    for round in 1..=100 {
        assert_eq!(interrupt.poll_raised(&mut context), Poll::Pending);
        raise(interrupt.vector());
        drain();
        assert_eq!(woken.0.load(Ordering::Relaxed), round);
        assert_eq!(interrupt.poll_raised(&mut context), Poll::Ready(()));
    }
}

#[test]
fn every_sharer_of_a_vector_is_woken() {
    let mut all: Vec<_> = (0..DEVICE_VECTORS * 3)
        .map(|_| Interrupt::allocate(cores::current()))
        .collect();
    let vector = all[0].vector();
    all.retain(|interrupt| interrupt.vector() == vector);
    assert_eq!(all.len(), 3);
    let waiting: Vec<_> = all
        .iter()
        .map(|interrupt| {
            let (woken, waker) = waker();
            let pending = interrupt.poll_raised(&mut Context::from_waker(&waker));
            assert_eq!(pending, Poll::Pending);
            woken
        })
        .collect();
    raise(vector);
    drain();
    for (interrupt, woken) in all.iter().zip(&waiting) {
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(interrupt.take_raised());
    }
}

#[test]
fn the_latest_waker_counts_and_a_dropped_interrupt_has_none() {
    let interrupt = Interrupt::allocate(cores::current());
    let vector = interrupt.vector();
    let ((first, first_waker), (second, second_waker)) = (waker(), waker());
    for waker in [&first_waker, &second_waker] {
        let pending = interrupt.poll_raised(&mut Context::from_waker(waker));
        assert_eq!(pending, Poll::Pending);
    }
    raise(vector);
    drain();
    let counts = || [&first, &second].map(|woken| woken.0.load(Ordering::Relaxed));
    assert_eq!(counts(), [0, 1]);
    assert!(interrupt.take_raised());
    let pending = interrupt.poll_raised(&mut Context::from_waker(&first_waker));
    assert_eq!(pending, Poll::Pending);
    drop(interrupt);
    assert_eq!(Arc::strong_count(&first), 2, "the list kept the waker");
    raise(vector);
    drain();
    assert_eq!(counts(), [0, 1]);
}

#[test]
fn waiting_takes_no_memory_after_the_first_time() {
    let waiters = Waiters::new();
    let (_, waker) = waker();
    waiters.wait(3, 0, &waker);
    waiters.wake(3);
    let capacity = waiters.capacity(3);
    assert!(capacity > 0);
    for _ in 0..100 {
        waiters.wait(3, 0, &waker);
        waiters.wake(3);
        assert_eq!(waiters.capacity(3), capacity);
    }
}

/// A waker that, when it wakes and when it goes, uses the list that it is in.
struct Nosy(usize);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        WAITERS.here().wait(self.0, 7, Waker::noop());
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        WAITERS.here().forget(self.0, 8);
    }
}

#[test]
fn wakers_may_come_back_to_the_list() {
    let interrupt = Interrupt::allocate(cores::current());
    let index = usize::from(interrupt.vector() - first_vector());
    let wait = || {
        let nosy = Waker::from(Arc::new(Nosy(index)));
        let pending = interrupt.poll_raised(&mut Context::from_waker(&nosy));
        assert_eq!(pending, Poll::Pending);
    };
    wait();
    wait();
    raise(interrupt.vector());
    drain();
    assert!(interrupt.take_raised());
    wait();
    drop(interrupt);
}

#[test]
fn an_interrupt_may_be_made_and_dropped_on_another_core() {
    let core = cores::current();
    let interrupt = thread::spawn(move || Interrupt::allocate(core))
        .join()
        .unwrap();
    raise(interrupt.vector());
    drain();
    assert!(interrupt.take_raised());
    thread::spawn(move || drop(interrupt)).join().unwrap();
}

#[test]
#[should_panic(expected = "is waited for on")]
fn waiting_on_another_core_is_a_mistake_that_is_said() {
    let other = CoreId::new(MAX_CORES - 1).unwrap();
    let interrupt = Interrupt::allocate(other);
    let _ = interrupt.poll_raised(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn what_nobody_has_is_counted() {
    let interrupt = Interrupt::allocate(cores::current());
    let vector = interrupt.vector();
    drop(interrupt);
    let before = counters().stray;
    raise(vector);
    assert!(drain());
    // Other tests may count at the same time.
    assert!(counters().stray > before);
}
