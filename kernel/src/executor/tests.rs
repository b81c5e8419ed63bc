//! The executor on the host, where threads play the cores.

use super::*;
use crate::cores;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Waker;
use embassy_futures::yield_now;
use embassy_sync::waitqueue::AtomicWaker;
use std::sync::Arc;

#[test]
fn a_ready_future_needs_no_turn() {
    assert_eq!(block_on(async { 7 }), 7);
    assert_eq!(activity(cores::current()).turns, 0);
}

#[test]
fn tasks_run_while_main_waits() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|name| {
            let log = log.clone();
            spawn(async move {
                for step in 0..2 {
                    log.borrow_mut().push((step, name));
                    yield_now().await;
                }
                name * 10
            })
        })
        .collect();
    let sum = block_on(async {
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    });
    assert_eq!(sum, 30);
    // One turn polls each task once, in the order in which they were woken.
    assert_eq!(
        *log.borrow(),
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    );
}

#[test]
fn a_dropped_handle_cancels() {
    let alive = Rc::new(());
    let inner = alive.clone();
    let task = spawn(async move {
        pending::<()>().await;
        drop(inner);
    });
    block_on(yield_now());
    drop(task);
    block_on(async {
        while Rc::strong_count(&alive) > 1 {
            yield_now().await
        }
    });
}

