//! Other memory, where a device cannot use the buffer's own.
//!
//! A device with 28 address lines does not refuse an address of 32 bits: it leaves out the upper four, and
//! writes to somebody else's memory. So [`map`] refuses for it. Whoever would rather pay with a copy than do
//! without calls [`map_or_bounce`], and says so by that.
//!
//! - Only what the device cannot use is copied. Of a buffer that lies half within its reach, that is the
//!   other half.
//! - What a device is to read is copied when the buffer is put on the bus. What it is to write is copied back
//!   when it is taken off. It was copied before as well: bytes that the device left alone are as they
//!   were, and the device has seen nobody else's.
//! - The copies are freed when the device can reach them no more.
//!
//! Other memory is within reach of every address line, and some devices cannot use it all the same: a device that is
//! a program has no way to memory that another program makes of register accesses. For such devices there is
//! [`map_without_io`].

use super::buffer::{Buffer, Direction};
use super::domain::Domain;
use super::limits::DmaLimits;
use super::mapping::{DmaError, DmaMapping, map};
use super::memory::{BufferError, Memory, Phyrs};
use super::ranges::{DmaRanges, Pieces};
use crate::memory::frames::Frames;
use crate::memory::{extents::Request, window::PAGE};
use alloc::vec::Vec;
use phyr::{DmaRange, Phyr, PhyrList};

/// As [`map`], through other memory where it must be.
///
/// # Errors
/// Why not even that, and the memory.
pub fn map_or_bounce<D: Direction>(
    buffer: Buffer<D>,
    domain: &Domain,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, (DmaError, Buffer<D>)> {
    let (error, buffer) = match map(buffer, domain, limits) {
        Ok(mapping) => return Ok(mapping),
        Err(refused) => refused,
    };
    // In the order of what it costs.
    let ways: &[Extent] = match error {
        DmaError::Unreachable { .. } => &[Extent::Unusable, Extent::Everything],
        DmaError::Gap { .. } | DmaError::TooManyPieces { .. } => &[Extent::Everything],
        _ => return Err((error, buffer)),
    };
    let mut error = error;
    for extent in ways {
        match bounce(buffer.memory(), *extent, domain, limits, D::ACCESS, &[]) {
            Ok(ranges) => return Ok(DmaMapping::of(ranges, buffer)),
            Err(why) => error = why,
        }
        if !matches!(error, DmaError::Gap { .. } | DmaError::TooManyPieces { .. }) {
            break;
        }
    }
    Err((error, buffer))
}

/// As [`map`], but what is [I/O only](crate::memory::regions::Kind::is_io_only) is copied, piece by piece.
///
/// # Errors
/// Why not even that, and the memory.
#[inline(always)]
pub fn map_without_io<D: Direction>(
    buffer: Buffer<D>,
    domain: &Domain,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, (DmaError, Buffer<D>)> {
    match buffer.memory().may_be_io_only() {
        false => map(buffer, domain, limits),
        true => without_io(buffer, domain, limits),
    }
}

#[cold]
fn without_io<D: Direction>(
    buffer: Buffer<D>,
    domain: &Domain,
    limits: &DmaLimits,
) -> Result<DmaMapping<D>, (DmaError, Buffer<D>)> {
    let avoided = buffer.memory().io_only();
    if avoided.is_empty() {
        return map(buffer, domain, limits);
    }
    let extent = Extent::Unusable;
    match bounce(buffer.memory(), extent, domain, limits, D::ACCESS, &avoided) {
        Ok(ranges) => Ok(DmaMapping::of(ranges, buffer)),
        Err(error) => Err((error, buffer)),
    }
}

/// How much of a buffer is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What lies where the device cannot use it.
    Unusable,
    /// All of it, to one place.
    Everything,
}

fn bounce(
    memory: &Memory,
    extent: Extent,
    domain: &Domain,
    limits: &DmaLimits,
    access: super::Access,
    avoided: &[Phyr],
) -> Result<DmaRanges, DmaError> {
    let mut plan = Plan {
        memory,
        domain,
        limits,
        avoided,
        list: PhyrList::new(),
        bounced: Bounced::default(),
        at: 0,
    };
    match (extent, memory.phyrs().map_err(DmaError::Buffer)?) {
        (Extent::Everything, _) => plan.copy(memory.len() as u64)?,
        (Extent::Unusable, Phyrs::One(phyr)) => plan.add(phyr)?,
        (Extent::Unusable, Phyrs::List(pieces)) => {
            for phyr in pieces.phyrs() {
                plan.add(phyr)?;
            }
        }
    }
    let mut pieces = Pieces::new(plan.list).ok_or(DmaError::OutOfMemory)?;
    pieces.keep(plan.bounced);
    // SAFETY: the buffer's own memory is the mapping's, which is made of it next, and the other memory is
    // the pieces' own.
    let pieces = unsafe { pieces.map(domain, limits, access) }?;
    Ok(DmaRanges::List(pieces))
}

/// A buffer in the making: some of its own memory, and some other.
struct Plan<'a> {
    memory: &'a Memory,
    domain: &'a Domain,
    limits: &'a DmaLimits,
    /// What the device cannot use wherever it is.
    avoided: &'a [Phyr],
    list: PhyrList,
    bounced: Bounced,
    /// How many bytes of the buffer there are already.
    at: usize,
}

