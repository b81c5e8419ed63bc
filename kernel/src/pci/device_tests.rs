//! What owning a function turns on and off.

use super::*;
use crate::pci::fake::{Fake, Machine};

#[test]
fn owning_a_function_without_bars_does_not_turn_decoding_on() {
    let mut fake = Fake::device(0x1111, &[]);
    fake.words[1] = 0;
    let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
    let address = PciAddress::new(0, 0, 0, 0);
    let function = Function::read(&machine, address, Vec::new());
    let owners = Arc::new(Owners::new(machine));
    let command = || owners.config().read(address, header::COMMAND);
    let device = owners.claim(&function).unwrap();
    // SAFETY: the device is an array.
    unsafe { device.enable_bus_master() };
    assert_eq!(
        command(),
        header::COMMAND_BUS_MASTER | header::COMMAND_INTX_DISABLE
    );
    drop(device);
    assert_eq!(command(), header::COMMAND_INTX_DISABLE);
}

#[test]
fn a_line_is_off_but_for_a_driver_that_uses_it() {
    let mut fake = Fake::device(0x1111, &[]);
    fake.words[1] = 0;
    fake.words[usize::from(header::INTERRUPT) / 4] = 2 << 8;
    let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
    let address = PciAddress::new(0, 0, 0, 0);
    let function = Function::read(&machine, address, Vec::new());
    let owners = Arc::new(Owners::new(machine));
    let command = || owners.config().read(address, header::COMMAND);
    let device = owners.claim(&function).unwrap();
    assert!(device.has_line());
    device.disable_bus_master();
    assert_eq!(command(), header::COMMAND_INTX_DISABLE, "not used yet");
    device.use_line();
    assert_eq!(command(), 0);
    // SAFETY: the device is an array.
    unsafe { device.enable_bus_master() };
    assert_eq!(command(), header::COMMAND_BUS_MASTER, "it stays on");
    device.disable_bus_master();
    assert_eq!(command(), 0, "a device that is reset goes on");
    drop(device);
    assert_eq!(command(), header::COMMAND_INTX_DISABLE);
    // The next driver finds it off.
    let device = owners.claim(&function).unwrap();
    device.disable_bus_master();
    assert_eq!(command(), header::COMMAND_INTX_DISABLE);
}

/// Firmware has had a driver that used messages, and has left them on.
#[test]
fn a_function_whose_line_is_used_has_no_messages_on() {
    const MSIX_ON: u32 = 1 << 31;
    const MSI_ON: u32 = 1 << 16;
    let mut fake = Fake::device(0x1111, &[]);
    fake.words[1] |= header::STATUS_CAPABILITIES;
    fake.words[13] = 0x40;
    fake.words[0x40 / 4] = 0x11 | 0x70 << 8 | MSIX_ON | 3 << 16;
    fake.words[0x70 / 4] = 0x05 | MSI_ON;
    let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
    let address = PciAddress::new(0, 0, 0, 0);
    let function = Function::read(&machine, address, Vec::new());
    let owners = Arc::new(Owners::new(machine));
    let device = owners.claim(&function).unwrap();
    let are_on = || {
        let word = |at| owners.config().read(address, at);
        (word(0x40) & MSIX_ON != 0, word(0x70) & MSI_ON != 0)
    };
    assert_eq!(are_on(), (true, true));
    device.use_line();
    assert_eq!(are_on(), (false, false));
}

#[test]
fn a_function_without_a_pin_has_no_line() {
    for (pin, has_line) in [(0, false), (1, true), (4, true), (5, false), (0xff, false)] {
        let mut fake = Fake::device(0x1111, &[]);
        fake.words[usize::from(header::INTERRUPT) / 4] = pin << 8 | 11;
        let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
        let address = PciAddress::new(0, 0, 0, 0);
        let function = Function::read(&machine, address, Vec::new());
        let owners = Arc::new(Owners::new(machine));
        let device = owners.claim(&function).unwrap();
        assert_eq!(device.has_line(), has_line, "pin {pin}");
    }
}
