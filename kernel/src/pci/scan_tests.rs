//! Enumeration of machines that are trees of register arrays.
//!
//! The fake routes configuration accesses by the bridges' bus numbers and decodes memory by the
//! bridges' windows, so a wrong number or window makes a device unreachable, as on hardware.

use super::*;
use phyr::PhysAddr;
use std::cell::RefCell;

#[derive(Clone)]
struct Fake {
    words: [u32; 64],
    /// The writable bits of each BAR; the rest are the kind bits, or zero.
    masks: [u32; 6],
    behind: Vec<(u8, u8, Fake)>,
}

impl Fake {
    fn empty() -> Self {
        Self {
            words: [0; 64],
            masks: [0; 6],
            behind: Vec::new(),
        }
    }

    fn device(vendor: u16, masks: &[(usize, u32, u32)]) -> Self {
        let mut fake = Self::empty();
        fake.words[0] = u32::from(vendor) | 0x1234 << 16;
        fake.words[2] = 0x0108_0200;
        // Firmware left bus mastering on.
        fake.words[1] = header::COMMAND_BUS_MASTER;
        for &(index, mask, kind) in masks {
            fake.masks[index] = mask;
            fake.words[4 + index] = kind;
        }
        fake
    }

    /// A 64-bit BAR of `len` bytes at registers `index` and `index + 1`.
    fn memory64(vendor: u16, index: usize, len: u64, prefetchable: bool) -> Self {
        let mask = !(len - 1);
        let kind = if prefetchable { 0xc } else { 0x4 };
        Self::device(
            vendor,
            &[
                (index, mask as u32, kind),
                (index + 1, (mask >> 32) as u32, 0),
            ],
        )
    }

    fn bridge(behind: Vec<(u8, u8, Fake)>) -> Self {
        let mut fake = Self::empty();
        fake.words[0] = 0x1b36 | 0x000c << 16;
        fake.words[2] = 0x0604_0000;
        fake.words[3] = 1 << 16;
        fake.behind = behind;
        fake
    }

    fn numbers(&self) -> (u8, u8) {
        let word = self.words[6];
        ((word >> 8) as u8, (word >> 16) as u8)
    }

    fn is_bridge(&self) -> bool {
        self.words[3] >> 16 & 0x7f == 1
    }

    fn access(&mut self, offset: u16, value: Option<u32>) -> u32 {
        let word = usize::from(offset / 4);
        let bars = if self.is_bridge() { 4..6 } else { 4..10 };
        if let Some(value) = value {
            self.words[word] = if bars.contains(&word) {
                let mask = self.masks[word - 4];
                value & mask | self.words[word] & !mask & 0xf
            } else if word == 1 {
                // Status bits are read-only, or cleared by ones.
                value & header::COMMAND_MASK | self.words[word] & !header::COMMAND_MASK
            } else {
                value
            };
        }
        self.words[word]
    }
}

struct Machine(RefCell<Vec<(u8, u8, Fake)>>);

fn route(
    nodes: &mut [(u8, u8, Fake)],
    bus: u8,
    here: u8,
    address: PciAddress,
    offset: u16,
    value: Option<u32>,
) -> u32 {
    if bus == here {
        let found = nodes.iter_mut().find(|(device, function, _)| {
            (*device, *function) == (address.device(), address.function())
        });
        return found.map_or(u32::MAX, |(_, _, fake)| fake.access(offset, value));
    }
    // Of two bridges that claim a bus, some machine picks the last.
    for (_, _, fake) in nodes
        .iter_mut()
        .rev()
        .filter(|(_, _, fake)| fake.is_bridge())
    {
        let (secondary, subordinate) = fake.numbers();
        if secondary != 0 && (secondary..=subordinate).contains(&bus) {
            return route(&mut fake.behind, bus, secondary, address, offset, value);
        }
    }
    u32::MAX
}

impl ConfigSpace for Machine {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        route(
            &mut self.0.borrow_mut(),
            address.bus(),
            0,
            address,
            offset,
            None,
        )
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        route(
            &mut self.0.borrow_mut(),
            address.bus(),
            0,
            address,
            offset,
            Some(value),
        );
    }
}

