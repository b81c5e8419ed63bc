//! The bytes of memory: borrowed, where it is RAM that belongs to its holder alone; copied, whatever it is.

use super::{Holder, Memory};
use crate::memory::regions::RegionError;
use core::ops::Range;

const NOT_ALONE: &str =
    "pinned memory is its program's, too, and has no bytes to borrow: copy them";

const NO_RAM: &str = "memory that is no RAM has no bytes to borrow: copy them";

impl Memory {
    /// The bytes of the part.
    ///
    /// # Panics
    /// If it is not [RAM](Self::is_ram): such memory has no bytes to borrow.
    /// Nor has pinned memory, which a program may write at any time.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.holder {
            // Most frames arrive in such memory.
            Holder::Bytes(bytes) => &bytes[self.start..][..self.len],
            _ => self.bytes_of_others(),
        }
    }

    fn bytes_of_others(&self) -> &[u8] {
        match &self.holder {
            Holder::Frames(frames) => &frames.bytes()[self.start..][..self.len],
            Holder::Scattered(scattered) => &scattered.bytes()[self.start..][..self.len],
            Holder::Bytes(bytes) => &bytes[self.start..][..self.len],
            Holder::Common(all) => &all.bytes()[self.start..][..self.len],
            Holder::Pinned(_) => panic!("{NOT_ALONE}"),
            Holder::Region(_) | Holder::Mixed(_) => panic!("{NO_RAM}"),
            Holder::Shared(at) | Holder::Exclusive(at) => {
                let start = core::ptr::with_exposed_provenance::<u8>(at.get() as usize);
                let start = start.wrapping_add(self.start);
                // SAFETY: the bytes are borrowed for `self`, by the contract of `shared` and
                // `exclusive`; `part` stays within them.
                unsafe { core::slice::from_raw_parts(start, self.len) }
            }
        }
    }

    /// The bytes of the part, to be changed.
    ///
    /// # Panics
    /// If they are borrowed to be read, [common](crate::dma::Common), or not [RAM](Self::is_ram).
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.holder {
            Holder::Frames(frames) => &mut frames.bytes_mut()[self.start..][..self.len],
            Holder::Scattered(scattered) => &mut scattered.bytes_mut()[self.start..][..self.len],
            Holder::Bytes(bytes) => &mut bytes[self.start..][..self.len],
            Holder::Pinned(_) => panic!("{NOT_ALONE}"),
            Holder::Region(_) | Holder::Mixed(_) => panic!("{NO_RAM}"),
            Holder::Shared(_) => panic!("memory that was lent to be read is to be written"),
            Holder::Common(_) => panic!("memory that others read is to be written"),
            Holder::Exclusive(at) => {
                let start = core::ptr::with_exposed_provenance_mut::<u8>(at.get() as usize);
                let start = start.wrapping_add(self.start);
                // SAFETY: the bytes are mutably borrowed for `self`, by the contract of `exclusive`;
                // `part` stays within them, and `self` is borrowed exclusively.
                unsafe { core::slice::from_raw_parts_mut(start, self.len) }
            }
        }
    }

    /// Copies bytes of the part, from `offset` on, until `into` is full. Any kind of memory can be
    /// copied from.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> Result<(), RegionError> {
        let part = self.inside(offset, into.len())?;
        match &self.holder {
            Holder::Region(region) => region.read(part.start as u64, into),
            Holder::Mixed(mixed) => mixed.copy_to(part.start, into),
            Holder::Common(all) => all.copy_to(part.start, into),
            Holder::Pinned(pinned) => pinned
                .copy_to(part.start as u64, into)
                .map_err(|_| RegionError::NoCopy),
            _ => {
                into.copy_from_slice(&self.bytes()[offset..][..into.len()]);
                Ok(())
            }
        }
    }

    /// Copies `from` to the bytes of the part from `offset` on. Any kind of memory can be copied to.
    ///
    /// # Panics
    /// If it is borrowed to be read, or [common](crate::dma::Common).
    pub fn copy_from(&mut self, offset: usize, from: &[u8]) -> Result<(), RegionError> {
        let part = self.inside(offset, from.len())?;
        match &mut self.holder {
            Holder::Region(region) => region.write(part.start as u64, from),
            Holder::Mixed(mixed) => mixed.copy_from(part.start, from),
            Holder::Pinned(pinned) => pinned
                .copy_from(part.start as u64, from)
                .map_err(|_| RegionError::NoCopy),
            _ => {
                self.bytes_mut()[offset..][..from.len()].copy_from_slice(from);
                Ok(())
            }
        }
    }

    /// `len` bytes at `offset` of the part, counted from the start of what is held.
    fn inside(&self, offset: usize, len: usize) -> Result<Range<usize>, RegionError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        let end = end.ok_or(RegionError::OutOfRange)?;
        Ok(self.start + offset..self.start + end)
    }
}
