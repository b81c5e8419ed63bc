//! MCFG: where PCI Express configuration space is mapped (PCI Firmware specification 3.3, section 4.1.2).

use super::Flaw;
use super::table::{HEADER, Table};
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// Configuration space of one bus.
const BUS_BYTES: u64 = 1 << 20;

/// Configuration space of a run of buses, as memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcamRegion {
    /// The memory: 1 MiB for each bus, the first one's first.
    pub window: Phyr,
    /// The PCI segment group.
    pub segment: u16,
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
}

impl EcamRegion {
    fn shares_buses(&self, other: &Self) -> bool {
        self.segment == other.segment
            && self.first_bus <= other.last_bus
            && other.first_bus <= self.last_bus
    }
}

pub(super) fn read(table: &Table) -> Result<Vec<EcamRegion>, Flaw> {
    const RESERVED: usize = 8;
    const ENTRY: usize = 16;
    let fields = table.fields();
    let first = HEADER + RESERVED;
    let count = table.bytes().len().saturating_sub(first) / ENTRY;
    let mut regions: Vec<EcamRegion> = Vec::new();
    for entry in (0..count).map(|index| first + index * ENTRY) {
        // The base address is that of bus 0, even where the run starts later.
        let base = PhysAddr::new(fields.u64(entry)?);
        let (segment, first_bus, last_bus) = (
            fields.u16(entry + 8)?,
            fields.u8(entry + 10)?,
            fields.u8(entry + 11)?,
        );
        let buses = u64::from(last_bus)
            .checked_sub(u64::from(first_bus))
            .ok_or(Flaw::Truncated)?
            + 1;
        let window = base
            .checked_add(u64::from(first_bus) * BUS_BYTES)
            .and_then(|start| Phyr::new(start, buses * BUS_BYTES).ok())
            .ok_or(Flaw::Unreadable)?;
        let region = EcamRegion {
            window,
            segment,
            first_bus,
            last_bus,
        };
        // Enumerating a bus twice would move what the first time had placed.
        if !regions.iter().any(|other| region.shares_buses(other)) {
            regions.push(region);
        }
    }
    Ok(regions)
}
