//! The critical section that the embassy crates ask for.
//!
//! They were made for machines where it means "no interrupts". Here an interrupt runs no Rust, so
//! another thread of control is always another core, and a lock is enough. It is reentrant, because
//! critical sections may be nested, and the running core's number says whose it is. Like every lock
//! it is [counted](crate::lock).

use crate::cores;
use crate::lock;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The number of the core that is inside, plus one. Zero: none.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

struct CriticalSection;

critical_section::set_impl!(CriticalSection);

// SAFETY: between `acquire` and `release` the word holds the running core's number, which only that
// core puts there and takes away; so no two cores are inside. One core has one thread of control.
unsafe impl critical_section::Impl for CriticalSection {
    /// Returns whether this core was inside already.
    unsafe fn acquire() -> bool {
        let this = cores::current().index() + 1;
        // Only this core ever writes this number, so if it is there, it is ours.
        if INSIDE.load(Ordering::Relaxed) == this {
            return true;
        }
        while INSIDE
            .compare_exchange_weak(0, this, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::hint::spin_loop();
        }
        lock::count();
        false
    }

    unsafe fn release(was_inside: bool) {
        if !was_inside {
            INSIDE.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use critical_section::Mutex;

    #[test]
    fn one_core_is_inside_and_may_nest() {
        static SUM: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));
        let work = || {
            for _ in 0..10_000 {
                critical_section::with(|outer| {
                    let before = SUM.borrow(outer).get();
                    critical_section::with(|inner| SUM.borrow(inner).set(before + 1));
                });
            }
        };
        let threads: [_; 3] = core::array::from_fn(|_| std::thread::spawn(work));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(
            critical_section::with(|inside| SUM.borrow(inside).get()),
            30_000
        );
    }
}
