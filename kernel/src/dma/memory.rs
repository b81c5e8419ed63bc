//! Owned memory of any kind, as one small type.
//!
//! # The problem
//!
//! A device that reads or writes memory on its own is a user that no compiler knows of. The memory
//! must stay where it is, and must not be used again, until the device has said that it is done;
//! and whoever started the transfer may lose interest long before. A borrow cannot express that: it
//! ends when its function does.
//!
//! # The idea
//!
//! So a request *owns* its memory. A [`Memory`] is frames, or scattered frames, or bytes on the
//! heap, or the memory of a program that is pinned, or a [region](crate::memory::regions) of memory that
//! is no RAM, or [several](Mixed) of them, and which part of them is meant. It is handed on by value: to the block layer, to a
//! driver's queue, and back. Whoever has it knows that nobody else has it, and whoever drops the
//! future of a request does not drop the memory, which is in the queue's slot by then.
//!
//! Holding a [`Memory`] tells you:
//!
//! - the bytes belong to you alone, and no device was told to use them (but for pinned memory, which is
//!   its program's, too, so nobody can borrow its bytes);
//! - they stay where they are, however often you move the `Memory`;
//! - they are initialized: there is always something to read.
//!
//! What kind of memory it is makes no difference on its way to a device. It does for the CPU: RAM has
//! [bytes](Memory::bytes), and everything has [`copy_to`](Memory::copy_to) and
//! [`copy_from`](Memory::copy_from).
//!
//! It is five words, allocates nothing, and has no lifetime. [`Owner`](super::Owner) turns the types that programs
//! have into it and back.

mod bytes;

use super::mixed::Mixed;
use super::ranges::Pieces;
use crate::memory::address_space::Pinned;
use crate::memory::frames::{Frames, window};
use crate::memory::paging;
use crate::memory::pins::Access;
use crate::memory::regions::{Provider, Region, RegionError};
use crate::memory::scattered::Scattered;
use crate::memory::virt::{VirtAddr, VirtRange};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use phyr::{ListError, Phyr, PhyrList};

