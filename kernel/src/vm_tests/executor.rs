//! The executor with real interrupts, a real clock, and a CPU that halts.

use crate::arch::apic;
use crate::arch::cpu::time_stamp;
use crate::arch::vectors;
use crate::cores;
use crate::executor::{Look, activity, add_poller, block_on, spawn, spawn_on};
use crate::interrupts::{self, Interrupt};
use crate::memory::frames::with_allocator;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::task::{Poll, Waker};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use vm_test::vm_test;

fn halts() -> u64 {
    activity(cores::current()).halts
}

#[vm_test]
fn tasks_end_and_are_joined() {
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| {
            spawn(async move {
                for _ in 0..number {
                    yield_now().await;
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
    assert_eq!(sum, 4950);
}

#[vm_test(should_panic = "block_on in a task")]
fn a_task_must_not_block() {
    block_on(spawn(async { block_on(async {}) }));
}

#[vm_test(should_panic = "block_on in a task")]
fn a_poller_must_not_block() {
    let _poller = add_poller(|| {
        block_on(async {});
        Look::Idle
    });
    block_on(yield_now());
}

#[vm_test(machine = "icount")]
fn sleepers_wake_in_order_and_not_early() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let begin = Instant::now();
    let tasks: Vec<_> = [5_u64, 1, 3, 200, 2]
        .into_iter()
        .map(|wait| {
            let log = log.clone();
            spawn(async move {
                Timer::after_millis(wait).await;
                log.borrow_mut().push(wait);
                assert!(begin.elapsed() >= Duration::from_millis(wait));
            })
        })
        .collect();
    let before = halts();
    block_on(async {
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(*log.borrow(), [1, 2, 3, 5, 200]);
    assert!(
        begin.elapsed() < Duration::from_millis(210),
        "{}",
        begin.elapsed()
    );
    // A halt for each, and a few when the timer was a little early.
    assert!(
        (5..50).contains(&(halts() - before)),
        "{}",
        halts() - before
    );
}

/// The APIC's timer counts about a minute. The machine's clock does not wait while the CPU halts.
#[vm_test(machine = "icount")]
fn a_sleep_may_be_longer_than_the_timer_counts() {
    let rate = apic::timer_rate().expect("there is a timer");
    let longest = u64::from(u32::MAX) / rate.hertz();
    let before = halts();
    let begin = Instant::now();
    block_on(Timer::after_secs(longest * 3));
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(longest * 3));
    assert!(elapsed < Duration::from_secs(longest * 3 + 1), "{elapsed}");
    assert!(
        (3..20).contains(&(halts() - before)),
        "{}",
        halts() - before
    );
}

#[vm_test(machine = "icount")]
fn timeouts_selections_and_channels_work() {
    assert!(block_on(with_timeout(Duration::from_secs(5), pending::<()>())).is_err());
    assert_eq!(
        block_on(with_timeout(Duration::from_secs(5), async { 3 })),
        Ok(3)
    );
    let first = block_on(select(Timer::after_millis(20), Timer::after_millis(10)));
    assert!(matches!(first, Either::Second(())));
    let channel = Rc::new(Channel::<NoopRawMutex, u32, 2>::new());
    let sender = channel.clone();
    let task = spawn(async move {
        for number in 0..10 {
            sender.send(number).await;
        }
    });
    let sum = block_on(async {
        let mut sum = 0;
        for _ in 0..10 {
            sum += channel.receive().await;
        }
        task.await;
        sum
    });
    assert_eq!(sum, 45);
}

/// The task asks for an interrupt and waits. Nothing but the interrupt can wake it, and the core
/// has nothing else to do.
#[vm_test]
fn an_interrupt_ends_the_halt() {
    let interrupt = Interrupt::allocate(cores::current());
    let before = halts();
    block_on(async {
        for _ in 0..1000 {
            apic::send_ipi(interrupt.core(), interrupt.vector()).unwrap();
            interrupt.raised().await;
        }
    });
    assert!(halts() - before <= 1000);
}

/// The core sleeps with its timer armed, and is woken by something else. Then the timer rings before
/// its time, and somebody takes notice of that who has nothing to do with alarms.
#[vm_test(machine = "smp=2")]
fn a_timer_that_rings_too_early_is_armed_again() {
    let rate = apic::timer_rate().expect("there is a timer");
    let interrupt = Interrupt::allocate(cores::current());
    let (core, vector) = (interrupt.core(), interrupt.vector());
    let other = cores::online().find(|other| *other != core);
    let caller = spawn_on(other.expect("two cores"), move || async move {
        Timer::after_millis(50).await;
        apic::send_ipi(core, vector).unwrap();
    });
    let end = Instant::now() + Duration::from_millis(500);
    let disturbed = async {
        interrupt.raised().await;
        apic::local().arm(rate.ticks(100));
        while !interrupts::is_raised(vectors::TIMER) {}
        interrupts::drain();
        pending::<()>().await;
    };
    block_on(select(Timer::at(end), disturbed));
    assert!(Instant::now() >= end);
    block_on(caller);
}

/// Alarms that are a few microseconds away when the core begins to look for work: some are due before it has
/// armed its timer for them, and others while it is halted.
#[vm_test(machine = "icount", timeout = 60)]
fn alarms_of_any_nearness_ring() {
    let before = halts();
    for busy in 0..3000_u64 {
        let end = Instant::now() + Duration::from_micros(2);
        for step in 0..busy % 1000 {
            core::hint::black_box(step);
        }
        block_on(Timer::at(end));
    }
    assert!(halts() - before > 100, "the core seldom halted");
}

fn free_bytes() -> u64 {
    with_allocator(|allocator| allocator.free_bytes())
}

/// What a wake-up of a task on its own core costs, all in: the waker, the line, the poll.
#[vm_test(machine = "icount")]
fn a_local_wake_and_poll_costs_few_instructions() {
    const TASKS: u64 = 50;
    const ROUNDS: u64 = 100;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let mut left = ROUNDS;
            spawn(poll_fn(move |context| {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }))
        })
        .collect();
    let begin = time_stamp();
    block_on(async {
        for task in tasks {
            task.await;
        }
    });
    let each = (time_stamp() - begin) / (TASKS * ROUNDS);
    vm_test::record::note(format_args!("wake and poll: {each} instructions"));
    // A build without link-time optimization takes 140.
    assert!(each <= 150, "{each}");
}

/// A turn in which nothing happens, as in polled mode while a device works.
#[vm_test(machine = "icount")]
fn an_empty_turn_costs_few_instructions() {
    const TURNS: u64 = 1000;
    let looks = Rc::new(Cell::new(0));
    let seen = looks.clone();
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let main = waker.clone();
    let _poller = add_poller(move || {
        seen.set(seen.get() + 1);
        if seen.get() == TURNS
            && let Some(waker) = main.borrow_mut().take()
        {
            waker.wake();
        }
        Look::Waiting
    });
    let begin = time_stamp();
    block_on(poll_fn(|context| {
        *waker.borrow_mut() = Some(context.waker().clone());
        if looks.get() < TURNS {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }));
    let each = (time_stamp() - begin) / TURNS;
    vm_test::record::note(format_args!(
        "empty turn with a poller: {each} instructions"
    ));
    assert!(each <= 115, "{each}");
    assert_eq!(halts(), 0);
}

#[vm_test]
fn the_memory_of_tasks_comes_back() {
    let batch = || {
        let tasks: Vec<_> = (0..1000_u64)
            .map(|number| {
                spawn(async move {
                    if number % 3 == 0 {
                        Timer::after_secs(3600).await;
                    }
                    number
                })
            })
            .collect();
        block_on(async {
            yield_now().await;
            for (number, task) in tasks.into_iter().enumerate() {
                if number % 3 == 0 {
                    task.cancel().await;
                } else {
                    assert_eq!(task.await, number as u64);
                }
            }
        });
    };
    batch();
    let before = free_bytes();
    for _ in 0..100 {
        batch();
    }
    assert_eq!(free_bytes(), before);
}
