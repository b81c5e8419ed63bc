//! A chain before it is sent: where its memory is, and what the device may do there.

use crate::chain::{NEXT, WRITE, descriptor};
use crate::error::RequestError;
use crate::memory::{Access, Memory};
use phyr::DmaRange;

/// Most pieces of a chain.
const MOST: usize = 16;

/// The pieces of a chain, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    list: [Option<DmaRange>; MOST],
    access: Access,
    count: u16,
    /// Bytes of all of them.
    bytes: u32,
}

impl Pieces {
    /// One piece of bytes that a descriptor can count.
    pub(crate) fn one(range: DmaRange, access: Access) -> Self {
        let mut pieces = Self::none(access);
        // So it is told to the device, or not at all.
        let _ = pieces.push(range);
        pieces
    }

    /// All of what is owned, in at most so many pieces.
    ///
    /// # Errors
    /// [`RequestError::Access`], if the memory is for the other direction; [`RequestError::Length`], if there is none;
    /// [`RequestError::Pieces`], if it is in more pieces, or longer than a device can count.
    pub(crate) fn of(
        memory: &impl Memory,
        access: Access,
        most: u16,
    ) -> Result<Self, RequestError> {
        if memory.access() != access {
            return Err(RequestError::Access);
        }
        let ranges = memory.ranges();
        let mut cursor = ranges.cursor();
        let mut pieces = Self::none(access);
        while let Some(range) = cursor.next(u64::MAX) {
            let offset = ranges.bytes() - cursor.remaining() - range.len();
            let pushed = pieces.push(range);
            if pieces.count > most || pushed.is_err() {
                return Err(RequestError::Pieces { offset });
            }
        }
        match pieces.count {
            0 => Err(RequestError::Length),
            _ => Ok(pieces),
        }
    }

    const fn none(access: Access) -> Self {
        Self {
            list: [None; MOST],
            access,
            count: 0,
            bytes: 0,
        }
    }

    /// Adds one, if there is room, and if the bytes of all together can be counted in 32 bits.
    fn push(&mut self, range: DmaRange) -> Result<(), Full> {
        let len = u32::try_from(range.len()).map_err(|_| Full)?;
        let bytes = self.bytes.checked_add(len).ok_or(Full)?;
        let slot = self.list.get_mut(usize::from(self.count)).ok_or(Full)?;
        *slot = Some(range);
        (self.bytes, self.count) = (bytes, self.count + 1);
        Ok(())
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Bytes that the device may write.
    pub(super) const fn writable(&self) -> u32 {
        match self.access {
            Access::FromDevice => self.bytes,
            Access::ToDevice => 0,
        }
    }

    /// Hands out the descriptors, from the number `head` on.
    pub(super) fn write(&self, head: u16, mut put: impl FnMut(u16, [u64; 2])) {
        let last = head + self.count.saturating_sub(1);
        let access = match self.access {
            Access::FromDevice => WRITE,
            Access::ToDevice => 0,
        };
        for (number, range) in (head..).zip(self.list.iter().flatten()) {
            let (next, flags) = match number == last {
                true => (0, access),
                false => (number + 1, access | NEXT),
            };
            let words = descriptor(range.addr().get(), range.len() as u32, flags, next);
            put(number, words);
        }
    }
}

/// There is no room for another piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Full;
