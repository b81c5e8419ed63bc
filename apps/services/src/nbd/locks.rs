//! Which writes must wait for each other.
//!
//! A write that begins or ends within a block reads the block, changes some of its bytes, and writes all
//! of them. If another write to the block ended in between, it would be undone. So such a write has its
//! blocks for itself. Writes of whole blocks may meet: who sends two that overlap and does not wait for
//! the first has said that either may win.
//!
//! Everybody waits for those who came earlier, and for nobody else: nobody starves, and there is no circle.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::ops::Range;
use core::task::{Poll, Waker};
use kernel::lock::Mutex;

/// Who writes to which blocks.
#[derive(Default)]
pub struct Locks(Mutex<State>);

#[derive(Default)]
struct State {
    /// In the order in which they came.
    entries: Vec<Entry>,
    next: u64,
}

struct Entry {
    number: u64,
    blocks: Range<u64>,
    use_: Use,
    waker: Option<Waker>,
}

/// How blocks are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Others may write to them, too.
    Shared,
    /// Nobody else may.
    Alone,
}

/// The right to write to blocks, until it is dropped.
pub struct Held<'l> {
    locks: &'l Locks,
    number: u64,
}

impl Locks {
    /// Nobody writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until blocks may be written.
    pub async fn hold(&self, blocks: Range<u64>, use_: Use) -> Held<'_> {
        let number = {
            let mut state = self.0.lock();
            let number = state.next;
            state.next += 1;
            let waker = None;
            state.entries.push(Entry {
                number,
                blocks,
                use_,
                waker,
            });
            number
        };
        // From here on it is taken out of the line, also if nobody waits any more.
        let held = Held {
            locks: self,
            number,
        };
        poll_fn(|cx| {
            let mut state = self.0.lock();
            let Some(at) = state.entries.iter().position(|e| e.number == number) else {
                return Poll::Ready(());
            };
            let (before, rest) = state.entries.split_at_mut(at);
            match before.iter().any(|other| other.conflicts(&rest[0])) {
                false => Poll::Ready(()),
                true => {
                    rest[0].waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        held
    }
}

impl Entry {
    fn conflicts(&self, other: &Self) -> bool {
        let meet = self.blocks.start < other.blocks.end && other.blocks.start < self.blocks.end;
        meet && (self.use_ == Use::Alone || other.use_ == Use::Alone)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let wakers: Vec<Waker> = {
            let mut state = self.locks.0.lock();
            state.entries.retain(|entry| entry.number != self.number);
            let waiting = state.entries.iter_mut();
            waiting.filter_map(|entry| entry.waker.take()).collect()
        };
        // The lock is not held while somebody else's code runs.
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::Context;
    use std::future::Future;

    #[test]
    fn whoever_is_alone_waits_for_those_before_and_is_waited_for() {
        let locks = Locks::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = pin!(locks.hold(0..4, Use::Shared));
        let mut second = pin!(locks.hold(3..8, Use::Shared));
        let mut alone = pin!(locks.hold(2..4, Use::Alone));
        let mut behind = pin!(locks.hold(3..5, Use::Shared));
        let mut apart = pin!(locks.hold(4..9, Use::Alone));
        let mut far = pin!(locks.hold(20..21, Use::Alone));
        let Poll::Ready(first) = first.as_mut().poll(&mut cx) else {
            panic!()
        };
        let Poll::Ready(second) = second.as_mut().poll(&mut cx) else {
            panic!()
        };
        assert!(alone.as_mut().poll(&mut cx).is_pending());
        assert!(behind.as_mut().poll(&mut cx).is_pending());
        assert!(apart.as_mut().poll(&mut cx).is_pending());
        assert!(far.as_mut().poll(&mut cx).is_ready());
        drop(first);
        assert!(alone.as_mut().poll(&mut cx).is_pending());
        drop(second);
        let Poll::Ready(alone) = alone.as_mut().poll(&mut cx) else {
            panic!()
        };
        assert!(behind.as_mut().poll(&mut cx).is_pending());
        drop(alone);
        let Poll::Ready(behind) = behind.as_mut().poll(&mut cx) else {
            panic!()
        };
        assert!(apart.as_mut().poll(&mut cx).is_pending());
        drop(behind);
        assert!(apart.as_mut().poll(&mut cx).is_ready());
        assert!(locks.0.lock().entries.is_empty());
    }

    #[test]
    fn who_does_not_wait_any_more_keeps_nobody() {
        let locks = Locks::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = pin!(locks.hold(0..1, Use::Alone));
        let Poll::Ready(first) = first.as_mut().poll(&mut cx) else {
            panic!()
        };
        {
            let mut lost = Box::pin(locks.hold(0..1, Use::Alone));
            assert!(lost.as_mut().poll(&mut cx).is_pending());
        }
        drop(first);
        let mut last = pin!(locks.hold(0..1, Use::Alone));
        assert!(last.as_mut().poll(&mut cx).is_ready());
    }
}
