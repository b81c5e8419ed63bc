//! A table: a header of 36 bytes, then fields, all little-endian (section 5.2.6).

use super::{Firmware, Flaw, LONGEST};
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// The length of the header that all tables share.
pub(super) const HEADER: usize = 36;

/// A copy of a whole table whose signature, length and checksum are right.
pub(super) struct Table(Vec<u8>);

impl Table {
    pub(super) fn load(
        address: PhysAddr,
        signature: [u8; 4],
        firmware: &impl Firmware,
    ) -> Result<Self, Flaw> {
        let read = |len| {
            Phyr::new(address, len)
                .ok()
                .and_then(|range| firmware.read(range))
                .ok_or(Flaw::Unreadable)
        };
        let header = read(HEADER as u64)?;
        if header.get(..4) != Some(&signature[..]) {
            return Err(Flaw::Signature);
        }
        let len = u64::from(Fields(&header).u32(4)?);
        if len < HEADER as u64 {
            return Err(Flaw::Truncated);
        }
        if len > LONGEST {
            return Err(Flaw::Unreadable);
        }
        let bytes = read(len)?;
        check_sum(&bytes)?;
        Ok(Self(bytes))
    }

    #[cfg(test)]
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.0)
    }
}

/// Fields by offset; one beyond the end is [`Flaw::Truncated`].
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Flaw> {
        let end = offset.checked_add(N).ok_or(Flaw::Truncated)?;
        self.0
            .get(offset..end)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Flaw::Truncated)
    }

    pub(super) fn u8(&self, offset: usize) -> Result<u8, Flaw> {
        self.array::<1>(offset).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&self, offset: usize) -> Result<u16, Flaw> {
        self.array(offset).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, offset: usize) -> Result<u32, Flaw> {
        self.array(offset).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, Flaw> {
        self.array(offset).map(u64::from_le_bytes)
    }
}

/// All bytes of a table add up to zero.
pub(super) fn check_sum(bytes: &[u8]) -> Result<(), Flaw> {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if sum == 0 {
        Ok(())
    } else {
        Err(Flaw::Checksum)
    }
}
