//! The list behind [`PhyrList`](crate::PhyrList) and [`DmaList`](crate::DmaList), and
//! the cursor that walks it. Here are the rules; the storage is a [`Chain`].

use crate::ListError;
use crate::chain::Chain;
use crate::span::Span;
use crate::width::Width;

/// Ranges in order, and the sum of their lengths.
#[derive(Debug)]
pub(crate) struct List<W: Width> {
    chain: Chain<W::Repr>,
    bytes: u64,
}

impl<W: Width> List<W> {
    pub(crate) const fn new() -> Self {
        Self {
            chain: Chain::new(W::FILLER),
            bytes: 0,
        }
    }

    pub(crate) fn single(entry: W::Repr) -> Self {
        Self {
            chain: Chain::single(entry),
            bytes: W::unpack(entry).len(),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.chain.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn get(&self, index: usize) -> Option<W::Repr> {
        self.chain.get(index).copied()
    }

    /// Adds a range at the end, or lengthens the last one if they touch and the width
    /// can hold both as one.
    pub(crate) fn push(&mut self, entry: W::Repr) -> Result<(), ListError> {
        let next = W::unpack(entry);
        let bytes = self.bytes.checked_add(next.len());
        let bytes = bytes.ok_or(ListError::TooLong)?;
        if let Some(last) = self.chain.last_mut()
            && let Some(joined) = Self::join(*last, next)
        {
            *last = joined;
        } else {
            self.chain.push(entry)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds a range at the end as an entry of its own, even if it touches the last one.
    pub(crate) fn push_apart(&mut self, entry: W::Repr) -> Result<(), ListError> {
        let bytes = self.bytes.checked_add(W::unpack(entry).len());
        let bytes = bytes.ok_or(ListError::TooLong)?;
        self.chain.push(entry)?;
        self.bytes = bytes;
        Ok(())
    }

    fn join(last: W::Repr, next: Span) -> Option<W::Repr> {
        W::pack(W::unpack(last).merge(next)?).ok()
    }

    pub(crate) fn clear(&mut self) {
        self.chain.clear();
        self.bytes = 0;
    }

    /// The same entries, one for one, in storage of their own.
    pub(crate) fn try_clone(&self) -> Result<Self, ListError> {
        let mut clone = Self::new();
        for index in 0..self.len() {
            if let Some(entry) = self.get(index) {
                clone.chain.push(entry)?;
            }
        }
        clone.bytes = self.bytes;
        Ok(clone)
    }

    /// Gives every entry the address that `translate` finds for it, in place.
    ///
    /// All or none: all entries are asked about before the first is changed, because
    /// what has been overwritten cannot be brought back.
    pub(crate) fn translate(
        &mut self,
        translate: impl Fn(W::Repr) -> Option<u64>,
    ) -> Result<(), usize> {
        let moved = |entry| {
            let target = Span::new(translate(entry)?, W::unpack(entry).len());
            W::pack(target.ok()?).ok()
        };
        for index in 0..self.len() {
            self.get(index).and_then(&moved).ok_or(index)?;
        }
        for index in 0..self.len() {
            if let Some(entry) = self.chain.get_mut(index) {
                *entry = moved(*entry).expect("the translation gives the same answer twice");
            }
        }
        Ok(())
    }

    pub(crate) fn cursor(&self) -> RawCursor<'_, W> {
        RawCursor {
            buffer: Buffer::List(self),
            index: 0,
            front: self.get(0).map(W::unpack),
            remaining: self.bytes,
        }
    }
}

/// Where a cursor was, for whoever cannot keep the cursor because it cannot keep the borrow.
///
/// [`Default`] is the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    index: usize,
    /// Bytes left of entry `index`; 0 only at the end.
    left: u64,
    remaining: u64,
}

/// A place in a list, at a byte.
#[derive(Debug)]
pub(crate) struct RawCursor<'a, W: Width> {
    buffer: Buffer<'a, W>,
    index: usize,
    /// What is left of entry `index`; `None` only at the end of the list.
    front: Option<Span>,
    remaining: u64,
}

/// What a cursor walks.
#[derive(Debug)]
enum Buffer<'a, W: Width> {
    List(&'a List<W>),
    Single(W::Repr),
}

impl<W: Width> Clone for Buffer<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Width> Copy for Buffer<'_, W> {}

impl<W: Width> Buffer<'_, W> {
    fn get(self, index: usize) -> Option<Span> {
        match (self, index) {
            (Self::List(list), index) => list.get(index).map(W::unpack),
            (Self::Single(entry), 0) => Some(W::unpack(entry)),
            (Self::Single(_), _) => None,
        }
    }
}

impl<W: Width> Clone for RawCursor<'_, W> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<W: Width> RawCursor<'_, W> {
    /// At the start of a buffer of one range, which no list has to hold.
    pub(crate) fn single(entry: W::Repr) -> Self {
        let front = W::unpack(entry);
        Self {
            buffer: Buffer::Single(entry),
            index: 0,
            front: Some(front),
            remaining: front.len(),
        }
    }

    pub(crate) const fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(crate) const fn front(&self) -> Option<Span> {
        self.front
    }

    pub(crate) fn next(&mut self, max: u64, boundary: u64) -> Option<Span> {
        let front = self.front?;
        let piece = front.sub(0, front.piece(max, boundary))?;
        self.take(front, piece.len());
        Some(piece)
    }

    pub(crate) fn advance(&mut self, bytes: u64) -> bool {
        if bytes > self.remaining {
            return false;
        }
        let mut left = bytes;
        while let Some(front) = self.front
            && left > 0
        {
            let step = left.min(front.len());
            self.take(front, step);
            left -= step;
        }
        true
    }

    /// Goes on by `bytes`, which are no more than `front` has.
    fn take(&mut self, front: Span, bytes: u64) {
        self.remaining -= bytes;
        self.front = front.tail(bytes);
        if self.front.is_none() {
            self.index += 1;
            self.front = self.buffer.get(self.index);
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            index: self.index,
            left: self.front.map_or(0, Span::len),
            remaining: self.remaining,
        }
    }

    pub(crate) fn resume(&mut self, place: Place) {
        self.index = place.index;
        self.front = self.buffer.get(place.index).and_then(|entry| {
            let passed = entry.len().checked_sub(place.left)?;
            entry.tail(passed)
        });
        self.remaining = self.front.map_or(0, |_| place.remaining);
    }
}
