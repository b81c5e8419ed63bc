//! The waker of the future that `block_on` waits for.
//!
//! That future lies on the stack of whoever waits, so its waker must not point to it. It points to
//! the executor, which stays for ever: waking it long afterwards costs somebody else a poll.

use super::home::{Here, Home};
use core::ptr;
use core::task::{RawWaker, RawWakerVTable, Waker};

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, ignore);

/// The waker of whatever this core's `block_on` waits for.
pub(super) fn waker(here: Here) -> Waker {
    let data = ptr::from_ref(here.home()).cast();
    // SAFETY: the functions of the table take a pointer to a `Home` that stays for ever, use it as
    // a shared reference, and `Home` is `Sync`. There is nothing to count or to free.
    unsafe { Waker::new(data, &TABLE) }
}

fn clone(home: *const ()) -> RawWaker {
    RawWaker::new(home, &TABLE)
}

fn wake(home: *const ()) {
    // SAFETY: the pointer is from `waker`.
    let home: &'static Home = unsafe { &*home.cast() };
    home.wake_root();
}

fn ignore(_: *const ()) {}