/// Whether a memory access at `addr` gets through the windows of the bridges to a device's BAR.
fn decoded_by(nodes: &[(u8, u8, Fake)], addr: u64) -> Option<u16> {
    for (_, _, fake) in nodes {
        if fake.words[1] & header::COMMAND_MEMORY == 0 {
            continue;
        }
        if fake.is_bridge() {
            let low = fake.words[8];
            let (low_first, low_last) = (
                u64::from(low & 0xfff0) << 16,
                u64::from(low & 0xfff0_0000) | 0xf_ffff,
            );
            let high = fake.words[9];
            let high_first = u64::from(high & 0xfff0) << 16 | u64::from(fake.words[10]) << 32;
            let high_last =
                u64::from(high & 0xfff0_0000) | 0xf_ffff | u64::from(fake.words[11]) << 32;
            let forwards =
                (low_first..=low_last).contains(&addr) || (high_first..=high_last).contains(&addr);
            if let Some(found) = forwards.then(|| decoded_by(&fake.behind, addr)).flatten() {
                return Some(found);
            }
            continue;
        }
        let mut index = 0;
        while index < 6 {
            let (kind, mask) = (fake.words[4 + index] & 0xf, fake.masks[index]);
            let mut start = u64::from(fake.words[4 + index] & !0xf);
            let mut wide = u64::from(mask) | 0xffff_ffff << 32;
            if kind & 0x6 == 0x4 {
                start |= u64::from(fake.words[5 + index]) << 32;
                wide = u64::from(mask) | u64::from(fake.masks[index + 1]) << 32;
                index += 1;
            }
            index += 1;
            let len = (!wide).wrapping_add(1);
            if wide & !(0xffff_ffff << 32) | u64::from(kind & 0x4) != 0
                && addr >= start
                && addr - start < len
            {
                return Some(fake.words[0] as u16);
            }
        }
    }
    None
}

fn phyr(start: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(start), len).unwrap()
}

fn holes() -> Holes {
    Holes {
        low: Some(phyr(0x8000_0000, 0x6000_0000)),
        high: Some(phyr(1 << 32, 1 << 36)),
        taken: vec![phyr(0xb000_0000, 0x1000_0000)],
    }
}

/// Scans a machine and checks that every BAR is reached by its own device and by no other.
fn scan_checked(nodes: Vec<(u8, u8, Fake)>) -> (Bus, Vec<(u8, u8, Fake)>) {
    let machine = Machine(RefCell::new(nodes));
    let bus = scan(&machine, 0, 0, 255, &mut holes());
    let nodes = machine.0.into_inner();
    let mut seen: Vec<Phyr> = vec![phyr(0xb000_0000, 0x1000_0000)];
    for function in &bus.functions {
        for bar in &function.bars {
            assert!(
                bar.phyr.addr().is_aligned(bar.phyr.len()),
                "BARs are naturally aligned"
            );
            assert!(
                !seen.iter().any(|other| other.overlaps(bar.phyr)),
                "{} overlaps",
                bar.phyr
            );
            seen.push(bar.phyr);
            for addr in [bar.phyr.addr().get(), bar.phyr.last().get()] {
                assert_eq!(decoded_by(&nodes, addr), Some(function.vendor), "{addr:#x}");
            }
        }
    }
    (bus, nodes)
}

#[test]
fn devices_on_the_root_bus_are_found_and_placed() {
    let (bus, _) = scan_checked(vec![
        (3, 0, Fake::memory64(0x1b36, 0, 0x4000, false)),
        (4, 0, Fake::memory64(0x8086, 2, 8 << 30, true)),
        (5, 0, Fake::device(0x1af4, &[(1, 0xffff_f000, 0)])),
    ]);
    assert_eq!(bus.functions.len(), 3);
    assert!(bus.unplaced.is_empty());
    assert_eq!(bus.functions[1].bars[0].phyr.len(), 8 << 30);
    assert_eq!(bus.functions[1].bars[0].index, 2);
    assert!(bus.functions[0].bars[0].phyr.last().get() < 1 << 32);
}

#[test]
fn devices_behind_two_levels_of_bridges_are_reachable() {
    let switch = Fake::bridge(vec![
        (
            0,
            0,
            Fake::bridge(vec![(0, 0, Fake::memory64(0xaaaa, 0, 0x4000, false))]),
        ),
        (
            1,
            0,
            Fake::bridge(vec![
                (0, 0, Fake::memory64(0xbbbb, 0, 0x10_0000, true)),
                (0, 1, Fake::memory64(0xcccc, 0, 0x1000, false)),
            ]),
        ),
        (2, 0, Fake::bridge(vec![])),
    ]);
    let mut multi = switch.clone();
    multi.behind[1].2.behind[0].2.words[3] |= 0x80 << 16;
    let (bus, _) = scan_checked(vec![
        (1, 0, Fake::memory64(0xdddd, 0, 0x2000, false)),
        (2, 0, Fake::bridge(vec![(0, 0, multi)])),
    ]);
    let vendors: Vec<u16> = bus
        .functions
        .iter()
        .filter(|f| f.secondary_bus.is_none())
        .map(|f| f.vendor)
        .collect();
    assert_eq!(vendors, [0xdddd, 0xaaaa, 0xbbbb, 0xcccc]);
    let buses: Vec<u8> = bus
        .functions
        .iter()
        .filter_map(|f| f.secondary_bus)
        .collect();
    assert_eq!(buses, [1, 2, 3, 4, 5]);
}