/// Why memory cannot be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferError {
    /// A transfer of nothing.
    Empty,
    /// The bytes are not mapped, or there is no memory for their list.
    Translate(paging::MapError),
    /// There is no memory for their list.
    OutOfMemory,
    /// It is in memory that was taken back.
    Region(RegionError),
    /// It is in many pieces, and there is no memory for the list of them.
    List(ListError),
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is nothing to transfer"),
            Self::Translate(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for a list of ranges"),
            Self::Region(error) => write!(f, "{error}"),
            Self::List(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for BufferError {}

/// Owned memory, and which part of it is meant.
#[derive(Debug)]
pub struct Memory {
    holder: Holder,
    /// Where the part begins, in bytes from the start of what is held.
    start: usize,
    /// The bytes of the part.
    len: usize,
}

const _: () = assert!(size_of::<Option<Memory>>() == 40);

/// What is held.
#[derive(Debug)]
pub(super) enum Holder {
    Frames(Frames),
    Scattered(Box<Scattered>),
    Bytes(Vec<u8>),
    Pinned(Box<Pinned>),
    Region(Region),
    Mixed(Box<Mixed>),
    /// Memory that others may have parts of, too. Nobody writes it.
    Common(Arc<Memory>),
    /// Bytes at this address, which a function that is still running has borrowed for this.
    Shared(VirtAddr),
    /// Bytes at this address, which a function that is still running has mutably borrowed for this.
    Exclusive(VirtAddr),
}

/// Where memory lies.
#[derive(Debug)]
pub enum Phyrs {
    /// In one piece.
    One(Phyr),
    /// In more than one.
    List(Pieces),
}

impl Memory {
    /// All of what is held, which has so many bytes.
    #[inline]
    pub(super) fn of(holder: Holder, len: usize) -> Self {
        let start = 0;
        Self { holder, start, len }
    }

    /// What is held, if it is what is looked for. No device knows of it any more.
    #[inline]
    pub(super) fn release<T>(
        self,
        take: impl FnOnce(Holder) -> Result<T, Holder>,
    ) -> Result<T, Self> {
        self.withdraw();
        let Self { holder, start, len } = self;
        take(holder).map_err(|holder| Self { holder, start, len })
    }

    /// No memory at all.
    #[inline]
    pub(super) const fn none() -> Self {
        Self {
            holder: Holder::Bytes(Vec::new()),
            start: 0,
            len: 0,
        }
    }

    /// Memory that is borrowed, to be read.
    ///
    /// # Safety
    /// The bytes are borrowed until this value is dropped or back with the caller; if neither
    /// happens, for ever.
    pub(super) unsafe fn shared(bytes: &[u8]) -> Self {
        Self {
            holder: Holder::Shared(VirtAddr::of(bytes)),
            start: 0,
            len: bytes.len(),
        }
    }

    /// Memory that is borrowed, to be written.
    ///
    /// # Safety
    /// As for [`shared`](Self::shared), and the borrow is mutable.
    pub(super) unsafe fn exclusive(bytes: &mut [u8]) -> Self {
        Self {
            holder: Holder::Exclusive(VirtAddr::of(core::ptr::from_mut(bytes))),
            start: 0,
            len: bytes.len(),
        }
    }

    /// Whether it stands for this borrow.
    pub(super) fn is_loan_of(&self, bytes: &[u8]) -> bool {
        match self.holder {
            Holder::Shared(at) | Holder::Exclusive(at) => at == VirtAddr::of(bytes),
            _ => false,
        }
    }

    /// Whether it may be written: all that is not borrowed, or pinned, to be read.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        match &self.holder {
            Holder::Shared(_) | Holder::Common(_) => false,
            Holder::Pinned(pinned) => pinned.access() == Access::Write,
            Holder::Mixed(mixed) => mixed.is_writable(),
            _ => true,
        }
    }

    /// Whether it is RAM, all of it in one piece for the CPU: then it has [bytes](Self::bytes).
    #[inline]
    pub fn is_ram(&self) -> bool {
        match &self.holder {
            Holder::Region(_) | Holder::Mixed(_) | Holder::Pinned(_) => false,
            Holder::Common(all) => all.is_ram(),
            _ => true,
        }
    }

    /// Whose memory it is, if it is no RAM and of one kind.
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        match &self.holder {
            Holder::Region(region) => Some(region.provider()),
            Holder::Common(all) => all.provider(),
            _ => None,
        }
    }

    /// Whether any of it may be [I/O only](crate::memory::regions::Kind::is_io_only): RAM in one piece is not.
    #[inline]
    pub(super) fn may_be_io_only(&self) -> bool {
        match &self.holder {
            Holder::Region(_) | Holder::Mixed(_) => true,
            Holder::Common(all) => all.may_be_io_only(),
            _ => false,
        }
    }

    /// The providers' memory of which some of it is, and that is I/O only.
    pub(super) fn io_only(&self) -> Vec<Phyr> {
        match &self.holder {
            Holder::Region(region) if region.kind().is_io_only() => {
                alloc::vec![region.provider().phyr()]
            }
            Holder::Mixed(mixed) => mixed.pieces().iter().flat_map(Self::io_only).collect(),
            Holder::Common(all) => all.io_only(),
            _ => Vec::new(),
        }
    }

    /// The length of the part in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Means only these bytes from now on, counted from the start of the present part; or gives
    /// the memory back as it was, if they are not inside.
    pub fn part(mut self, bytes: Range<usize>) -> Result<Self, Self> {
        if bytes.start > bytes.end || bytes.end > self.len {
            return Err(self);
        }
        self.withdraw();
        self.start += bytes.start;
        self.len = bytes.len();
        Ok(self)
    }

    /// Means all of what is held again.
    #[inline]
    pub fn whole(mut self) -> Self {
        // Most frames arrive in such memory.
        if let Holder::Bytes(bytes) = &self.holder {
            (self.start, self.len) = (0, bytes.len());
            return self;
        }
        self.whole_of_others()
    }

    fn whole_of_others(mut self) -> Self {
        self.withdraw();
        let len = match &self.holder {
            Holder::Frames(frames) => frames.phyr().len() as usize,
            Holder::Scattered(scattered) => scattered.bytes().len(),
            Holder::Bytes(bytes) => bytes.len(),
            Holder::Pinned(pinned) => pinned.len() as usize,
            Holder::Region(region) => region.phyr().len() as usize,
            Holder::Mixed(mixed) => mixed.len(),
            Holder::Common(all) => all.len(),
            // What is borrowed never leaves the function that borrowed it as a whole.
            Holder::Shared(_) | Holder::Exclusive(_) => return self,
        };
        self.start = 0;
        self.len = len;
        self
    }

    /// Where the part lies. Nothing is allocated, and no lock is taken, for what is in one piece in
    /// the direct map: frames are, and so is the heap.
    ///
    /// A region counts as in use from here on, until the memory is the caller's again by value: by
    /// [`part`](Self::part), [`whole`](Self::whole), its [owner](super::Owner), or its end.
    #[inline(always)]
    pub fn phyrs(&self) -> Result<Phyrs, BufferError> {
        if let Holder::Frames(frames) = &self.holder {
            let part = frames.phyr().sub(self.start as u64, self.len as u64);
            return part.map(Phyrs::One).ok_or(BufferError::Empty);
        }
        self.elsewhere(self.start..self.start + self.len)
    }

    /// Where these bytes of what is held lie. They are inside of the part.
    fn elsewhere(&self, part: Range<usize>) -> Result<Phyrs, BufferError> {
        let (start, len) = (part.start, part.len());
        match &self.holder {
            Holder::Frames(frames) => {
                let part = frames.phyr().sub(start as u64, len as u64);
                return part.map(Phyrs::One).ok_or(BufferError::Empty);
            }
            Holder::Common(all) => {
                let start = all.start + start;
                return all.elsewhere(start..start + len);
            }
            Holder::Pinned(pinned) => {
                let start = start as u64;
                return part_of(pinned.phyrs(), start..start + len as u64);
            }
            Holder::Region(region) => {
                let part = region.phyr().sub(start as u64, len as u64);
                let part = part.ok_or(BufferError::Empty)?;
                region.tell().map_err(BufferError::Region)?;
                return Ok(Phyrs::One(part));
            }
            Holder::Mixed(mixed) => return mixed.phyrs(part),
            _ => {}
        }
        let bytes = &self.bytes()[start - self.start..][..len];
        let range = VirtRange::of(bytes).ok_or(BufferError::Empty)?;
        if let Some(phyr) = window().phyr(range) {
            return Ok(Phyrs::One(phyr));
        }
        let list = crate::memory::translate(range).map_err(BufferError::Translate)?;
        Ok(match (list.len(), list.first()) {
            (1, Some(only)) => Phyrs::One(only),
            _ => Phyrs::List(Pieces::new(list).ok_or(BufferError::OutOfMemory)?),
        })
    }

    /// No device knows of it any more: somebody has it by value.
    #[inline]
    pub(super) fn withdraw(&self) {
        match &self.holder {
            Holder::Region(region) => region.withdraw(),
            Holder::Mixed(mixed) => mixed.withdraw(),
            _ => {}
        }
    }
}

/// Where a part of a list lies.
fn part_of(list: &PhyrList, part: Range<u64>) -> Result<Phyrs, BufferError> {
    let len = part.end - part.start;
    let mut cursor = list.cursor();
    if len == 0 || !cursor.advance(part.start) || cursor.remaining() < len {
        return Err(BufferError::Empty);
    }
    let first = cursor.next(len).ok_or(BufferError::Empty)?;
    if first.len() == len {
        return Ok(Phyrs::One(first));
    }
    let mut part = PhyrList::from(first);
    while let Some(piece) = cursor.next(len - part.bytes()) {
        // What could be joined is. The rest may be another's.
        part.push_apart(piece).map_err(BufferError::List)?;
    }
    Ok(Phyrs::List(
        Pieces::new(part).ok_or(BufferError::OutOfMemory)?,
    ))
}
