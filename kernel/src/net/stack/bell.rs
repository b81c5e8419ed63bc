//! Word of a card that it has changed.
//!
//! Whoever waits for several things is woken by each, and does not know by which. A card seldom changes, and asking it
//! whether it has takes a lock. So it is given a waker of its own, which leaves word, and is asked only after that.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

/// Tells whether it was rung.
#[derive(Debug, Default)]
pub(super) struct Bell(Option<Arc<Rope>>);

#[derive(Debug)]
struct Rope {
    is_rung: AtomicBool,
    /// Who is woken.
    caller: Waker,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.is_rung.store(true, Ordering::Release);
        self.caller.wake_by_ref();
    }
}

impl Bell {
    /// If it was rung since the last call, or this caller is another than then: what rings it the next time.
    pub(super) fn rung(&mut self, caller: &Waker) -> Option<Waker> {
        match &self.0 {
            Some(rope) if rope.caller.will_wake(caller) => {
                // A load is enough nearly always.
                let is_rung = rope.is_rung.load(Ordering::Acquire);
                (is_rung && rope.is_rung.swap(false, Ordering::AcqRel))
                    .then(|| Waker::from(rope.clone()))
            }
            _ => {
                let rope = Arc::new(Rope {
                    is_rung: AtomicBool::new(false),
                    caller: caller.clone(),
                });
                self.0 = Some(rope.clone());
                Some(Waker::from(rope))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_tells_once_for_each_ring_and_wakes_each_time() {
        let count = Arc::<Count>::default();
        let caller = Waker::from(count.clone());
        let mut bell = Bell::default();
        let rope = bell.rung(&caller).expect("nobody has asked yet");
        assert!(bell.rung(&caller).is_none());
        rope.wake_by_ref();
        rope.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        let rope = bell.rung(&caller).expect("it was rung");
        assert!(bell.rung(&caller).is_none());
        // Another caller has to be told of what comes.
        let other = Arc::<Count>::default();
        let new = bell.rung(&Waker::from(other.clone())).expect("it is new");
        rope.wake();
        assert!(bell.rung(&Waker::from(other.clone())).is_none());
        new.wake();
        assert_eq!(other.0.load(Ordering::Relaxed), 1);
        assert!(bell.rung(&Waker::from(other)).is_some());
    }
}
