//! Base address registers: how large, what kind (PCI Local Bus specification 3.0, section 6.2.5).
//!
//! A BAR says its size when all ones are written: the bits that stay zero are the size.
//! Decoding must be off meanwhile, because the register holds a nonsense address.

use super::{ConfigSpace, PciAddress, header};
use phyr::Phyr;

/// What a BAR may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKind {
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two registers.
    Memory64,
    /// I/O ports. The kernel assigns none.
    Io,
}

/// A BAR as the device describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The register, 0 to 5.
    pub index: u8,
    /// The bytes it decodes, a power of two; 0 where the register does not describe any size.
    pub len: u64,
    /// Where it may be placed.
    pub kind: BarKind,
    /// Whether reads have no side effects.
    pub prefetchable: bool,
}

impl Need {
    /// A register that decodes something, but does not say properly what.
    fn unusable(index: u8, kind: BarKind) -> Self {
        Self {
            index,
            len: 0,
            kind,
            prefetchable: false,
        }
    }

    /// Whether there is no place that it could be given.
    pub fn is_unusable(&self) -> bool {
        self.len == 0
    }
}

/// A BAR that has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The register, 0 to 5.
    pub index: u8,
    /// The device memory behind it.
    pub phyr: Phyr,
    /// Whether reads have no side effects.
    pub prefetchable: bool,
}

/// The BARs of a function. `registers` is 6 for endpoints and 2 for bridges.
///
/// A register that is implemented and makes no sense is among them, with the length 0: it, too,
/// decodes whatever address it holds once decoding is on.
///
/// Decoding of memory and I/O must be off.
pub fn size(
    config: &impl ConfigSpace,
    address: PciAddress,
    registers: u8,
) -> impl Iterator<Item = Need> {
    let mut index = 0;
    core::iter::from_fn(move || {
        while index < registers {
            let current = index;
            let (need, taken) = size_one(config, address, current, registers);
            index += taken;
            if need.is_some() {
                return need;
            }
        }
        None
    })
}

/// One BAR, and how many registers it takes.
fn size_one(
    config: &impl ConfigSpace,
    address: PciAddress,
    index: u8,
    registers: u8,
) -> (Option<Need>, u8) {
    let offset = header::FIRST_BAR + 4 * u16::from(index);
    let probe = |offset| {
        let before = config.read(address, offset);
        config.write(address, offset, u32::MAX);
        let mask = config.read(address, offset);
        config.write(address, offset, before);
        mask
    };
    let low = probe(offset);
    if low == 0 || low == u32::MAX {
        return (None, 1);
    }
    if low & 1 != 0 {
        let len = u64::from(!(low & !0b11)) as u16;
        let len = u64::from(len) + 1;
        return (
            Some(Need {
                index,
                len,
                kind: BarKind::Io,
                prefetchable: false,
            }),
            1,
        );
    }
    let prefetchable = low & 1 << 3 != 0;
    let (kind, mask, taken) = match low >> 1 & 0b11 {
        0b10 if index + 1 < registers => {
            let high = probe(offset + 4);
            (
                BarKind::Memory64,
                u64::from(high) << 32 | u64::from(low & !0xf),
                2,
            )
        }
        // 1 MiB memory (0b01) is a relic that is placed like 32-bit memory; 0b11 is reserved.
        0b00 | 0b01 => (
            BarKind::Memory32,
            u64::from(low & !0xf) | 0xffff_ffff << 32,
            1,
        ),
        _ => return (Some(Need::unusable(index, BarKind::Memory32)), 1),
    };
    let len = (!mask).wrapping_add(1);
    // A mask with holes is no size.
    let need = if len.is_power_of_two() {
        Need {
            index,
            len,
            kind,
            prefetchable,
        }
    } else {
        Need::unusable(index, kind)
    };
    (Some(need), taken)
}

/// Writes a BAR's place into its registers.
pub fn place(config: &impl ConfigSpace, address: PciAddress, need: &Need, phyr: Phyr) -> Bar {
    let offset = header::FIRST_BAR + 4 * u16::from(need.index);
    let start = phyr.addr().get();
    config.write(address, offset, start as u32);
    if need.kind == BarKind::Memory64 {
        config.write(address, offset + 4, (start >> 32) as u32);
    }
    Bar {
        index: need.index,
        phyr,
        prefetchable: need.prefetchable,
    }
}
