//! One buffer of several owned pieces, of any kinds.
//!
//! A device takes a list of ranges and does not ask what is behind them. So one request can fill a
//! page of RAM, a part of a graphics card's memory, and a window that is shared with a neighbour, in this order. A
//! [`Mixed`] owns such pieces; together they are one logical buffer.
//!
//! - The pieces stay what they are, and come [back](Mixed::into_pieces) as what they were.
//! - What kind a piece is, is known by its owner and is nowhere in its phyr. So pieces of different
//!   providers are never joined, even where their addresses touch.
//!
//! ```compile_fail,E0599
//! # use kernel::dma::Mixed;
//! fn twice(mixed: Mixed) -> [Mixed; 2] {
//!     [mixed.clone(), mixed]
//! }
//! ```

use super::memory::{BufferError, Memory, Phyrs};
use super::owner::Owner;
use super::ranges::Pieces;
use crate::memory::regions::RegionError;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use phyr::{ListError, Phyr, PhyrList};

/// Owned pieces in order.
#[derive(Debug, Default)]
pub struct Mixed {
    pieces: Vec<Memory>,
    len: usize,
}

impl Mixed {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }

    /// Adds a piece at the end.
    ///
    /// # Panics
    /// If all pieces together are longer than the address space.
    pub fn push(&mut self, piece: impl Owner) {
        let piece = piece.into_memory();
        let len = self.len.checked_add(piece.len());
        self.len = len.expect("what is owned is not longer than the address space");
        self.pieces.push(piece);
    }

    /// The bytes of all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Memory] {
        &self.pieces
    }

    /// The pieces, each of which [`Owner::from_memory`] turns into what it was.
    pub fn into_pieces(self) -> Vec<Memory> {
        self.withdraw();
        self.pieces
    }

    /// Whether all pieces may be written.
    pub(super) fn is_writable(&self) -> bool {
        self.pieces.iter().all(Memory::is_writable)
    }

    pub(super) fn withdraw(&self) {
        self.pieces.iter().for_each(Memory::withdraw);
    }

    /// Where these bytes lie. Pieces of one provider are joined where they touch.
    pub(super) fn phyrs(&self, bytes: Range<usize>) -> Result<Phyrs, BufferError> {
        let mut list = PhyrList::new();
        let mut last: Option<&Memory> = None;
        let (mut skip, mut left) = (bytes.start as u64, bytes.len() as u64);
        for piece in &self.pieces {
            let here = piece.len() as u64;
            if skip >= here || left == 0 {
                skip = skip.saturating_sub(here);
                continue;
            }
            let mut apart = last.is_some_and(|last| !same_provider(last, piece));
            let mut push = |phyr: Phyr| -> Result<(), ListError> {
                if skip >= phyr.len() {
                    skip -= phyr.len();
                    return Ok(());
                }
                let take = (phyr.len() - skip).min(left);
                let Some(part) = phyr.sub(skip, take) else {
                    return Ok(());
                };
                (skip, left) = (0, left - take);
                // Within a piece all is joined that can be.
                match core::mem::replace(&mut apart, true) {
                    true => list.push_apart(part),
                    false => list.push(part),
                }
            };
            let pushed = match piece.phyrs()? {
                Phyrs::One(phyr) => push(phyr),
                Phyrs::List(pieces) => pieces.phyrs().iter().try_for_each(push),
            };
            pushed.map_err(BufferError::List)?;
            last = Some(piece);
        }
        match (list.len(), list.first()) {
            (0, _) => Err(BufferError::Empty),
            (1, Some(only)) => Ok(Phyrs::One(only)),
            _ => Ok(Phyrs::List(
                Pieces::new(list).ok_or(BufferError::OutOfMemory)?,
            )),
        }
    }

    pub(super) fn copy_to(&self, start: usize, into: &mut [u8]) -> Result<(), RegionError> {
        let (mut skip, mut done) = (start, 0);
        for piece in &self.pieces {
            let here = piece.len().saturating_sub(skip).min(into.len() - done);
            if here > 0 {
                piece.copy_to(skip, &mut into[done..done + here])?;
                done += here;
            }
            skip = skip.saturating_sub(piece.len());
        }
        Ok(())
    }

    pub(super) fn copy_from(&mut self, start: usize, from: &[u8]) -> Result<(), RegionError> {
        let (mut skip, mut done) = (start, 0);
        for piece in &mut self.pieces {
            let here = piece.len().saturating_sub(skip).min(from.len() - done);
            if here > 0 {
                piece.copy_from(skip, &from[done..done + here])?;
                done += here;
            }
            skip = skip.saturating_sub(piece.len());
        }
        Ok(())
    }
}

/// Whether two pieces are memory of one provider. All RAM is.
fn same_provider(one: &Memory, other: &Memory) -> bool {
    match (one.provider(), other.provider()) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => one.is_ram() && other.is_ram(),
        _ => false,
    }
}
