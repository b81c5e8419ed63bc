//! Executors of several cores, which wake each other's tasks and sleep in between.

use super::crew::{others, send, wait_until};
use crate::cores::{self, CoreId};
use crate::executor::{Activity, activity, block_on, spawn_on};
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Poll;
use embassy_futures::yield_now;
use embassy_sync::waitqueue::AtomicWaker;
use embassy_time::{Duration, Instant, Timer};
use vm_test::vm_test;

/// What all cores have done together.
fn all() -> Activity {
    cores::online()
        .map(activity)
        .fold(Activity::default(), |all, one| Activity {
            polls: all.polls + one.polls,
            halts: all.halts + one.halts,
            remote_wakes: all.remote_wakes + one.remote_wakes,
            calls: all.calls + one.calls,
            failed_calls: all.failed_calls + one.failed_calls,
            ..all
        })
}

#[vm_test(machine = "smp=4")]
fn tasks_of_all_cores_are_joined() {
    let tasks: Vec<_> = cores::online()
        .flat_map(|core| (0..200_u64).map(move |number| (core, number)))
        .map(|(core, number)| {
            spawn_on(core, move || async move {
                // Not `Send`: the task stays where it was made.
                let home = Rc::new(cores::current());
                assert_eq!(*home, core);
                for _ in 0..number % 7 {
                    yield_now().await;
                    assert_eq!(*home, cores::current());
                }
                number
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
    assert_eq!(sum, 4 * 19_900);
}

/// A number that goes from core to core. Each sleeps until it is its turn.
struct Ring {
    number: AtomicU64,
    wakers: Vec<AtomicWaker>,
}

impl Ring {
    async fn play(&self, place: usize, last: u64) {
        let count = self.wakers.len();
        for number in (place as u64..last).step_by(count) {
            poll_fn(|context| {
                self.wakers[place].register(context.waker());
                if self.number.load(Ordering::Acquire) == number {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            self.number.store(number + 1, Ordering::Release);
            self.wakers[(place + 1) % count].wake();
        }
    }
}

/// A wake-up that is lost is a test that hangs: nothing else would move the number on.
#[vm_test(machine = "smp=4", timeout = 240)]
fn of_twenty_thousand_wakes_none_is_lost() {
    const LAST: u64 = 24_000;
    let all_cores: Vec<CoreId> = cores::online().collect();
    let ring = Arc::new(Ring {
        number: AtomicU64::new(0),
        wakers: all_cores.iter().map(|_| AtomicWaker::new()).collect(),
    });
    let before = all();
    let tasks: Vec<_> = all_cores
        .into_iter()
        .enumerate()
        .map(|(place, core)| {
            let ring = ring.clone();
            spawn_on(core, move || async move { ring.play(place, LAST).await })
        })
        .collect();
    block_on(async {
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(ring.number.load(Ordering::Acquire), LAST);
    let after = all();
    let wakes = after.remote_wakes - before.remote_wakes;
    let calls = after.calls - before.calls;
    vm_test::record::note(format_args!("{wakes} wakes from afar, {calls} interrupts"));
    assert!(wakes >= 20_000, "{wakes}");
    assert!((1..=wakes).contains(&calls), "{calls} of {wakes}");
    assert_eq!(after.failed_calls, before.failed_calls);
}

/// Every core waits for its own clock, and halts meanwhile.
#[vm_test(machine = "smp=4")]
fn every_core_has_a_timer() {
    let tasks: Vec<_> = cores::online()
        .map(|core| {
            spawn_on(core, move || async move {
                let before = activity(core).halts;
                let begin = Instant::now();
                for _ in 0..20 {
                    let end = Instant::now() + Duration::from_millis(3);
                    Timer::at(end).await;
                    assert!(Instant::now() >= end);
                }
                assert!(begin.elapsed() >= Duration::from_millis(60));
                activity(core).halts - before
            })
        })
        .collect();
    block_on(async {
        for task in tasks {
            let halts = task.await;
            assert!(halts >= 1, "the core waited without a halt");
        }
    });
}

/// Waits until a core has halted after this moment.
fn wait_until_asleep(core: CoreId) {
    // What it does now is not its last; it halts when it has done it.
    let (run, told) = (Arc::new(AtomicBool::new(false)), activity(core).halts);
    let set = run.clone();
    send(core, move || set.store(true, Ordering::Release));
    wait_until(|| run.load(Ordering::Acquire) && activity(core).halts > told);
}

/// It is counted what this core sends. Interrupts that the other core sends back are its own affair.
#[vm_test(machine = "smp=2")]
fn a_core_that_sleeps_is_called_and_one_that_works_is_not() {
    let me = cores::current();
    let other = others()[0];

    wait_until_asleep(other);
    let before = activity(me);
    let done = Arc::new(AtomicBool::new(false));
    let set = done.clone();
    send(other, move || set.store(true, Ordering::Release));
    wait_until(|| done.load(Ordering::Acquire));
    let after = activity(me);
    assert_eq!(after.remote_wakes - before.remote_wakes, 1);
    assert_eq!(after.calls - before.calls, 1);

    // Now it works, until it is told to end.
    let (works, end) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (begun, told) = (works.clone(), end.clone());
    send(other, move || {
        begun.store(true, Ordering::Release);
        wait_until(|| told.load(Ordering::Acquire));
    });
    wait_until(|| works.load(Ordering::Acquire));
    let before = activity(me);
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| spawn_on(other, move || async move { number }))
        .collect();
    let after = activity(me);
    assert_eq!(after.remote_wakes - before.remote_wakes, 100);
    assert_eq!(after.calls, before.calls);
    end.store(true, Ordering::Release);
    let sum = block_on(async {
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    });
    assert_eq!(sum, 4950);
    assert_eq!(activity(me).failed_calls, 0);
}
