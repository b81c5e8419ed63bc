//! A value for each core.
//!
//! What a core uses alone (its run queue, the wakers of its interrupts) needs no lock, only a place
//! per core and a promise that nobody else looks there. A [`PerCore`] is that promise as a type.
//!
//! Holding what [`PerCore::here`] returns tells you: the value was made on this core, and no other
//! core has a reference to it, unless its own type allows to share it.

use super::{MAX_CORES, current};
use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// One `T` a core, made when the core first asks for it. It stays for ever.
///
/// The first use on each core takes memory from the heap; the others are two loads.
pub struct PerCore<T> {
    make: fn() -> T,
    values: [AtomicPtr<T>; MAX_CORES],
    /// On the host, numbers of cores are used again by other threads, values are not.
    #[cfg(not(phyros))]
    owners: [core::sync::atomic::AtomicU64; MAX_CORES],
}

// SAFETY: `&PerCore<T>` gives out `&T`, to the core on which the `T` was made and to no other. A core
// has one thread of control, and its tasks never move to another, so this is a thread-local
// variable: the `T` is used as if by one thread, and needs to be neither `Send` nor `Sync`. A core
// that carries the `&T` elsewhere needs `&T: Send`, that is `T: Sync`. The function pointer is both.
// Values are never dropped, so it does not matter which core drops the `PerCore`.
unsafe impl<T> Sync for PerCore<T> {}

// SAFETY: as above; moving the `PerCore` moves no `T`.
unsafe impl<T> Send for PerCore<T> {}

impl<T> PerCore<T> {
    /// Values that are made by `make`, on the core that each is for.
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            make,
            values: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CORES],
            #[cfg(not(phyros))]
            owners: [const { core::sync::atomic::AtomicU64::new(0) }; MAX_CORES],
        }
    }

    /// The value of the core that runs this.
    ///
    /// # Panics
    /// If making the value asks for it.
    #[inline]
    pub fn here(&self) -> &T {
        let value = self.value();
        // Only this core writes the place, so no order is needed.
        let pointer = value.load(Ordering::Relaxed);
        // SAFETY: the pointer is null or came from `make_here`, which leaked it.
        match unsafe { pointer.as_ref() } {
            Some(value) => value,
            None => self.make_here(value),
        }
    }

    #[cfg(phyros)]
    #[inline]
    fn value(&self) -> &AtomicPtr<T> {
        &self.values[current().index()]
    }

    #[cfg(not(phyros))]
    fn value(&self) -> &AtomicPtr<T> {
        let (index, thread) = (current().index(), this_thread());
        if self.owners[index].swap(thread, Ordering::Relaxed) != thread {
            self.values[index].store(ptr::null_mut(), Ordering::Relaxed);
        }
        &self.values[index]
    }

    #[cold]
    fn make_here(&self, value: &AtomicPtr<T>) -> &T {
        let made = Box::leak(Box::new((self.make)()));
        let before = value.swap(made, Ordering::Relaxed);
        assert!(before.is_null(), "a core's value asks for itself");
        made
    }
}

/// A number that no other thread ever has.
#[cfg(not(phyros))]
fn this_thread() -> u64 {
    use core::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(1);
    std::thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use std::rc::Rc;

    static COUNT: PerCore<Rc<Cell<u32>>> = PerCore::new(Rc::default);

    fn count() -> u32 {
        let cell = COUNT.here();
        cell.set(cell.get() + 1);
        cell.get()
    }

    #[test]
    fn each_core_has_its_own_value() {
        assert_eq!((count(), count()), (1, 2));
        let others: Vec<_> = (0..8).map(|_| std::thread::spawn(count)).collect();
        for other in others {
            assert_eq!(other.join().unwrap(), 1);
        }
        assert_eq!(count(), 3);
    }

    #[test]
    #[should_panic = "asks for itself"]
    fn a_value_cannot_be_made_out_of_itself() {
        static TWICE: PerCore<u32> = PerCore::new(|| if DEPTH.get() == 1 { 7 } else { deeper() });
        std::thread_local! {
            static DEPTH: Cell<u32> = const { Cell::new(0) };
        }
        fn deeper() -> u32 {
            DEPTH.set(1);
            *TWICE.here()
        }
        TWICE.here();
    }
}