#[test]
fn numbers_that_firmware_left_do_not_lead_astray() {
    let numbered = |vendor, secondary: u32| {
        let mut bridge = Fake::bridge(vec![(0, 0, Fake::memory64(vendor, 0, 0x4000, false))]);
        bridge.words[6] = secondary << 8 | secondary << 16;
        bridge
    };
    // The firmware counted downwards.
    let (bus, _) = scan_checked(vec![
        (1, 0, numbered(0xaaaa, 3)),
        (2, 0, numbered(0xbbbb, 2)),
        (3, 0, numbered(0xcccc, 1)),
    ]);
    let vendors: Vec<u16> = bus
        .functions
        .iter()
        .filter(|f| f.secondary_bus.is_none())
        .map(|f| f.vendor)
        .collect();
    assert_eq!(vendors, [0xaaaa, 0xbbbb, 0xcccc]);
}

#[test]
fn bus_mastering_is_off_for_endpoints_and_on_for_bridges() {
    let (_, nodes) = scan_checked(vec![
        (0, 0, Fake::memory64(0x1b36, 0, 0x4000, false)),
        (
            1,
            0,
            Fake::bridge(vec![(0, 0, Fake::memory64(0xaaaa, 0, 0x4000, false))]),
        ),
    ]);
    assert_eq!(nodes[0].2.words[1] & header::COMMAND_BUS_MASTER, 0);
    assert_ne!(nodes[1].2.words[1] & header::COMMAND_BUS_MASTER, 0);
    assert_eq!(
        nodes[1].2.behind[0].2.words[1] & header::COMMAND_BUS_MASTER,
        0
    );
}

#[test]
fn a_bar_without_room_is_reported_and_the_rest_is_placed() {
    let (bus, _) = scan_checked(vec![
        (0, 0, Fake::memory64(0x1111, 0, 1 << 40, true)),
        (1, 0, Fake::memory64(0x2222, 0, 0x4000, true)),
    ]);
    assert_eq!(bus.unplaced.len(), 1);
    assert_eq!(bus.unplaced[0].1.len, 1 << 40);
    assert_eq!(bus.functions[1].bars.len(), 1);
}

#[test]
fn io_ports_and_odd_masks_get_no_place() {
    let (bus, _) = scan_checked(vec![(
        0,
        0,
        Fake::device(
            0x1111,
            &[
                (0, 0xffff_fff0, 1),
                (1, 0x00f0_0f00, 0),
                (2, 0xffff_0000, 6),
            ],
        ),
    )]);
    assert!(bus.functions[0].bars.is_empty());
    assert_eq!(bus.unplaced.len(), 1, "the I/O ports");
}

#[test]
fn single_function_devices_are_not_seen_eight_times() {
    /// Answers for every function number, as some devices do.
    struct Echo;
    impl ConfigSpace for Echo {
        fn read(&self, address: PciAddress, offset: u16) -> u32 {
            match (address.bus(), address.device(), offset) {
                (0, 3, header::ID) => 0x1234_1b36,
                (0, 3, _) => 0,
                _ => u32::MAX,
            }
        }
        fn write(&self, _: PciAddress, _: u16, _: u32) {}
    }
    assert_eq!(scan(&Echo, 0, 0, 255, &mut holes()).functions.len(), 1);
}

#[test]
fn bridges_without_end_do_not_hang_the_scan() {
    /// Every bus has one bridge.
    struct Mirror;
    impl ConfigSpace for Mirror {
        fn read(&self, address: PciAddress, offset: u16) -> u32 {
            match (address.device(), offset) {
                (0, header::ID) => 0x000c_1b36,
                (0, header::CLASS) => 0x0604_0000,
                (0, header::TYPE) => 1 << 16,
                (0, _) => 0,
                _ => u32::MAX,
            }
        }
        fn write(&self, _: PciAddress, _: u16, _: u32) {}
    }
    let bus = scan(&Mirror, 0, 0, 255, &mut holes());
    assert_eq!(bus.functions.len(), DEEPEST as usize + 1);
}

#[test]
fn a_capability_list_that_loops_ends() {
    let mut fake = Fake::memory64(0x1b36, 0, 0x4000, false);
    fake.words[1] |= header::STATUS_CAPABILITIES;
    fake.words[13] = 0x40;
    fake.words[16] = 0x4005;
    let (bus, _) = scan_checked(vec![(0, 0, fake)]);
    assert_eq!(bus.functions[0].capabilities.len(), 48);
}
