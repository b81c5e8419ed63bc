//! QEMU's PCI topologies, with firmware that assigns and firmware that does not.

use crate::drivers::nvme;
use crate::machine::machine;
use crate::pci::device::DeviceError;
use crate::pci::{ConfigRead, Function, PciAddress};
use phyr::Phyr;
use vm_test::vm_test;

const COMMAND: u16 = 0x04;
const BUS_MASTER: u32 = 1 << 2;

fn controllers() -> impl Iterator<Item = Function> {
    machine()
        .functions()
        .into_iter()
        .filter(nvme::is_controller)
}

fn command(address: PciAddress) -> u32 {
    machine()
        .owners
        .as_ref()
        .unwrap()
        .config()
        .read(address, COMMAND)
}

/// Every BAR has its own place outside RAM, and every controller answers behind its own.
fn check(expected: usize) {
    assert_eq!(
        machine()
            .functions()
            .iter()
            .flat_map(|function| &function.bars)
            .count(),
        placed().len()
    );
    for (index, bar) in placed().iter().enumerate() {
        assert!(
            bar.addr().is_aligned(bar.len()),
            "{bar} is not naturally aligned"
        );
        assert!(
            !placed()[..index].iter().any(|other| other.overlaps(*bar)),
            "{bar} overlaps"
        );
        for region in crate::memory::boot_regions() {
            let region =
                Phyr::new(phyr::PhysAddr::new(region.start), region.end - region.start).unwrap();
            assert!(!region.overlaps(*bar), "{bar} lies in {region}");
        }
    }
    assert_eq!(controllers().count(), expected);
    for function in controllers() {
        let device = machine().owners.as_ref().unwrap().claim(&function).unwrap();
        let registers = device.registers(0).unwrap();
        // QEMU 7.2's CAP: 2048 entries, 7.5 s, both command sets.
        assert_eq!(
            registers.read64(0) & 0xffff,
            2047,
            "CAP.MQES at {}",
            function.address
        );
        assert_eq!(registers.read32(8), 0x1_0400, "VS at {}", function.address);
    }
}

fn placed() -> alloc::vec::Vec<Phyr> {
    machine()
        .functions()
        .iter()
        .flat_map(|function| &function.bars)
        .map(|bar| bar.phyr)
        .collect()
}

#[vm_test(machine = "disks=2")]
fn bars_are_assigned_over_those_of_seabios() {
    check(2);
}

#[vm_test(machine = "disks=2,firmware=qboot")]
fn bars_are_assigned_where_qboot_left_none() {
    check(2);
}

#[vm_test(machine = "disks=3,bridge")]
fn devices_behind_root_ports_are_found_under_seabios() {
    check(3);
    assert!(controllers().all(|function| function.address.bus() > 0));
}

#[vm_test(machine = "disks=3,switch,firmware=qboot")]
fn devices_behind_switches_are_found_where_nobody_numbered_the_buses() {
    check(3);
    assert!(controllers().all(|function| function.address.bus() > 2));
}

#[vm_test(machine = "nvme,ram=6G,firmware=qboot")]
fn bars_lie_outside_ram_on_both_sides_of_4_gib() {
    check(1);
}

#[vm_test(machine = "nvme")]
fn bus_mastering_is_off_until_a_driver_owns_the_function() {
    let function = controllers().next().unwrap();
    assert_eq!(
        command(function.address) & BUS_MASTER,
        0,
        "SeaBIOS leaves it on"
    );
    let owners = machine().owners.as_ref().unwrap();
    let device = owners.claim(&function).unwrap();
    assert!(matches!(owners.claim(&function), Err(DeviceError::Taken)));
    assert_eq!(
        command(function.address) & BUS_MASTER,
        0,
        "owning it is not enough"
    );
    // SAFETY: nothing here gives the controller a command, and firmware finished its own before it
    // left. Without a command, a controller reaches for no memory.
    unsafe { device.enable_bus_master() };
    assert_ne!(command(function.address) & BUS_MASTER, 0);
    drop(device);
    assert_eq!(command(function.address) & BUS_MASTER, 0);
    assert!(owners.claim(&function).is_ok());
}

#[vm_test(machine = "nvme")]
fn capabilities_are_listed() {
    let function = controllers().next().unwrap();
    // MSI-X, PCI Express, power management.
    for capability in [0x11, 0x10, 0x01] {
        assert!(
            function.capabilities.contains(&capability),
            "{:x?}",
            function.capabilities
        );
    }
    assert!(function.has_msix(machine().owners.as_ref().unwrap().config()));
}
