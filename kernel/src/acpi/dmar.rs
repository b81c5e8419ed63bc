//! DMAR: where the IOMMUs are, and which devices are behind which (Intel VT-d specification, chapter 8).
//!
//! The table is a list of structures, each with its type and length. Two types are read: remapping units, and
//! memory that firmware has told devices to use, which they may not lose. A structure that is
//! too short for its type is left out; one whose length cannot be right ends the list. Either way the table is
//! named as flawed.

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use alloc::vec::Vec;
use pci_types::PciAddress;
use phyr::{DmaAddr, Phyr, PhysAddr};

/// An IOMMU (section 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemappingUnit {
    /// Its registers.
    pub registers: Phyr,
    /// The PCI segment group that it serves.
    pub segment: u16,
    /// It serves all devices of the segment that no other unit names.
    pub serves_the_rest: bool,
    /// The devices that it names.
    pub scopes: Vec<Scope>,
}

/// Memory that firmware's own transfers use (section 8.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedMemory {
    /// Where the CPU sees it.
    pub memory: Phyr,
    /// The PCI segment group of the devices.
    pub segment: u16,
    /// The devices that use it.
    pub scopes: Vec<Scope>,
}

impl ReservedMemory {
    /// Where the devices see it: at the same address, before an IOMMU and behind it.
    pub fn bus(&self) -> DmaAddr {
        self.memory.to_same_bus_range().addr()
    }
}

/// A device, or all behind a bridge (section 8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// It is a bridge, and what is behind it is meant.
    pub is_bridge: bool,
    /// The bus that the way there begins at.
    pub bus: u8,
    /// Device and function of each step: bridges, and last what is meant.
    pub path: Vec<(u8, u8)>,
}

impl Scope {
    /// Whether a function is meant. `secondary` knows the bus behind each bridge, and `bridge` the bridge
    /// before each bus.
    pub fn covers(
        &self,
        function: PciAddress,
        secondary: impl Fn(PciAddress) -> Option<u8>,
        bridge: impl Fn(PciAddress) -> Option<PciAddress>,
    ) -> bool {
        let Some(target) = self.resolve(function.segment(), secondary) else {
            return false;
        };
        if !self.is_bridge {
            return target == function;
        }
        // There are no more bridges on a way than buses.
        let way = core::iter::successors(Some(function), |place| bridge(*place));
        way.take(256).any(|place| place == target)
    }

    fn resolve(
        &self,
        segment: u16,
        secondary: impl Fn(PciAddress) -> Option<u8>,
    ) -> Option<PciAddress> {
        let (last, bridges) = self.path.split_last()?;
        let mut bus = self.bus;
        for &(device, function) in bridges {
            bus = secondary(address(segment, bus, (device, function))?)?;
        }
        address(segment, bus, *last)
    }
}

fn address(segment: u16, bus: u8, (device, function): (u8, u8)) -> Option<PciAddress> {
    // What is out of range is no place, and `PciAddress` would take other bits for it.
    (device < 32 && function < 8).then(|| PciAddress::new(segment, bus, device, function))
}

#[derive(Debug, Default)]
pub(super) struct Dmar {
    pub(super) units: Vec<RemappingUnit>,
    pub(super) reserved: Vec<ReservedMemory>,
}

/// What the table says, and the first thing that is wrong with it.
pub(super) fn read(table: &Table) -> Result<(Dmar, Option<Flaw>), Flaw> {
    /// Width, flags, reserved.
    const FIRST: usize = HEADER + 12;
    let mut dmar = Dmar::default();
    let mut flaw = None;
    let mut rest = table.bytes().get(FIRST..).ok_or(Flaw::Truncated)?;
    while rest.len() >= 4 {
        let len = usize::from(Fields(rest).u16(2)?);
        let Some((entry, next)) = rest.split_at_checked(len).filter(|_| len >= 4) else {
            flaw = flaw.or(Some(Flaw::Truncated));
            break;
        };
        if let Err(error) = read_entry(entry, &mut dmar) {
            flaw = flaw.or(Some(error));
        }
        rest = next;
    }
    Ok((dmar, flaw))
}

fn read_entry(entry: &[u8], dmar: &mut Dmar) -> Result<(), Flaw> {
    const UNIT: u16 = 0;
    const RESERVED: u16 = 1;
    let fields = Fields(entry);
    match fields.u16(0)? {
        UNIT => {
            // Bits 3..0: the number of pages is two to this power; old tables have 0 there.
            let pages = 1 << (fields.u8(5)? & 0xf);
            let address = PhysAddr::new(fields.u64(8)?);
            let registers = Phyr::new(address, pages * 4096).map_err(|_| Flaw::Unreadable)?;
            dmar.units.push(RemappingUnit {
                registers,
                segment: fields.u16(6)?,
                serves_the_rest: fields.u8(4)? & 1 != 0,
                scopes: read_scopes(entry.get(16..).unwrap_or_default())?,
            });
        }
        RESERVED => {
            let (first, last) = (fields.u64(8)?, fields.u64(16)?);
            let memory = Phyr::from_inclusive(PhysAddr::new(first), PhysAddr::new(last));
            dmar.reserved.push(ReservedMemory {
                memory: memory.map_err(|_| Flaw::Unreadable)?,
                segment: fields.u16(6)?,
                scopes: read_scopes(entry.get(24..).unwrap_or_default())?,
            });
        }
        _ => {}
    }
    Ok(())
}

