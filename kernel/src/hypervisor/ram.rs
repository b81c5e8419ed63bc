//! What a guest's memory can be made of.

use crate::dma::Owner;
use crate::memory::frames::Frames;
use crate::memory::paging::MapError;
use crate::memory::scattered::Scattered;
use crate::memory::virt::VirtRange;
use alloc::boxed::Box;
use phyr::PhyrList;

/// Owned RAM, of whole pages. A request can own it too, so a device can reach it.
///
/// Only this module implements it. It relies on what [`Owner`] says of these types: the memory stays
/// where it is, and belongs to the value alone.
pub trait Ram: Owner {
    /// Where it is, in the order in which the guest sees it.
    ///
    /// # Errors
    /// If there is no memory for the list.
    fn phyrs(&self) -> Result<PhyrList, MapError>;

    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// The bytes, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl Ram for Frames {
    fn phyrs(&self) -> Result<PhyrList, MapError> {
        let mut list = PhyrList::new();
        list.push(self.phyr()).map_err(MapError::List)?;
        Ok(list)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes_mut()
    }
}

impl Ram for Box<Scattered> {
    fn phyrs(&self) -> Result<PhyrList, MapError> {
        let range = VirtRange::of((**self).bytes()).expect("frames have bytes");
        crate::memory::translate(range)
    }

    fn bytes(&self) -> &[u8] {
        (**self).bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        (**self).bytes_mut()
    }
}
