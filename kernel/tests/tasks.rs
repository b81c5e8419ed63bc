//! The memory of tasks: what is taken for them comes back, to the byte, and waking takes none.

use embassy_futures::yield_now;
use embassy_time::{Duration, Timer, with_timeout};
use kernel::executor::{block_on, spawn};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a record of what each thread has.
struct Recorder;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's duties are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: `pointer` came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Recorder = Recorder;

/// A task of each kind of end.
fn generation(number: u64) {
    let joined = spawn(async move {
        yield_now().await;
        number
    });
    let cancelled = spawn(Timer::after_secs(3600));
    let dropped = spawn(Timer::after_secs(3600));
    let timed = spawn(with_timeout(Duration::from_secs(3600), yield_now()));
    spawn(yield_now()).detach();
    block_on(async {
        yield_now().await;
        drop(dropped);
        cancelled.cancel().await;
        assert_eq!(timed.await, Ok(()));
        assert_eq!(joined.await, number);
    });
}

#[test]
fn a_hundred_thousand_tasks_leave_nothing() {
    generation(0);
    let before = BYTES.get();
    for number in 0..20_000 {
        generation(number);
    }
    assert_eq!(BYTES.get(), before);
}

#[test]
fn waking_and_sleeping_take_no_memory() {
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            spawn(async move {
                for round in 0..100 {
                    yield_now().await;
                    Timer::after_micros(number + round).await;
                }
            })
        })
        .collect();
    // The first rounds make the queue of timers as long as it gets.
    block_on(Timer::after_micros(300));
    let before = ALLOCATIONS.get();
    block_on(Timer::after_micros(3000));
    assert_eq!(ALLOCATIONS.get(), before);
    block_on(async {
        for task in tasks {
            task.await;
        }
    });
}