#[test]
fn a_cancelled_task_is_gone_when_cancel_returns() {
    let alive = Rc::new(());
    let inner = alive.clone();
    let task = spawn(async move {
        pending::<()>().await;
        drop(inner);
    });
    block_on(task.cancel());
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
#[should_panic = "block_on in a task"]
fn a_task_must_not_block() {
    let task = spawn(async { block_on(async {}) });
    block_on(task);
}

#[test]
fn a_task_that_wakes_itself_starves_nobody() {
    let looks = Rc::new(Cell::new(0));
    let seen = looks.clone();
    let _poller = add_poller(move || {
        seen.set(seen.get() + 1);
        Look::Idle
    });
    spawn(async {
        loop {
            yield_now().await
        }
    })
    .detach();
    block_on(async {
        for _ in 0..10 {
            yield_now().await
        }
    });
    assert!(looks.get() >= 9, "{}", looks.get());
}

#[test]
fn a_poller_ends_when_it_is_dropped() {
    let looks = Rc::new(Cell::new(0));
    let seen = looks.clone();
    let poller = add_poller(move || {
        seen.set(seen.get() + 1);
        Look::Worked
    });
    block_on(async {
        while looks.get() < 3 {
            yield_now().await
        }
    });
    drop(poller);
    let before = looks.get();
    block_on(async {
        for _ in 0..3 {
            yield_now().await
        }
    });
    assert_eq!(looks.get(), before);
    assert_eq!(Rc::strong_count(&looks), 1);
}

#[test]
fn pollers_may_add_and_drop_pollers() {
    let looks = Rc::new([const { Cell::new(0) }; 3]);
    let mine: Rc<RefCell<Vec<Poller>>> = Rc::default();
    let count = |index: usize| {
        let looks = Rc::clone(&looks);
        move || {
            looks[index].set(looks[index].get() + 1);
            looks[index].get()
        }
    };
    let turns = |turns| {
        block_on(async move {
            for _ in 0..turns {
                yield_now().await
            }
        });
    };
    let (first, second, third) = (count(0), count(1), count(2));
    let list = mine.clone();
    mine.borrow_mut().push(add_poller(move || {
        if first() == 2 {
            let third = third.clone();
            list.borrow_mut().push(add_poller(move || {
                third();
                Look::Idle
            }));
        }
        Look::Idle
    }));
    let own = mine.clone();
    mine.borrow_mut().push(add_poller(move || {
        if second() == 4 {
            // Itself, the other, and the one that was added.
            own.borrow_mut().clear();
        }
        Look::Idle
    }));
    turns(10);
    let counts = [0, 1, 2].map(|index| looks[index].get());
    assert_eq!(counts, [4, 4, 1]);
    assert_eq!(Rc::strong_count(&looks), 1);
    assert_eq!(Rc::strong_count(&mine), 1);
}

/// Another core that runs its executor until it is told to end.
struct OtherCore {
    core: cores::CoreId,
    end: Arc<Signal>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Signal {
    set: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    fn set(&self) {
        self.set.store(true, Ordering::Release);
        self.waker.wake();
    }

    async fn wait(&self) {
        core::future::poll_fn(|context| {
            self.waker.register(context.waker());
            if self.set.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl OtherCore {
    fn start() -> Self {
        let end = Arc::new(Signal {
            set: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let (tell, told) = std::sync::mpsc::channel();
        let signal = end.clone();
        let thread = std::thread::spawn(move || {
            // The number may have been another thread's, and now gets an executor of this one's.
            block_on(async {});
            tell.send(cores::current()).unwrap();
            block_on(signal.wait());
        });
        Self {
            core: told.recv().unwrap(),
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for OtherCore {
    fn drop(&mut self) {
        self.end.set();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_task_runs_on_the_core_that_was_named() {
    let other = OtherCore::start();
    let task = spawn_on(other.core, || async {
        // Not `Send`, and need not be.
        let local = Rc::new(cores::current());
        yield_now().await;
        *local
    });
    assert_eq!(block_on(task), other.core);
}

#[test]
fn no_wake_from_another_core_is_lost() {
    /// Passes a number to and fro; each side sleeps while the other has it.
    struct Ball {
        number: AtomicU64,
        wakers: [AtomicWaker; 2],
    }
    async fn play(ball: &Ball, side: usize, last: u64) {
        for number in (side as u64..last).step_by(2) {
            core::future::poll_fn(|context| {
                ball.wakers[side].register(context.waker());
                if ball.number.load(Ordering::Acquire) == number {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            ball.number.store(number + 1, Ordering::Release);
            ball.wakers[1 - side].wake();
        }
    }
    const LAST: u64 = 2_000;
    let other = OtherCore::start();
    let ball = Arc::new(Ball {
        number: AtomicU64::new(0),
        wakers: [AtomicWaker::new(), AtomicWaker::new()],
    });
    let theirs = ball.clone();
    let task = spawn_on(
        other.core,
        move || async move { play(&theirs, 1, LAST).await },
    );
    block_on(async {
        play(&ball, 0, LAST).await;
        task.await;
    });
    assert_eq!(ball.number.load(Ordering::Acquire), LAST);
}

/// Another core wakes a task, or `main`, in the moment after this core has looked for work. This core is
/// awake, so nobody calls it, and all that keeps it from sleeping is its own last look.
#[test]
fn work_that_comes_after_the_last_turn_keeps_the_core_awake() {
    let waker_of = |future_is_a_task: bool| {
        let waker = Rc::new(Cell::new(None));
        let kept = waker.clone();
        let keep = core::future::poll_fn(move |context| {
            kept.set(Some(context.waker().clone()));
            if future_is_a_task {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        if future_is_a_task {
            spawn(keep).detach();
            block_on(yield_now());
        } else {
            block_on(keep);
        }
        waker.take().expect("it was polled")
    };
    for future_is_a_task in [true, false] {
        let waker = waker_of(future_is_a_task);
        assert!(!here().has_work());
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(here().has_work());
        assert_eq!(activity(cores::current()).calls, 0, "it was awake");
        block_on(yield_now());
    }
}

#[test]
fn a_waker_of_main_may_outlive_its_wait() {
    let waker = block_on(core::future::poll_fn(|context| {
        Poll::Ready(context.waker().clone())
    }));
    Waker::wake_by_ref(&waker);
    drop(waker);
    assert_eq!(block_on(async { 1 }), 1);
}

mod timers {
    use super::*;
    use embassy_futures::select::{Either, select};
    use embassy_time::{Duration, Instant, Timer, with_timeout};

    #[test]
    fn sleepers_wake_in_the_order_of_their_times() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let begin = Instant::now();
        let tasks: Vec<_> = [500_u64, 100, 300, 100]
            .into_iter()
            .map(|wait| {
                let log = log.clone();
                spawn(async move {
                    Timer::after_micros(wait).await;
                    log.borrow_mut().push(wait);
                })
            })
            .collect();
        block_on(async {
            for task in tasks {
                task.await;
            }
        });
        assert_eq!(*log.borrow(), [100, 100, 300, 500]);
        assert_eq!(begin.elapsed(), Duration::from_micros(500));
    }

    #[test]
    fn a_timeout_ends_what_takes_too_long() {
        let endless = with_timeout(Duration::from_secs(5), pending::<()>());
        assert!(block_on(endless).is_err());
        let ready = with_timeout(Duration::from_secs(5), async { 3 });
        assert_eq!(block_on(ready), Ok(3));
        let both = select(Timer::after_millis(3), Timer::after_millis(2));
        assert!(matches!(block_on(both), Either::Second(())));
    }

    #[test]
    fn a_task_that_ends_leaves_no_alarm() {
        block_on(spawn(async {
            let _ = with_timeout(Duration::from_secs(3600), yield_now()).await;
        }));
        let task = spawn(Timer::after_secs(3600));
        block_on(yield_now());
        block_on(task.cancel());
        let begin = Instant::now();
        block_on(Timer::after_millis(1));
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert!(!here().alarms.skip(), "an alarm is left");
    }
}
