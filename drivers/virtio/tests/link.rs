//! The words between the recovering core and the core of a queue, in every order that two
//! processors can make of them.

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};
}

#[path = "../src/link.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod link;

use link::{Link, Order};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// What stands for the rings: both cores touch it, and only the link says when.
struct Shared {
    link: Link,
    rings: UnsafeCell<u32>,
}

/// The recovering core uses the rings between the answer to `Clean` and `Live`, the queue's
/// core at any other time. The model checker objects if they ever do so at the same time.
#[test]
fn the_rings_are_used_by_one_side_at_a_time() {
    loom::model(|| {
        let shared = Arc::new(Shared {
            link: Link::new(),
            rings: UnsafeCell::new(0),
        });
        let queue = shared.clone();
        let core = thread::spawn(move || {
            loop {
                let Some(pending) = queue.link.pending() else {
                    thread::yield_now();
                    continue;
                };
                let order = pending.order();
                if order == Order::Clean {
                    queue.rings.with_mut(|rings| {
                        // SAFETY: the order says that the rings are this core's.
                        unsafe { *rings = 1 }
                    });
                }
                queue.link.answer(pending);
                if order == Order::Live {
                    // SAFETY: the device is done with setting them up.
                    let seen = queue.rings.with(|rings| unsafe { *rings });
                    assert_eq!(seen, 2, "live before the device knew the rings");
                    return;
                }
            }
        });
        shared.link.command(Order::Clean);
        while !shared.link.is_answered() {
            thread::yield_now();
        }
        shared.rings.with_mut(|rings| {
            // SAFETY: the queue has answered, and waits for `Live`.
            let old = unsafe { rings.replace(2) };
            assert_eq!(old, 1, "the rings were not clean");
        });
        shared.link.command(Order::Live);
        core.join().unwrap();
    });
}

/// An order that was never looked at is skipped, and its answer is never taken for another's.
#[test]
fn an_old_answer_is_no_answer_to_a_new_order() {
    loom::model(|| {
        let link = Arc::new(Link::new());
        let queue = link.clone();
        let core = thread::spawn(move || {
            if let Some(pending) = queue.pending() {
                queue.answer(pending);
                return Some(pending.order());
            }
            None
        });
        link.command(Order::Hold);
        link.command(Order::Clean);
        let is_answered = link.is_answered();
        let answered = core.join().unwrap();
        if is_answered {
            assert_eq!(answered, Some(Order::Clean));
        }
    });
}
