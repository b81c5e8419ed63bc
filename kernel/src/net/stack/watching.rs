//! Who waits for addresses to change.
//!
//! A wait is polled as often as somebody likes, and may be over without any change. So each has a number, and under
//! that number one waker at most, which goes when the wait does. A list that wakers are only put into would grow
//! until something changes, and keep tasks that have ended.

use super::handle::Stack;
use alloc::collections::BTreeMap;
use core::task::Waker;

/// Those who wait.
#[derive(Default)]
pub(super) struct Watching {
    /// Numbers that were given out.
    numbers: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Watching {
    /// Has a wait woken at the next change, and by this waker only.
    pub(super) fn set(&mut self, number: u64, waker: &Waker) {
        match self.wakers.get_mut(&number) {
            Some(known) => known.clone_from(waker),
            None => drop(self.wakers.insert(number, waker.clone())),
        }
    }

    /// Something has changed.
    pub(super) fn wake(&mut self) {
        core::mem::take(&mut self.wakers)
            .into_values()
            .for_each(Waker::wake);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}

/// A wait.
pub(super) struct Watch<'a> {
    stack: &'a Stack,
    pub(super) number: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        let number = stack.with(|engine| {
            engine.watching.numbers += 1;
            engine.watching.numbers
        });
        Self { stack, number }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let wakers = |number| {
            self.stack
                .with(|engine| engine.watching.wakers.remove(number))
        };
        // What a waker takes with it goes when the stack is free again.
        drop(wakers(&self.number));
    }
}
