//! A chain before it is sent: where its memory is, and what the device may do there.

use crate::chain::{NEXT, WRITE, descriptor};
use crate::error::RequestError;
use crate::memory::{Access, Memory};
use phyr::DmaRange;

/// Most pieces of a chain.
const MOST: usize = 16;

/// What a chain must not have more of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Pieces, those that are there already among them.
    pub(crate) pieces: u16,
    /// Bytes that are added.
    pub(crate) bytes: u32,
}

/// The pieces of a chain, in order: first what the device reads, then what it writes (section 2.7.4.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    list: [Option<DmaRange>; MOST],
    /// So many of them the device reads. It writes the others.
    read: u16,
    count: u16,
    /// Bytes of all of them.
    bytes: u32,
    /// Bytes that the device may write, or may say so.
    writable: u32,
}

impl Pieces {
    /// No piece yet.
    pub(crate) const fn none() -> Self {
        Self {
            list: [None; MOST],
            read: 0,
            count: 0,
            bytes: 0,
            writable: 0,
        }
    }

    /// One piece of bytes that a descriptor can count.
    pub(crate) fn one(range: DmaRange, access: Access) -> Self {
        let mut pieces = Self::none();
        // So it is told to the device, or not at all.
        let _ = pieces.push(range, access);
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
        let mut pieces = Self::none();
        let added = pieces.add(
            memory,
            0,
            access,
            Most {
                pieces: most,
                bytes: u32::MAX,
            },
        )?;
        match memory.ranges().bytes() > added.into() {
            true => Err(RequestError::Pieces {
                offset: added.into(),
            }),
            false => Ok(pieces),
        }
    }

    /// Adds what is owned, from its byte `skip` on, as far as it fits. Returns how many bytes that are.
    ///
    /// # Errors
    /// [`RequestError::Access`], if the memory is for the other direction; [`RequestError::Length`], if there is nothing
    /// behind `skip`; [`RequestError::Pieces`], if not even a byte fits.
    pub(crate) fn add(
        &mut self,
        memory: &impl Memory,
        skip: u64,
        access: Access,
        most: Most,
    ) -> Result<u32, RequestError> {
        if memory.access() != access {
            return Err(RequestError::Access);
        }
        let ranges = memory.ranges();
        let mut cursor = ranges.cursor();
        if skip >= ranges.bytes() || !cursor.advance(skip) {
            return Err(RequestError::Length);
        }
        let mut left = most.bytes;
        while left > 0
            && self.count < most.pieces
            && let Some(range) = cursor.next(left.into())
            && self.push(range, access).is_ok()
        {
            left -= range.len() as u32;
        }
        match most.bytes - left {
            0 => Err(RequestError::Pieces { offset: skip }),
            added => Ok(added),
        }
    }

    /// Adds one, if there is room, and if the bytes of all together can be counted in 32 bits. What the device reads
    /// comes before what it writes.
    pub(crate) fn push(&mut self, range: DmaRange, access: Access) -> Result<(), Full> {
        let len = u32::try_from(range.len()).map_err(|_| Full)?;
        let bytes = self.bytes.checked_add(len).ok_or(Full)?;
        let slot = self.list.get_mut(usize::from(self.count)).ok_or(Full)?;
        match access {
            Access::ToDevice if self.read < self.count => return Err(Full),
            Access::ToDevice => self.read += 1,
            Access::FromDevice => self.writable += len,
        }
        *slot = Some(range);
        (self.bytes, self.count) = (bytes, self.count + 1);
        Ok(())
    }

    /// Of what it only reads, the device may say that it has written it. That harms nobody, because nobody looks at it.
    pub(crate) fn with_any_length(self) -> Self {
        let writable = self.bytes;
        Self { writable, ..self }
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Bytes that the device may write, or may say so.
    pub(super) const fn writable(&self) -> u32 {
        self.writable
    }

    /// Hands out the descriptors, from the number `head` on.
    pub(super) fn write(&self, head: u16, mut put: impl FnMut(u16, [u64; 2])) {
        let last = head + self.count.saturating_sub(1);
        let written = head + self.read;
        for (number, range) in (head..).zip(self.list.iter().flatten()) {
            let access = if number < written { 0 } else { WRITE };
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
pub(crate) struct Full;
