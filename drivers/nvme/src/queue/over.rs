//! A request that is over, still in its place in the table.
//!
//! What a request gives back is large, and its caller wants a part of it: the data in nearly all cases,
//! the metadata in a few. So it is taken out piece by piece, and what nobody takes is dropped.

use super::completion::wake_all;
use super::table::Active;
use crate::error::Error;
use crate::operation::Done;
use crate::slots::Slots;
use alloc::vec::Vec;
use core::task::Waker;

/// A request that is over. When this is dropped, there is room for another one.
#[derive(Debug)]
pub struct Over<'q, B> {
    pub(super) active: &'q mut Active<B>,
    pub(super) home: usize,
    pub(super) slots: &'q mut Slots,
    /// Who waits for room.
    pub(super) room: &'q mut Vec<Waker>,
}

impl<B> Over<'_, B> {
    /// Its data. It is lost, `None`, only if [`Error::Lost`] says so.
    #[inline(always)]
    pub fn data(&mut self) -> Option<B> {
        self.active.data.take()
    }

    /// Its separate metadata.
    #[inline]
    pub fn metadata(&mut self) -> Option<B> {
        self.active.metadata.take()
    }

    /// Dwords 0 and 1 of the last completion, or the first error, by the order of blocks.
    #[inline(always)]
    pub fn result(&self) -> Result<u64, Error> {
        match self.active.error {
            None => Ok(self.active.result),
            Some((_, error)) => Err(error),
        }
    }

    /// All of it.
    pub(super) fn done(mut self) -> Done<B> {
        Done {
            data: self.data(),
            metadata: self.metadata(),
            result: self.result(),
        }
    }
}

impl<B> Drop for Over<'_, B> {
    #[inline(always)]
    fn drop(&mut self) {
        self.active.end();
        self.slots.release(self.home);
        if !self.room.is_empty() {
            wake_all(self.room);
        }
    }
}