impl Plan<'_> {
    /// Adds the next of the buffer's phyrs, as far as the device can use it, and copies the rest.
    fn add(&mut self, phyr: Phyr) -> Result<(), DmaError> {
        let usable = self.usable(phyr);
        if usable > 0 {
            let head = phyr.sub(0, usable).ok_or(DmaError::OutOfMemory)?;
            self.push(head)?;
            self.at += usable as usize;
        }
        match phyr.len() - usable {
            0 => Ok(()),
            rest => self.copy(rest),
        }
    }

    /// How many bytes at the start of a phyr the device can use where they are.
    fn usable(&self, phyr: Phyr) -> u64 {
        if self.avoided.iter().any(|avoided| avoided.overlaps(phyr)) {
            return 0;
        }
        let Some(addr) = self.domain.fixed(phyr) else {
            // Wherever it is mapped: no page is larger than what it is aligned to there.
            let is_aligned = phyr.addr().is_aligned(self.limits.alignment);
            return if is_aligned { phyr.len() } else { 0 };
        };
        let first = DmaRange::new(addr, 1);
        if !first.is_ok_and(|first| self.limits.reach(first)) {
            return 0;
        }
        // What follows must start at a multiple as well.
        let below = self.limits.last.get() - addr.get();
        let reachable = below.saturating_add(1) & !(self.limits.alignment - 1);
        if reachable < phyr.len() {
            reachable
        } else {
            phyr.len()
        }
    }

    /// Adds a copy of the buffer's next `len` bytes.
    fn copy(&mut self, len: u64) -> Result<(), DmaError> {
        // Memory that is no RAM is copied for those who have asked for that.
        if !self.memory.is_ram() && self.avoided.is_empty() {
            return Err(DmaError::Unreachable { index: 0 });
        }
        let request = Request {
            len: len
                .checked_next_multiple_of(PAGE)
                .ok_or(DmaError::OutOfMemory)?,
            align: self.limits.alignment.max(PAGE),
            below: self.domain.below(self.limits.last),
        };
        let mut frames = Frames::request(request).map_err(|_| DmaError::OutOfMemory)?;
        let bytes = &mut frames.bytes_mut()[..len as usize];
        let copied = self.memory.copy_to(self.at, bytes);
        copied.map_err(|error| DmaError::Buffer(BufferError::Region(error)))?;
        let phyr = frames.phyr().sub(0, len).ok_or(DmaError::OutOfMemory)?;
        self.push(phyr)?;
        self.bounced.keep(self.at, len as usize, frames)?;
        self.at += len as usize;
        Ok(())
    }

    fn push(&mut self, phyr: Phyr) -> Result<(), DmaError> {
        self.list
            .push_apart(phyr)
            .map_err(|_| DmaError::OutOfMemory)
    }
}

/// The memory that a device uses in place of a buffer's own.
#[derive(Debug, Default)]
pub(super) struct Bounced(Vec<Copied>);

#[derive(Debug)]
struct Copied {
    /// Where in the buffer, in bytes.
    at: usize,
    len: usize,
    frames: Frames,
}

impl Bounced {
    fn keep(&mut self, at: usize, len: usize, frames: Frames) -> Result<(), DmaError> {
        self.0.try_reserve(1).map_err(|_| DmaError::OutOfMemory)?;
        self.0.push(Copied { at, len, frames });
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|copied| copied.len as u64).sum()
    }

    /// Copies what the device may have written to where it was meant to go. The device must be done.
    pub(super) fn copy_back(&self, memory: &mut Memory) {
        if self.0.is_empty() {
            return;
        }
        for Copied { at, len, frames } in &self.0 {
            // What was taken back meanwhile cannot be written, and nobody can read it any more.
            let _ = memory.copy_from(*at, &frames.bytes()[..*len]);
        }
    }
}
