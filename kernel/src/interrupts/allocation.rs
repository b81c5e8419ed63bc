//! Which device vectors of a core are in use, and by how many.
//!
//! A core has some two hundred vectors for devices. When all are in use, the next user gets one
//! that has a user already: both are woken by either's device, and both look at their own.

use super::DEVICE_VECTORS;

/// The device vectors of one core, counted from the first.
#[derive(Debug)]
pub(super) struct Vectors {
    users: [u32; DEVICE_VECTORS],
    /// Where the search for a free vector starts. It goes round, so that a vector rests before it
    /// is used again: a message of its last user may still be on its way.
    next: usize,
}

impl Vectors {
    pub(super) const fn new() -> Self {
        Self {
            users: [0; DEVICE_VECTORS],
            next: 0,
        }
    }

    /// A vector that nobody has, or one that the fewest have.
    pub(super) fn take(&mut self) -> usize {
        let from_next = (0..DEVICE_VECTORS).map(|step| (self.next + step) % DEVICE_VECTORS);
        let index = from_next
            .min_by_key(|index| self.users[*index])
            .unwrap_or_default();
        self.users[index] += 1;
        self.next = (index + 1) % DEVICE_VECTORS;
        index
    }

    /// Gives a vector back; whether that was its last user.
    pub(super) fn give(&mut self, index: usize) -> bool {
        self.users[index] -= 1;
        self.users[index] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_vector_is_used_before_one_is_shared() {
        let mut vectors = Vectors::new();
        let first: BTreeSet<_> = (0..DEVICE_VECTORS).map(|_| vectors.take()).collect();
        assert_eq!(first.len(), DEVICE_VECTORS);
        let second: BTreeSet<_> = (0..DEVICE_VECTORS).map(|_| vectors.take()).collect();
        assert_eq!(
            second.len(),
            DEVICE_VECTORS,
            "nobody has three before all have two"
        );
    }

    #[test]
    fn a_vector_is_free_when_its_last_user_gave_it_back() {
        let mut vectors = Vectors::new();
        let taken: Vec<_> = (0..=DEVICE_VECTORS).map(|_| vectors.take()).collect();
        assert_eq!(taken[0], taken[DEVICE_VECTORS]);
        assert!(!vectors.give(taken[0]));
        assert!(vectors.give(taken[0]));
        assert_eq!(vectors.take(), taken[0], "the only free one");
    }

    #[test]
    fn a_vector_rests_before_it_is_used_again() {
        let mut vectors = Vectors::new();
        let first = vectors.take();
        vectors.give(first);
        let between: Vec<_> = (1..DEVICE_VECTORS).map(|_| vectors.take()).collect();
        assert!(!between.contains(&first));
        assert_eq!(vectors.take(), first);
    }
}
