//! End-to-end protection information, as the controller makes and checks it (NVM command set
//! specification 1.0, section 5.2). Written without a look at the driver's.

use super::guard::{crc16, crc64};
use super::refused;
use super::shape::Shape;
use nvme::Status;
use nvme::wire::SubmissionEntry;

/// Protection of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    /// Type 1 to 3.
    pub(crate) kind: u8,
    /// Guard of 64 bits, and 16 bytes in all. Otherwise 16 bits and 8 bytes.
    pub(crate) is_wide: bool,
    /// The information is at the start of the metadata, not at its end.
    pub(crate) is_first: bool,
}

impl Protection {
    pub(crate) fn bytes(self) -> usize {
        if self.is_wide { 16 } else { 8 }
    }

    fn reference_mask(self) -> u64 {
        if self.is_wide {
            (1 << 48) - 1
        } else {
            (1 << 32) - 1
        }
    }
}

/// What a command says about protection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instructions {
    pub(crate) act: bool,
    guard: bool,
    application: bool,
    reference: bool,
    tag: u16,
    mask: u16,
    first_reference: u64,
}

impl Instructions {
    /// Those of a command for blocks from `first` on, or why they cannot be.
    pub(crate) fn new(
        entry: &SubmissionEntry,
        protection: Protection,
        first: u64,
    ) -> Result<Self, Status> {
        const INVALID_PROTECTION: u8 = 0x81;
        let info = entry.cdw12_13 as u32 >> 26;
        let low = entry.cdw14_15 & 0xffff_ffff;
        let high = match protection.is_wide {
            true => entry.cdw2_3 >> 32 & 0xffff,
            false => 0,
        };
        let new = Self {
            act: info & 8 != 0,
            guard: info & 4 != 0,
            application: info & 2 != 0,
            reference: info & 1 != 0,
            tag: (entry.cdw14_15 >> 32) as u16,
            mask: (entry.cdw14_15 >> 48) as u16,
            first_reference: high << 32 | low,
        };
        let is_block = new.first_reference == first & protection.reference_mask();
        let is_valid = match protection.kind {
            1 => !new.reference || is_block,
            3 => !new.reference,
            _ => true,
        };
        if is_valid {
            Ok(new)
        } else {
            Err(refused(1, INVALID_PROTECTION))
        }
    }

    fn reference(&self, protection: Protection, index: u64) -> u64 {
        let step = if protection.kind == 3 { 0 } else { index };
        self.first_reference.wrapping_add(step) & protection.reference_mask()
    }
}

/// The guard of a block: over its data, and over the metadata before the information.
fn guard(protection: Protection, data: &[u8], metadata: &[u8]) -> u64 {
    let before = match protection.is_first {
        true => 0,
        false => metadata.len() - protection.bytes(),
    };
    let bytes = data.iter().chain(&metadata[..before]).copied();
    match protection.is_wide {
        true => crc64(bytes),
        false => u64::from(crc16(bytes)),
    }
}

/// Where in the metadata the information is.
fn place(protection: Protection, metadata: &[u8]) -> std::ops::Range<usize> {
    let start = match protection.is_first {
        true => 0,
        false => metadata.len() - protection.bytes(),
    };
    start..start + protection.bytes()
}

/// Puts information into the metadata of a block, as PRACT wants it.
pub(crate) fn insert(
    shape: &Shape,
    protection: Protection,
    told: &Instructions,
    index: u64,
    data: &[u8],
    metadata: &mut Vec<u8>,
) {
    metadata.resize(shape.metadata, 0);
    let guard = guard(protection, data, metadata);
    let reference = told.reference(protection, index);
    let mut bytes = Vec::new();
    match protection.is_wide {
        true => bytes.extend(guard.to_be_bytes()),
        false => bytes.extend((guard as u16).to_be_bytes()),
    }
    bytes.extend(told.tag.to_be_bytes());
    match protection.is_wide {
        true => bytes.extend(&reference.to_be_bytes()[2..]),
        false => bytes.extend((reference as u32).to_be_bytes()),
    }
    let place = place(protection, metadata);
    metadata[place].copy_from_slice(&bytes);
}

/// Checks the information of a block against what the command expects.
pub(crate) fn check(
    protection: Protection,
    told: &Instructions,
    index: u64,
    data: &[u8],
    metadata: &[u8],
) -> Result<(), Status> {
    let bytes = &metadata[place(protection, metadata)];
    let number = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (stored_guard, application, reference) = match protection.is_wide {
        true => (number(0..8), number(8..10) as u16, number(10..16)),
        false => (number(0..2), number(2..4) as u16, number(4..8)),
    };
    let is_escaped = application == u16::MAX
        && (protection.kind != 3 || reference == protection.reference_mask());
    if is_escaped {
        return Ok(());
    }
    if told.guard && stored_guard != guard(protection, data, metadata) {
        return Err(refused(2, 0x82));
    }
    if told.application && (application ^ told.tag) & told.mask != 0 {
        return Err(refused(2, 0x83));
    }
    if told.reference && reference != told.reference(protection, index) {
        return Err(refused(2, 0x84));
    }
    Ok(())
}
