//! What a controller has to say that nobody has asked for.

use crate::event::Event;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;

/// Something that has happened to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The controller has told so by itself. Its log page was read, so that it may tell more,
    /// and namespaces were read anew if they have changed.
    Event(Event),
    /// Namespaces were read anew because the host asked for it, or has changed them, and are not
    /// what they were.
    Namespaces,
    /// It was reset and is back. Namespaces were read anew.
    Reset,
    /// It is out of use.
    Dead,
}

/// Most notices that are kept for whoever does not come and take them.
const KEPT: usize = 32;

/// Notices that nobody has taken yet. Of too many, the oldest go.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    notices: VecDeque<Notice>,
    waiters: Vec<Waker>,
}

impl Notices {
    /// Adds a notice.
    pub(crate) fn push(&mut self, notice: Notice) {
        if self.notices.len() == KEPT {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        for waiter in self.waiters.drain(..) {
            waiter.wake();
        }
    }

    /// Takes the oldest notice. Without one, wakes `waker` when there is one.
    pub(crate) fn pop(&mut self, waker: &Waker) -> Option<Notice> {
        let notice = self.notices.pop_front();
        if notice.is_none() && !self.waiters.iter().any(|other| other.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
        notice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_notices_go() {
        let mut notices = Notices::default();
        notices.push(Notice::Dead);
        for _ in 0..KEPT {
            notices.push(Notice::Reset);
        }
        for _ in 0..KEPT {
            assert_eq!(notices.pop(Waker::noop()), Some(Notice::Reset));
        }
        assert_eq!(notices.pop(Waker::noop()), None);
    }
}
