//! Controllers that come and go on QEMU's root ports.

use crate::drivers::nvme;
use crate::executor::block_on;
use crate::machine::machine;
use crate::pci::hotplug::{self, Event, Events};
use crate::pci::{ConfigRead, Function, PciAddress};
use crate::time;
use alloc::vec::Vec;
use embassy_futures::yield_now;
use vm_test::{control, vm_test};

/// Looks until the host says that a controller is gone. QEMU lets it go when its slot is dark.
fn until_gone(controller: u64) {
    while !control::is_gone(controller) {
        look();
    }
    look();
}

fn look() {
    machine().pci.as_ref().unwrap().look(time::now());
}

fn news(events: &mut Events) -> Vec<Event> {
    core::iter::from_fn(|| events.try_next()).collect()
}

fn controllers() -> Vec<Function> {
    let mut functions = machine().functions();
    functions.retain(nvme::is_controller);
    functions
}

/// The controller's registers answer where they were placed.
fn check(function: &Function) {
    let owners = machine().owners.as_ref().unwrap();
    let device = owners.claim(function).unwrap();
    let registers = device.registers(0).unwrap();
    assert_eq!(registers.read32(8), 0x1_0400, "VS at {}", function.address);
}

fn identification(address: PciAddress) -> u32 {
    let owners = machine().owners.as_ref().unwrap();
    owners.config().read(address, 0)
}

#[vm_test(machine = "disks=1,spares=1")]
fn a_controller_arrives_in_an_empty_slot() {
    let pci = machine().pci.as_ref().unwrap();
    assert_eq!(pci.ports().len(), 2);
    let mut events = pci.events();
    news(&mut events);
    look();
    assert_eq!((controllers().len(), news(&mut events).len()), (1, 0));
    control::plug(1);
    look();
    let [Event::Arrived(function)] = &news(&mut events)[..] else {
        panic!("one function arrives");
    };
    assert_eq!(controllers().len(), 2);
    check(function);
    check(&controllers()[0]);
}

#[vm_test(machine = "spares=1,firmware=qboot")]
fn a_controller_arrives_where_firmware_numbered_no_buses() {
    control::plug(0);
    look();
    assert_eq!(controllers().len(), 1);
    check(&controllers()[0]);
}

#[vm_test(machine = "hotplug,disks=2")]
fn a_controller_is_let_go_and_comes_back_to_the_same_place() {
    let mut events = machine().pci.as_ref().unwrap().events();
    news(&mut events);
    let before = controllers();
    let address = before[0].address;
    for _ in 0..3 {
        control::unplug(0);
        until_gone(0);
        assert_eq!(
            news(&mut events),
            [Event::Leaving(address), Event::Removed(address)]
        );
        assert_eq!(controllers(), before[1..]);
        assert_eq!(identification(address), u32::MAX);
        control::plug(0);
        look();
        assert_eq!(controllers(), before);
        assert_eq!(news(&mut events), [Event::Arrived(before[0].clone())]);
        check(&before[0]);
    }
}

#[vm_test(machine = "hotplug")]
fn a_driver_is_asked_before_its_controller_goes() {
    let mut events = machine().pci.as_ref().unwrap().events();
    news(&mut events);
    let function = &controllers()[0];
    let device = machine().owners.as_ref().unwrap().claim(function).unwrap();
    control::unplug(0);
    look();
    look();
    assert_eq!(news(&mut events), [Event::Leaving(function.address)]);
    assert!(device.is_present() && !control::is_gone(0));
    drop(device);
    until_gone(0);
    assert_eq!(news(&mut events), [Event::Removed(function.address)]);
}

#[vm_test(machine = "hotplug")]
fn a_controller_that_is_torn_out_is_missed_and_can_be_replaced() {
    let mut events = machine().pci.as_ref().unwrap().events();
    news(&mut events);
    let function = &controllers()[0];
    let device = machine().owners.as_ref().unwrap().claim(function).unwrap();
    control::tear_out(0);
    assert!(!device.is_present());
    look();
    assert_eq!(news(&mut events), [Event::Removed(function.address)]);
    control::plug(0);
    look();
    assert_eq!(controllers(), [], "the old one still has a driver");
    drop(device);
    look();
    assert_eq!(news(&mut events), [Event::Arrived(function.clone())]);
    check(function);
}

/// Runs the machine's own tasks until the host's doing has interrupted.
fn until_interrupted(host: impl FnOnce()) {
    let before = hotplug::interrupts();
    host();
    block_on(async {
        while hotplug::interrupts() == before {
            yield_now().await;
        }
    });
}

#[vm_test(machine = "disks=1,spares=1,hotplug")]
fn the_machine_sees_what_comes_and_what_wants_to_go_by_interrupt() {
    let mut events = machine().pci.as_ref().unwrap().events();
    news(&mut events);
    block_on(yield_now());
    for round in 0..3 {
        until_interrupted(|| control::plug(1));
        let Event::Arrived(function) = block_on(events.next()) else {
            panic!("a function arrives in round {round}");
        };
        check(&function);
        let address = function.address;
        until_interrupted(|| control::unplug(1));
        assert_eq!(block_on(events.next()), Event::Leaving(address));
        assert_eq!(block_on(events.next()), Event::Removed(address));
        while !control::is_gone(1) {}
    }
    assert_eq!(controllers().len(), 1);
}

#[vm_test(machine = "hotplug")]
fn the_machine_misses_what_is_torn_out_without_a_word() {
    let mut events = machine().pci.as_ref().unwrap().events();
    news(&mut events);
    control::tear_out(0);
    let Event::Removed(_) = block_on(events.next()) else {
        panic!("nobody asks before a device is torn out");
    };
    assert_eq!(controllers(), []);
}
