//! What lies behind a mapping: an owner of memory.

use crate::memory::frames::Frames;
use crate::memory::paging::Cache;
use crate::memory::scattered::{self, Scattered};
use alloc::boxed::Box;
use alloc::vec::Vec;
use phyr::{ListError, PhyrList};

/// An owner that a mapping keeps, so that the memory stays there: RAM, or anything else that can vouch
/// for phyrs.
///
/// # Safety
///
/// For as long as the value exists, wherever it is moved:
///
/// 1. *Here*: the phyrs stay memory of this value, and [`phyrs`](Self::phyrs) always answers the same.
/// 2. *Its own*: nobody else uses them, and there is no reference to the bytes. (The mapping has the
///    value, and lets nobody at it.) So a program may read and write them, and so may a device.
/// 3. *Harmless*: any bytes may be written there, and reading changes nothing.
/// 4. *Cached in one way*: wherever else the phyrs are mapped, it is with [`cache`](Self::cache).
pub unsafe trait Backing: Send + Sync + 'static {
    /// Where the memory is, in the order in which it is to be visible. Whole pages.
    ///
    /// # Errors
    /// If there is no memory for the list.
    fn phyrs(&self) -> Result<PhyrList, ListError>;

    /// How it is cached.
    fn cache(&self) -> Cache {
        Cache::WriteBack
    }
}

// SAFETY: frames are RAM that belongs to the value alone and is write-back everywhere.
unsafe impl Backing for Frames {
    fn phyrs(&self) -> Result<PhyrList, ListError> {
        Ok(PhyrList::from(self.phyr()))
    }
}

// SAFETY: as for one, and a list that nobody can reach does not change.
unsafe impl Backing for Vec<Frames> {
    fn phyrs(&self) -> Result<PhyrList, ListError> {
        scattered::phyrs(self)
    }
}

// SAFETY: the frames belong to the value, which shows them to the kernel write-back, too, but only to
// whoever has a reference to it.
unsafe impl Backing for Box<Scattered> {
    fn phyrs(&self) -> Result<PhyrList, ListError> {
        Scattered::phyrs(self)
    }
}
