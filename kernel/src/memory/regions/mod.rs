//! Regions: memory that is no RAM, and belongs to its holder alone.
//!
//! # The problem
//!
//! A graphics card has memory, and so has a disk controller; a memory module keeps its content without
//! power; a part of a neighbour's memory may be visible here. A device can read and write all of it as it
//! does RAM. But nobody may treat it as RAM: it can vanish with its device, somebody else may
//! write it at any time, the CPU reaches it slowly or in another order, and no allocator knows it.
//!
//! # The idea
//!
//! Each piece of such memory has a [`Provider`], which knows what [`Kind`] it is, gives it out
//! without overlap, and can take it back. What it gives out is a [`Region`]. Holding one tells you:
//!
//! - these bytes belong to you and to no other holder of a region or of frames;
//! - they are linear memory: what is written at an address is found there again, and reading
//!   changes nothing. (A FIFO, or a window that slides over something, is no region.)
//! - nobody has promised that only you write them: the device they are in may, and for
//!   [shared](Kind::Shared) memory somebody outside of the machine;
//! - the device they are in stays this driver's as long as you hold them.
//!
//! It goes back to its provider when it is dropped. It can be divided and joined by value, which
//! loses nothing. It cannot be copied:
//!
//! ```compile_fail,E0599
//! # use kernel::memory::regions::Region;
//! fn both(region: Region) -> (Region, Region) {
//!     (region.clone(), region)
//! }
//! ```
//!
//! and a description of memory does not make one. So what a device has inside and does not show as
//! memory (the buffer behind a DMA engine, a FIFO) has no way to become one:
//!
//! ```compile_fail,E0423
//! # use kernel::memory::regions::Region;
//! # use phyr::Phyr;
//! fn b8_what_is_only_described_is_no_region(phyr: Phyr) -> Region {
//!     Region(phyr)
//! }
//! ```
//!
//! # Not bytes
//!
//! There is no `&[u8]` of a region, because a reference says that nobody else writes:
//!
//! ```compile_fail,E0599
//! # use kernel::memory::regions::Region;
//! fn d19_a_region_has_no_bytes_to_borrow(region: &Region) -> &[u8] {
//!     region.bytes()
//! }
//! ```
//!
//! The CPU copies [from](Region::read) and [to](Region::write) it instead, by volatile accesses, through a
//! mapping that is made for it with the cache mode that this memory wants.
//!
//! # Taking back
//!
//! A device that leaves takes its memory along. So a provider can be [revoked](Provider::revoke): from
//! then on nothing that it gave out is put on the bus or read any more, whoever holds it. While a
//! device has been told of a region, or a copy is under way, it is *in use*, and then
//! [`try_revoke`](Provider::try_revoke) refuses and [`revoke`](Provider::revoke) waits.

mod access;
mod extents;
mod persist;
mod place;
mod provider;
mod registry;
#[cfg(test)]
mod tests;

pub use persist::{Persist, PersistError, Persisting};
pub use place::{Neighbour, PlaceError, check as check_place};
pub use provider::{ClaimError, InUse, Provider};
pub use registry::{add, find, providers, remove};

use super::mapping::MapError;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use phyr::Phyr;

/// What kind of memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A graphics card's: what is written is seen.
    Video,
    /// Somebody outside of the machine reads and writes it, too.
    Shared,
    /// A storage controller's own, for data on its way (controller memory buffer).
    Controller,
    /// It outlasts the loss of power.
    Persistent,
    /// A device's, and more is not known of it.
    Device,
}

impl Kind {
    /// Whether a hypervisor makes it of register accesses: each load and store of the CPU is a call of the program that
    /// is the device. Other devices reach it the way that the CPU does. But one that is a program and wants to
    /// look at memory as memory, as virtio devices do, cannot, or not at more than a page of it at a time.
    pub const fn is_io_only(self) -> bool {
        matches!(self, Self::Controller)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video memory",
            Self::Shared => "shared memory",
            Self::Controller => "controller memory",
            Self::Persistent => "persistent memory",
            Self::Device => "device memory",
        })
    }
}

/// Why the CPU cannot read or write a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionError {
    /// Not all of the bytes are inside.
    OutOfRange,
    /// Its provider has taken it back. Nothing can be done with it but to drop it.
    Revoked,
    /// It could not be mapped.
    Map(MapError),
    /// It is pinned memory that may not be copied like this: to be read only, or no RAM.
    NoCopy,
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("not all of the bytes are inside the region"),
            Self::Revoked => f.write_str("the memory was taken back: its device is leaving"),
            Self::Map(error) => write!(f, "{error}"),
            Self::NoCopy => f.write_str("this pinned memory cannot be copied like that"),
        }
    }
}

impl core::error::Error for RegionError {}

/// Owned memory that is no RAM.
///
/// The [module](self) says what holding one tells you.
#[derive(Debug)]
// In a box, so that a request carries a word, whatever it owns.
pub struct Region(Box<Inner>);

#[derive(Debug)]
struct Inner {
    phyr: Phyr,
    provider: Arc<Provider>,
    /// A device has been told of it. It counts as in use once, however often that happens.
    is_told: AtomicBool,
    /// Its memory is another region's now.
    is_void: bool,
}

impl Region {
    /// `phyr` was taken from the provider's free memory.
    fn new(phyr: Phyr, provider: Arc<Provider>) -> Self {
        Self(Box::new(Inner {
            phyr,
            provider,
            is_told: AtomicBool::new(false),
            is_void: false,
        }))
    }

    /// Where the memory is.
    #[inline]
    pub fn phyr(&self) -> Phyr {
        self.0.phyr
    }

    /// Who has given it out.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.0.provider
    }

    /// What kind of memory it is.
    pub fn kind(&self) -> Kind {
        self.0.provider.kind()
    }

    /// Divides the region `offset` bytes from its start; or gives it back, if one part would be empty.
    pub fn split_at(mut self, offset: u64) -> Result<(Self, Self), Self> {
        match self.phyr().split_at(offset) {
            Some((front, back)) => {
                self.withdraw();
                self.0.phyr = front;
                let back = Self::new(back, self.provider().clone());
                Ok((self, back))
            }
            None => Err(self),
        }
    }

    /// Joins the region with the one right behind it; or gives both back, if they do not touch in
    /// this order, or are not of the same provider. Two devices' memory may touch and stays apart.
    pub fn join(mut self, mut next: Self) -> Result<Self, (Self, Self)> {
        let same = Arc::ptr_eq(self.provider(), next.provider());
        match self.phyr().try_merge(next.phyr()) {
            Ok(phyr) if same => {
                self.withdraw();
                self.0.phyr = phyr;
                next.0.is_void = true;
                Ok(self)
            }
            _ => Err((self, next)),
        }
    }

    /// A device is about to be told where it is: it is in use from now on.
    ///
    /// # Errors
    /// If its provider has taken it back.
    pub(crate) fn tell(&self) -> Result<Phyr, RegionError> {
        if self.0.is_told.swap(true, Ordering::AcqRel) {
            return Ok(self.phyr());
        }
        match self.0.provider.enter() {
            Ok(()) => Ok(self.phyr()),
            Err(error) => {
                self.0.is_told.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    /// No device knows of it any more: its holder has it by value.
    pub(crate) fn withdraw(&self) {
        if self.0.is_told.swap(false, Ordering::AcqRel) {
            self.0.provider.leave();
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.withdraw();
        if !self.0.is_void {
            self.0.provider.release(self.0.phyr);
        }
    }
}
