//! What lies behind a mapping: an owner of memory.

use crate::memory::frames::Frames;
use crate::memory::paging::Cache;
use crate::memory::regions::{Provider, Region, RegionError};
use crate::memory::scattered::{self, Scattered};
use alloc::boxed::Box;
use alloc::sync::Arc;
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
///    value, and lets nobody at it; or several have it, as long as none of them writes.) So a program may read
///    and write them, and so may a device.
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

    /// Whose memory it is, if it is no RAM.
    fn provider(&self) -> Option<&Arc<Provider>> {
        None
    }

    /// It is about to be mapped. From now on it is not taken back, until it is
    /// [let go](Self::let_go), or dropped.
    ///
    /// # Errors
    /// If it was taken back before.
    fn hold(&self) -> Result<(), RegionError> {
        Ok(())
    }

    /// It is not mapped after all.
    fn let_go(&self) {}
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

// SAFETY: a region is linear memory that belongs to the value alone, among those whom the kernel knows; there are
// no references to the bytes. The CPU is shown it nowhere but for copies, with the provider's cache mode.
// Its device may vanish, which takes the memory out of the machine, but gives the addresses to nobody else.
unsafe impl Backing for Region {
    fn phyrs(&self) -> Result<PhyrList, ListError> {
        Ok(PhyrList::from(self.phyr()))
    }

    fn cache(&self) -> Cache {
        Region::provider(self).cache()
    }

    fn provider(&self) -> Option<&Arc<Provider>> {
        Some(Region::provider(self))
    }

    /// A program may reach it at any time, as a device may that was told of it.
    fn hold(&self) -> Result<(), RegionError> {
        self.tell().map(drop)
    }

    fn let_go(&self) {
        self.withdraw();
    }
}
