//! First in, first out, on one core: no lock, no memory of its own.

use super::link::Linked;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// A line of things that are linked to each other.
///
/// The invariant: `head` is null, or both pointers are from [`Linked::into_raw`], and the links lead
/// from `head` to `tail`, whose own means nothing.
pub(super) struct Line<T: Linked> {
    head: Cell<*mut ()>,
    tail: Cell<*mut ()>,
    things: PhantomData<T>,
}

impl<T: Linked> Line<T> {
    pub(super) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null_mut()),
            tail: Cell::new(ptr::null_mut()),
            things: PhantomData,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Puts a thing at the end.
    #[inline]
    pub(super) fn push(&self, thing: T) {
        let raw = thing.into_raw();
        match NonNull::new(self.tail.get()).filter(|_| !self.is_empty()) {
            None => self.head.set(raw.as_ptr()),
            Some(tail) => {
                // SAFETY: the tail is from `into_raw`. It is given back below.
                let last = unsafe { T::from_raw(tail) };
                last.link().set(raw.as_ptr());
                self.tail.set(last.into_raw().as_ptr());
            }
        }
        self.tail.set(raw.as_ptr());
    }

    /// Takes the first thing.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let head = NonNull::new(self.head.get())?;
        // SAFETY: by the invariant; the pointer is forgotten here.
        let first = unsafe { T::from_raw(head) };
        let is_last = self.head.get() == self.tail.get();
        self.head.set(if is_last {
            ptr::null_mut()
        } else {
            first.link().get()
        });
        Some(first)
    }

    /// Takes the whole line, and leaves an empty one.
    #[inline]
    pub(super) fn take(&self) -> Self {
        Self {
            head: Cell::new(self.head.replace(ptr::null_mut())),
            tail: Cell::new(self.tail.get()),
            things: PhantomData,
        }
    }
}

impl<T: Linked> Drop for Line<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
