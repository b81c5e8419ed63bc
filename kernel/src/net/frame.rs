//! Frames: owned memory on its way out, and on its way in.

use super::interface::{NetError, Properties, Refusal};
use super::offload::{Checked, Offload, Segmentation};
use crate::dma::Memory;
use crate::memory::regions::RegionError;
use alloc::vec::Vec;

/// A frame to be sent: the bytes of `head`, and then those of `body`, if there is one.
///
/// The card gathers them. Nothing is copied, whatever kinds of memory they are.
#[derive(Debug)]
pub struct Outgoing {
    /// The first bytes, with all headers that the card looks at.
    pub head: Memory,
    /// The others.
    pub body: Option<Memory>,
    /// What the card is to do with it.
    pub offload: Offload,
    /// Whether the memory is to come back, in a [`Sent`] with this tag. If not, it is freed when the card is done.
    pub tag: Option<u64>,
}

impl Outgoing {
    /// A frame in one piece of memory, to be sent as it is. The memory is freed when it has gone.
    #[inline]
    pub const fn new(head: Memory) -> Self {
        Self {
            head,
            body: None,
            offload: Offload {
                checksum: None,
                segmentation: None,
            },
            tag: None,
        }
    }

    /// The same frame, with these bytes behind it.
    #[inline]
    #[must_use]
    pub fn with_body(mut self, body: Memory) -> Self {
        self.body = Some(body);
        self
    }

    /// The same frame, with this to be done by the card.
    #[inline]
    #[must_use]
    pub const fn with_offload(mut self, offload: Offload) -> Self {
        self.offload = offload;
        self
    }

    /// The same frame, whose memory comes back with a tag.
    #[inline]
    #[must_use]
    pub const fn with_tag(mut self, tag: u64) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Bytes of the frame.
    #[inline]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, Memory::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an interface with these properties can send it.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn check(&self, properties: &Properties) -> Result<(), Refusal> {
        let len = self.len();
        let longest = match self.offload.segmentation {
            Some(_) => properties.longest,
            None => properties.longest_unsegmented(),
        };
        let has_empty_body = self.body.as_ref().is_some_and(Memory::is_empty);
        if self.head.len() < ETHERNET || has_empty_body || len > longest {
            return Err(Refusal::Length);
        }
        match properties.offloads.can(&self.offload, len) {
            true => Ok(()),
            false => Err(Refusal::Offload),
        }
    }
}

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;

/// What an interface does not take, and why.
#[derive(Debug)]
pub struct Refused<T> {
    /// As it was.
    pub what: T,
    /// Why. [`Refusal::Full`] passes.
    pub why: Refusal,
}

/// A frame that was sent, or was not.
#[derive(Debug)]
pub struct Sent {
    /// The tag that it came with.
    pub tag: u64,
    /// Its memory. `None` in one case: the card failed, could not be stopped, and may read it for ever.
    pub memory: Option<SentMemory>,
    /// Whether the card has taken it. Nobody knows whether it arrives.
    pub result: Result<(), NetError>,
}

/// The memory of a frame that was sent.
#[derive(Debug)]
pub struct SentMemory {
    /// As it came.
    pub head: Memory,
    /// As it came.
    pub body: Option<Memory>,
}

/// A frame that arrived.
///
/// It lies in memory that was [supplied](super::Interface::supply). Each piece means the bytes of the
/// frame and no others; [`Memory::whole`] means all of the memory again.
#[derive(Debug)]
pub struct Received {
    /// The first bytes, with all headers if the memory has room for them.
    pub first: Memory,
    /// The others, if the frame did not fit. A card that was given enough memory for a frame in one piece
    /// uses one.
    pub rest: Vec<Memory>,
    /// What the card says of its checksum.
    pub checked: Checked,
    /// Of which segments it was joined, if it was.
    pub joined: Option<Segmentation>,
}

impl Received {
    /// Bytes of the frame.
    #[inline]
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Memory::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all of it is in one piece of RAM: then `first` has its [bytes](Memory::bytes).
    #[inline]
    pub fn is_one_piece(&self) -> bool {
        self.rest.is_empty() && self.first.is_ram()
    }

    /// The pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = &Memory> {
        core::iter::once(&self.first).chain(&self.rest)
    }

    /// The memory, in its order.
    pub fn into_pieces(self) -> impl Iterator<Item = Memory> {
        core::iter::once(self.first).chain(self.rest)
    }

    /// Copies bytes of the frame, from `offset` on, until `into` is full.
    ///
    /// # Errors
    /// If the frame ends before, or lies in memory that cannot be copied from.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> Result<(), RegionError> {
        let (mut skip, mut done) = (offset, 0);
        for piece in self.pieces() {
            let here = piece.len().saturating_sub(skip).min(into.len() - done);
            if here > 0 {
                piece.copy_to(skip, &mut into[done..done + here])?;
                done += here;
            }
            skip = skip.saturating_sub(piece.len());
        }
        match done == into.len() {
            true => Ok(()),
            false => Err(RegionError::OutOfRange),
        }
    }
}
