//! Things that can stand in a line without taking memory for it.
//!
//! A wake must not allocate: it may come from a driver in the middle of a batch. So the place in a
//! line is part of the thing itself, as one pointer to the next. A thing stands in one line at most.

use super::sync::{AtomicPtr, Ordering};
use core::ptr::{self, NonNull};

/// A thing's pointer to the next in line.
#[derive(Debug)]
pub(super) struct Link(AtomicPtr<()>);

impl Link {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Whoever owns the thing owns its link, and handing over the thing orders accesses.
    pub(super) fn set(&self, next: *mut ()) {
        self.0.store(next, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> *mut () {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has a [`Link`], and can be had as a pointer.
///
/// # Safety
/// What [`from_raw`](Self::from_raw) returns is the value that was given to
/// [`into_raw`](Self::into_raw), with the link that it had.
pub(super) unsafe trait Linked: Sized {
    /// The value's link.
    fn link(&self) -> &Link;

    /// Gives up the value for a pointer.
    fn into_raw(self) -> NonNull<()>;

    /// The value of a pointer.
    ///
    /// # Safety
    /// The pointer is from `into_raw`, and each is used once.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;
}
