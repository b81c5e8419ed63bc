//! Memory of headers, used again and again.
//!
//! Each frame has headers of its own, which its card reads after they have been handed over. When it is done with
//! them, they are kept here for frames to come, so a stack that is at work asks the heap for none.

use alloc::vec::Vec;

/// Most that are kept: as many as there can be with a card.
const MOST: usize = 256;

/// Bytes that there is room for in any case: headers, and few options.
const ROOM: usize = 128;

/// Longer ones are not kept.
const LONGEST: usize = 2048;

/// Memory of headers that are in no frame.
#[derive(Debug, Default)]
pub(super) struct Heads(Vec<Vec<u8>>);

impl Heads {
    /// So many zeros.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut head = self.empty(len);
        head.resize(len, 0);
        head
    }

    /// Nothing, with room for so many bytes.
    pub(super) fn empty(&mut self, len: usize) -> Vec<u8> {
        let mut head = self.0.pop().unwrap_or_default();
        head.clear();
        head.reserve(len.max(ROOM));
        head
    }

    /// Takes memory back.
    pub(super) fn give(&mut self, head: Vec<u8>) {
        if self.0.len() < MOST && (ROOM..=LONGEST).contains(&head.capacity()) {
            self.0.push(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn what_was_given_back_is_zeros_again_and_where_it_was() {
        let mut heads = Heads::default();
        let mut head = heads.take(54);
        head.fill(7);
        let at = head.as_ptr();
        heads.give(head);
        let head = heads.take(100);
        assert_eq!((head.as_ptr(), &head[..]), (at, &[0; 100][..]));
    }

    #[test]
    fn no_more_are_kept_than_a_card_has_and_none_that_are_long() {
        let mut heads = Heads::default();
        heads.give(vec![0; LONGEST + 1]);
        heads.give(vec![0; 10]);
        assert!(heads.0.is_empty());
        for _ in 0..MOST + 10 {
            heads.give(vec![0; ROOM]);
        }
        assert_eq!(heads.0.len(), MOST);
    }
}
