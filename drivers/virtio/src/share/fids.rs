//! The numbers by which the server knows files.
//!
//! A number is free, or somebody's, or to be let go of. Who drops a file cannot wait for the server, so the number is
//! put down here, and whoever looks for a file next tells the server first. Room for it is made when the number is given
//! out: to drop a file allocates nothing.
//!
//! A number whose fate is not known, since nobody has waited for the server's answer, is never used again.

use alloc::vec::Vec;

/// The root, from the first message to the last.
pub(super) const ROOT: u32 = 0;

/// No file.
pub(super) const NONE: u32 = u32::MAX;

/// All numbers.
#[derive(Debug)]
pub(super) struct Fids {
    next: u32,
    free: Vec<u32>,
    unwanted: Vec<u32>,
    /// Numbers that are somebody's, or that nobody knows anything of.
    taken: usize,
}

impl Fids {
    pub(super) const fn new() -> Self {
        Self {
            next: ROOT + 1,
            free: Vec::new(),
            unwanted: Vec::new(),
            taken: 0,
        }
    }

    /// A number that no file has. `None`: there is none, or no memory to put it down later.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.unwanted.try_reserve(self.taken + 1).ok()?;
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.next == NONE => return None,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        self.taken += 1;
        Some(number)
    }

    /// The server knows no file by this number.
    pub(super) fn release(&mut self, number: u32) {
        self.taken = self.taken.saturating_sub(1);
        // Without memory for that, another number is used.
        if self.free.try_reserve(1).is_ok() {
            self.free.push(number);
        }
    }

    /// Nobody has this file any more.
    pub(super) fn put_down(&mut self, number: u32) {
        self.unwanted.push(number);
    }

    /// A file to let go of. It is nobody's until it is [released](Self::release).
    pub(super) fn unwanted(&mut self) -> Option<u32> {
        self.unwanted.pop()
    }

    /// Numbers that are not free.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_when_it_was_released() {
        let mut fids = Fids::new();
        let (one, two) = (fids.take().unwrap(), fids.take().unwrap());
        assert!(one != ROOT && two != ROOT && one != two);
        fids.put_down(one);
        let three = fids.take().unwrap();
        assert!(three != one && three != two);
        assert_eq!(fids.unwanted(), Some(one));
        assert_eq!((fids.unwanted(), fids.taken()), (None, 3));
        fids.release(one);
        assert_eq!((fids.take(), fids.taken()), (Some(one), 3));
    }

    #[test]
    fn to_put_all_down_allocates_nothing() {
        let mut fids = Fids::new();
        let all: Vec<u32> = (0..1000).map(|_| fids.take().unwrap()).collect();
        let room = fids.unwanted.capacity();
        for number in all {
            fids.put_down(number);
        }
        assert_eq!(fids.unwanted.capacity(), room);
    }

    #[test]
    fn the_number_that_means_none_is_never_given_out() {
        let mut fids = Fids::new();
        fids.next = NONE - 1;
        assert_eq!((fids.take(), fids.take()), (Some(NONE - 1), None));
    }
}
