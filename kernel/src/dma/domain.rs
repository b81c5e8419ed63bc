//! Where devices find memory.
//!
//! # The problem
//!
//! A device says an address, and something between it and the memory decides what that means. Often
//! nothing is there, and a device sees memory where the CPU does. On some buses it sees all of it
//! some way further up. And behind an IOMMU it sees what it was told to see, and only for as long.
//!
//! # The idea
//!
//! That something is a [`DmaDomain`]. It takes phyrs and gives bus ranges, and undoes that when the
//! mapping ends. Nobody else knows the difference: drivers get a [`Domain`] with their device, and
//! hand it to [`map`](super::map).
//!
//! - [`Direct`] is no IOMMU: the same numbers. Nothing is made, so nothing is undone. A [`Domain`] that is
//!   direct is known as such without a call, because every request asks.
//! - [`iommu`](crate::iommu) has the domains of VT-d, one for each device.

use super::mapping::DmaError;
use crate::pci::PciAddress;
use alloc::sync::Arc;
use core::fmt;
use phyr::{DmaAddr, DmaList, Phyr, PhyrList, PhysAddr};

/// What a device does with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It does both: memory that a driver shares with it.
    Both,
}

/// A way from memory to the bus.
///
/// # Safety
///
/// - The ranges that [`map`](Self::map) returns are the bytes of the phyrs, in their order, and of
///   nothing else.
/// - After [`unmap`](Self::unmap) the device reaches them by these ranges no more; what it had begun is
///   over. The same is true of a domain that only gives what it gave before ([`Direct`]) in this sense:
///   it adds nothing to what the device could reach anyway.
pub unsafe trait DmaDomain: Send + Sync + fmt::Debug {
    /// Two pieces of memory become neighbours on the bus if the first ends, and the second starts, at
    /// a multiple of this, a power of two. `None` if the domain never makes neighbours of what are none.
    fn granule(&self) -> Option<u64>;

    /// Where the device sees memory without anything being done for it. `None` if it sees nothing
    /// before it is mapped, wherever the memory is.
    fn fixed(&self, phyr: Phyr) -> Option<DmaAddr>;

    /// Where memory must lie, as a limit that is not part of it, so that a device sees none of it above
    /// `last`. `None` if it may lie anywhere.
    fn below(&self, last: DmaAddr) -> Option<PhysAddr>;

    /// Lets the device reach memory, in as few ranges as may be, none of them above `last`.
    ///
    /// All or nothing: after an error the device reaches nothing of it.
    ///
    /// # Errors
    /// Why not, and the list.
    ///
    /// # Safety
    /// The memory is the caller's to give to the device, and stays where it is until it is unmapped.
    #[expect(clippy::result_large_err, reason = "the list comes back by value")]
    unsafe fn map(
        &self,
        list: PhyrList,
        access: Access,
        last: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)>;

    /// Ends what [`map`](Self::map) began. The list is the one that it returned, perhaps cut into
    /// more pieces.
    fn unmap(&self, list: &DmaList);
}

/// The bus of a machine without an IOMMU: a device sees memory where the CPU does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direct;

// SAFETY: on such a bus the numbers are the same, and nothing keeps a device from any memory.
unsafe impl DmaDomain for Direct {
    fn granule(&self) -> Option<u64> {
        None
    }

    fn fixed(&self, phyr: Phyr) -> Option<DmaAddr> {
        Some(phyr.to_same_bus_range().addr())
    }

    fn below(&self, last: DmaAddr) -> Option<PhysAddr> {
        last.get().checked_add(1).map(PhysAddr::new)
    }

    /// The list itself, under another name.
    unsafe fn map(
        &self,
        list: PhyrList,
        _: Access,
        _: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)> {
        Ok(list.to_same_bus_ranges())
    }

    fn unmap(&self, _: &DmaList) {}
}

/// A device's domain, to be kept by its driver and by its mappings.
#[derive(Clone, Debug, Default)]
pub struct Domain(Option<Arc<dyn DmaDomain>>);

impl Domain {
    /// No IOMMU.
    pub const DIRECT: Self = Self(None);

    /// A domain that does something.
    pub fn new(domain: Arc<dyn DmaDomain>) -> Self {
        Self(Some(domain))
    }

    /// Whether bus addresses are physical addresses, and nothing has to be undone.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.0.is_none()
    }
}

impl core::ops::Deref for Domain {
    type Target = dyn DmaDomain;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(domain) => &**domain,
            None => &Direct,
        }
    }
}

/// Who has a domain for each device: an IOMMU.
pub trait Domains: Send + Sync {
    /// A new domain for the device at this address, in which it reaches nothing yet. One that it had before
    /// is its own no more.
    ///
    /// # Errors
    /// If there is no memory for it, or the IOMMU has no number left.
    fn domain(&self, device: PciAddress) -> Result<Domain, DmaError>;
}
