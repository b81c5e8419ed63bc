//! Who waits for which vector of a core.
//!
//! Only the core itself comes here: to wait, and to wake. So there is no lock, and a list that is
//! as long as it ever was takes no memory: woken waiters leave their place in it.

use super::DEVICE_VECTORS;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;
use core::task::Waker;

/// A waiter and the interrupt that it waits for.
type Waiter = (u64, Waker);

/// The waiters of one core, by vector, counted from the first.
#[derive(Debug)]
pub(super) struct Waiters([RefCell<Vec<Waiter>>; DEVICE_VECTORS]);

impl Waiters {
    pub(super) fn new() -> Self {
        Self([const { RefCell::new(Vec::new()) }; DEVICE_VECTORS])
    }

    /// Puts the waker where [`wake`](Self::wake) finds it. Each interrupt has one; the latest counts.
    pub(super) fn wait(&self, index: usize, id: u64, waker: &Waker) {
        let mut list = self.0[index].borrow_mut();
        match list.iter_mut().find(|(other, _)| *other == id) {
            Some((_, known)) if known.will_wake(waker) => {}
            Some((_, known)) => {
                let old = mem::replace(known, waker.clone());
                // What a waker does when it goes may lead back here.
                drop(list);
                drop(old);
            }
            None => list.push((id, waker.clone())),
        }
    }

    /// Wakes everybody who waits for the vector. Under load that is nobody: the queue is looked at anyway.
    #[inline]
    pub(super) fn wake(&self, index: usize) {
        if !self.0[index].borrow().is_empty() {
            self.wake_all(index);
        }
    }

    fn wake_all(&self, index: usize) {
        // Those who are woken may come back to wait while the list is worked off.
        let mut list = self.0[index].take();
        for (_, waker) in list.drain(..) {
            waker.wake();
        }
        let mut place = self.0[index].borrow_mut();
        if place.is_empty() {
            *place = list;
        }
    }

    /// Forgets an interrupt.
    pub(super) fn forget(&self, index: usize, id: u64) {
        let mut list = self.0[index].borrow_mut();
        let found = list.iter().position(|(other, _)| *other == id);
        let waiter = found.map(|place| list.swap_remove(place));
        drop(list);
        drop(waiter);
    }
}

#[cfg(test)]
impl Waiters {
    pub(super) fn capacity(&self, index: usize) -> usize {
        self.0[index].borrow().capacity()
    }
}
