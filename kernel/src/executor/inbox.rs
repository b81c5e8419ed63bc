//! What other cores want to have run: a stack without a lock.
//!
//! Senders push; the owner takes everything at once. A stack whose things are never taken one by
//! one does not have the trouble that such stacks are known for, of a head that was taken away and
//! came back.

use super::link::Linked;
use super::sync::{AtomicPtr, Ordering};
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// Things from anywhere for one core.
///
/// The invariant: `head` is null or from [`Linked::into_raw`], and so is each link that it leads to.
pub(super) struct Inbox<T: Linked> {
    head: AtomicPtr<()>,
    things: PhantomData<T>,
}

// SAFETY: things move from core to core through the inbox, by value; no core has a reference to one
// that is in it.
unsafe impl<T: Linked + Send> Sync for Inbox<T> {}

// SAFETY: as above.
unsafe impl<T: Linked + Send> Send for Inbox<T> {}

impl<T: Linked> Inbox<T> {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            things: PhantomData,
        }
    }

    /// Whether nothing was in it a moment ago.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Puts a thing into it.
    pub(super) fn push(&self, mut thing: T) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            thing.link().set(head);
            let raw = thing.into_raw();
            // Release: whoever takes the thing sees all that its sender did before.
            match self.head.compare_exchange_weak(
                head,
                raw.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => {
                    // SAFETY: the pointer is from above, and nobody else has seen it.
                    thing = unsafe { T::from_raw(raw) };
                    head = now;
                }
            }
        }
    }

    /// Takes everything, oldest first, and hands each thing to `each`.
    pub(super) fn drain(&self, mut each: impl FnMut(T)) {
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        // The links lead from the newest to the oldest: turn them round.
        let mut oldest = ptr::null_mut();
        while let Some(raw) = NonNull::new(newest) {
            // SAFETY: by the invariant; the swap has made the chain this call's alone.
            let thing = unsafe { T::from_raw(raw) };
            newest = thing.link().get();
            thing.link().set(oldest);
            oldest = thing.into_raw().as_ptr();
        }
        while let Some(raw) = NonNull::new(oldest) {
            // SAFETY: from the loop above, each once.
            let thing = unsafe { T::from_raw(raw) };
            oldest = thing.link().get();
            each(thing);
        }
    }
}

impl<T: Linked> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.drain(drop);
    }
}