/// The PCI devices in a list of scopes. Interrupt controllers and timers are no matter of memory here.
fn read_scopes(mut rest: &[u8]) -> Result<Vec<Scope>, Flaw> {
    const ENDPOINT: u8 = 1;
    const BRIDGE: u8 = 2;
    let mut scopes = Vec::new();
    while !rest.is_empty() {
        let fields = Fields(rest);
        let (kind, len, bus) = (fields.u8(0)?, usize::from(fields.u8(1)?), fields.u8(5)?);
        let split = rest.split_at_checked(len).filter(|_| len >= 6);
        let (entry, next) = split.ok_or(Flaw::Truncated)?;
        if matches!(kind, ENDPOINT | BRIDGE) {
            let path = entry[6..].chunks_exact(2).map(|step| (step[0], step[1]));
            scopes.push(Scope {
                is_bridge: kind == BRIDGE,
                bus,
                path: path.collect(),
            });
        }
        rest = next;
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(structures: &[&[u8]]) -> Table {
        let mut bytes = vec![0; HEADER + 12];
        bytes.extend(structures.concat());
        Table::of(bytes)
    }

    fn unit(flags: u8, scopes: &[&[u8]]) -> Vec<u8> {
        let scopes = scopes.concat();
        let mut bytes = vec![0, 0, (16 + scopes.len()) as u8, 0, flags, 0, 0, 0];
        bytes.extend(0xfed9_0000u64.to_le_bytes());
        bytes.extend(scopes);
        bytes
    }

    #[test]
    fn units_and_the_devices_that_they_name() {
        let endpoint: &[u8] = &[1, 8, 0, 0, 0, 0, 2, 0];
        let behind: &[u8] = &[2, 10, 0, 0, 0, 0, 1, 0, 3, 1];
        let io_apic: &[u8] = &[3, 8, 0, 0, 0, 0xff, 0, 0];
        let mut reserved = vec![1, 0, 32, 0, 0, 0, 0, 0];
        reserved.extend(0x7_0000u64.to_le_bytes());
        reserved.extend(0x7_ffffu64.to_le_bytes());
        reserved.extend(endpoint);
        let odd: &[u8] = &[9, 0, 4, 0];
        let table = table(&[
            &unit(0, &[endpoint, behind, io_apic]),
            odd,
            &unit(1, &[]),
            &reserved,
        ]);
        let (dmar, flaw) = read(&table).unwrap();
        assert_eq!(flaw, None);
        let [first, rest] = &dmar.units[..] else {
            panic!("{dmar:?}");
        };
        assert_eq!(first.registers.addr().get(), 0xfed9_0000);
        assert_eq!(first.registers.len(), 4096);
        assert_eq!(first.scopes.len(), 2);
        assert_eq!(first.scopes[1].path, [(1, 0), (3, 1)]);
        assert!(first.scopes[1].is_bridge && !first.serves_the_rest);
        assert!(rest.serves_the_rest && rest.scopes.is_empty());
        let [reserved] = &dmar.reserved[..] else {
            panic!("{dmar:?}");
        };
        assert_eq!(reserved.memory.len(), 0x1_0000);
        assert_eq!(reserved.bus().get(), 0x7_0000);
        assert_eq!(reserved.scopes, first.scopes[..1]);
    }

    #[test]
    fn a_scope_is_followed_through_bridges() {
        // Bus 5 is behind 00:01.0, bus 6 behind 05:03.1, and bus 7 behind 06:00.0.
        let bridges = [
            (PciAddress::new(0, 0, 1, 0), 5),
            (PciAddress::new(0, 5, 3, 1), 6),
            (PciAddress::new(0, 6, 0, 0), 7),
        ];
        let secondary = |place| bridges.iter().find(|b| b.0 == place).map(|b| b.1);
        let bridge = |place: PciAddress| bridges.iter().find(|b| b.1 == place.bus()).map(|b| b.0);
        let mut scope = Scope {
            is_bridge: true,
            bus: 0,
            path: vec![(1, 0), (3, 1)],
        };
        let covers = |scope: &Scope, bus, device, function| {
            scope.covers(PciAddress::new(0, bus, device, function), secondary, bridge)
        };
        for inside in [(5, 3, 1), (6, 0, 0), (7, 31, 7)] {
            assert!(covers(&scope, inside.0, inside.1, inside.2), "{inside:?}");
        }
        for outside in [(0, 1, 0), (5, 3, 0), (4, 0, 0)] {
            assert!(
                !covers(&scope, outside.0, outside.1, outside.2),
                "{outside:?}"
            );
        }
        scope.is_bridge = false;
        assert!(covers(&scope, 5, 3, 1) && !covers(&scope, 6, 0, 0));
        scope.path[0] = (32, 0);
        assert!(!covers(&scope, 5, 3, 1), "there is no such place");
    }

    #[test]
    fn what_is_damaged_is_named_and_what_came_before_counts() {
        let good = unit(1, &[]);
        let scope_without_end: &[u8] = &[1, 9, 0, 0, 0, 0, 2, 0];
        let scope_of_nothing: &[u8] = &[1, 0, 0, 0, 0, 0, 2, 0];
        for bad in [
            unit(0, &[scope_without_end]),
            unit(0, &[scope_of_nothing]),
            vec![0, 0, 0, 0],
            vec![0, 0, 200, 0],
            vec![0, 0, 8, 0, 0, 0, 0, 0],
        ] {
            let (dmar, flaw) = read(&table(&[&good, &bad])).unwrap();
            assert_eq!(
                (dmar.units.len(), flaw),
                (1, Some(Flaw::Truncated)),
                "{bad:?}"
            );
        }
        assert_eq!(read(&Table::of(vec![0; 40])).err(), Some(Flaw::Truncated));
    }
}
