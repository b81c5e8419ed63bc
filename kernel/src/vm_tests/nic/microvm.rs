//! A card that is on no bus.

use super::card;
use super::carrying::{frames_in, frames_out};
use super::control::link_goes_and_comes;
use crate::drivers::virtio::Location;
use crate::machine::machine;
use phyr::PhysAddr;
use vm_test::vm_test;

/// One wire tells of both queues. The host compares, and sends, each frame.
#[vm_test(machine = "microvm,nic", timeout = 60)]
fn frames_pass_through_a_card_in_a_window() {
    assert!(machine().pci.is_none());
    frames_out();
    frames_in();
    let window = Location::Window(PhysAddr::new(0xfeb0_0200));
    assert_eq!(card().location(), window);
    let counters = card().pair_counters().unwrap();
    assert!(counters.receive.interrupts > 0, "{counters:?}");
}

/// No table says which interrupt controller there is, so nothing interrupts.
#[vm_test(machine = "microvm=bare,nic", timeout = 60)]
fn frames_pass_through_a_card_that_the_command_line_names() {
    frames_out();
    frames_in();
    let counters = card().pair_counters().unwrap();
    assert_eq!(
        counters.receive.interrupts + counters.transmit.interrupts,
        0
    );
}

/// The same wire tells of changes of the configuration.
#[vm_test(machine = "microvm,nic", timeout = 60)]
fn the_wire_tells_of_the_link() {
    link_goes_and_comes();
}
