//! Enumeration of machines that are trees of register arrays.

use super::*;
use crate::lock::Mutex;
use crate::pci::ConfigRead;
use crate::pci::fake::{Fake, Machine, decoded_by};
use phyr::PhysAddr;

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
    let machine = Machine(Mutex::new(nodes));
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
    let unplaced: Vec<_> = bus.unplaced.iter().map(|(_, need)| need.index).collect();
    assert_eq!(unplaced, [0, 1, 2]);
}

#[test]
fn single_function_devices_are_not_seen_eight_times() {
    /// Answers for every function number, as some devices do.
    struct Echo;
    impl ConfigRead for Echo {
        fn read(&self, address: PciAddress, offset: u16) -> u32 {
            match (address.bus(), address.device(), offset) {
                (0, 3, header::ID) => 0x1234_1b36,
                (0, 3, _) => 0,
                _ => u32::MAX,
            }
        }
    }
    impl ConfigSpace for Echo {
        fn write(&self, _: PciAddress, _: u16, _: u32) {}
    }
    assert_eq!(scan(&Echo, 0, 0, 255, &mut holes()).functions.len(), 1);
}

#[test]
fn bridges_without_end_do_not_hang_the_scan() {
    /// Every bus has one bridge.
    struct Mirror;
    impl ConfigRead for Mirror {
        fn read(&self, address: PciAddress, offset: u16) -> u32 {
            match (address.device(), offset) {
                (0, header::ID) => 0x000c_1b36,
                (0, header::CLASS) => 0x0604_0000,
                (0, header::TYPE) => 1 << 16,
                (0, _) => 0,
                _ => u32::MAX,
            }
        }
    }
    impl ConfigSpace for Mirror {
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

#[test]
fn absurd_sizes_behind_a_bridge_cost_only_its_window() {
    let half = 1u32 << 31;
    for kind in [0x4, 0xc] {
        let absurd = Fake::device(
            0x6666,
            &[(0, 0, kind), (1, half, 0), (2, 0, kind), (3, half, 0)],
        );
        let (bus, _) = scan_checked(vec![
            (0, 0, Fake::memory64(0x1111, 0, 0x4000, kind == 0xc)),
            (1, 0, Fake::bridge(vec![(0, 0, absurd)])),
            (
                2,
                0,
                Fake::bridge(vec![(0, 0, Fake::memory64(0x2222, 0, 0x4000, kind == 0xc))]),
            ),
        ]);
        let placed: Vec<u16> = bus
            .functions
            .iter()
            .filter(|function| !function.bars.is_empty())
            .map(|function| function.vendor)
            .collect();
        assert_eq!(placed, [0x1111, 0x2222]);
        assert_eq!(bus.unplaced.len(), 2);
    }
}

#[test]
fn a_function_decodes_only_if_all_its_memory_has_a_place() {
    // Beside a good BAR: no room, a mask with holes, a reserved kind, no size at all.
    let flaws: [&[(usize, u32, u32)]; 4] = [
        &[(2, 0, 0xc), (3, 0xffff_ff00, 0)],
        &[(2, 0x00f0_0f00, 0)],
        &[(2, 0xffff_0000, 6)],
        &[(2, 0, 4)],
    ];
    for flaw in flaws {
        let mut masks = vec![(0, 0xffff_c000, 0)];
        masks.extend(flaw);
        let (bus, nodes) = scan_checked(vec![(0, 0, Fake::device(0x1111, &masks))]);
        assert_eq!(bus.functions[0].bars, [], "{flaw:x?}");
        let unplaced: Vec<_> = bus.unplaced.iter().map(|(_, need)| need.index).collect();
        assert_eq!(unplaced, [0, 2], "{flaw:x?}");
        assert_eq!(nodes[0].2.words[1] & header::COMMAND_MEMORY, 0, "{flaw:x?}");
    }
}

#[test]
fn io_ports_do_not_keep_memory_from_being_decoded() {
    let masks = [(0, 0xffff_fff0, 1), (1, 0xffff_f000, 0)];
    let (bus, nodes) = scan_checked(vec![(0, 0, Fake::device(0x1111, &masks))]);
    assert_eq!(bus.functions[0].bars.len(), 1);
    assert_ne!(nodes[0].2.words[1] & header::COMMAND_MEMORY, 0);
}

#[test]
fn nothing_is_reached_through_a_bridge_that_cannot_decode() {
    let mut bridge = Fake::bridge(vec![(0, 0, Fake::memory64(0xaaaa, 0, 0x4000, false))]);
    bridge.masks[0] = 0x00f0_0f00;
    let (bus, nodes) = scan_checked(vec![(0, 0, bridge)]);
    assert!(
        bus.functions
            .iter()
            .all(|function| function.bars.is_empty())
    );
    assert_eq!(bus.unplaced.len(), 2);
    assert_eq!(nodes[0].2.words[1], header::COMMAND_INTX_DISABLE);
    assert_eq!(nodes[0].2.behind[0].2.words[1] & header::COMMAND_MEMORY, 0);
}

#[test]
fn headers_of_other_types_have_no_bars() {
    // CardBus bridges have socket registers there, and bus numbers.
    for class in [0x0108_0200, 0x0607_0000] {
        let mut fake = Fake::device(0x1111, &[(0, 0xffff_f000, 0), (2, 0xffff_ff00, 0)]);
        fake.words[2] = class;
        fake.words[3] = 2 << 16;
        let (bus, nodes) = scan_checked(vec![(0, 0, fake)]);
        assert_eq!(bus.functions[0].bars, []);
        assert!(bus.unplaced.is_empty());
        let command = nodes[0].2.words[1];
        assert_eq!(command, header::COMMAND_INTX_DISABLE, "and nothing else");
    }
}

/// A line that a function holds up hides the edges of all who share it.
#[test]
fn the_line_of_every_function_is_off_whatever_firmware_has_left() {
    let loud = |mut fake: Fake| {
        fake.words[1] &= !header::COMMAND_INTX_DISABLE;
        fake
    };
    let (_, nodes) = scan_checked(vec![
        (1, 0, loud(Fake::memory64(0x1111, 0, 0x4000, false))),
        (2, 0, loud(Fake::device(0x2222, &[]))),
        (3, 0, loud(Fake::device(0x3333, &[(0, 0xffff_fff0, 1)]))),
        (
            4,
            0,
            loud(Fake::bridge(vec![(0, 0, loud(Fake::device(0x4444, &[])))])),
        ),
    ]);
    let mut all: Vec<&Fake> = nodes.iter().map(|(_, _, fake)| fake).collect();
    all.push(&nodes[3].2.behind[0].2);
    for fake in all {
        assert_ne!(fake.words[1] & header::COMMAND_INTX_DISABLE, 0);
    }
}
