//! Slots that behave, and slots that lie. Devices that go at the worst moment are in `trouble`, and whatever may happen, in any
//! order, in `orders`.

mod orders;
mod trouble;

use super::super::fake::{self, Fake, Machine, decoded_by};
use super::super::scan::{Holes, scan};
use super::super::{ConfigRead, header};
use super::*;
use phyr::{Phyr, PhysAddr};
use std::cell::Cell;

const ALL: u32 = fake::POWER_CONTROLLER | fake::INDICATOR;
const START: Duration = Duration::from_secs(10);

fn phyr(start: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(start), len).unwrap()
}

fn holes() -> Holes {
    Holes {
        low: Some(phyr(0x8000_0000, 0x4000_0000)),
        high: Some(phyr(1 << 32, 1 << 36)),
        taken: Vec::new(),
    }
}

fn tree<C: ConfigSpace>(config: C) -> Tree<C> {
    let bus = scan(&config, 0, 0, 255, &mut holes());
    Tree::new(Arc::new(Owners::new(config)), bus)
}

/// A machine with one port, at 00:01.0, so that what it holds is 01:00.0.
fn machine(abilities: u32, behind: Option<Fake>) -> Tree<Machine> {
    let behind = behind.map(|device| (0, 0, device));
    let port = Fake::port(abilities, behind.into_iter().collect());
    tree(Machine(Mutex::new(vec![(1, 0, port)])))
}

fn disk(vendor: u16) -> Fake {
    Fake::memory64(vendor, 0, 0x4000, false)
}

/// Does something to the port.
fn port<T>(tree: &Tree<Machine>, change: impl FnOnce(&mut Fake) -> T) -> T {
    change(&mut tree.owners.config_space().0.lock()[0].2)
}

fn at_slot() -> PciAddress {
    PciAddress::new(0, 1, 0, 0)
}

/// The vendors that are seen in the slot.
fn seen(tree: &Tree<Machine>) -> Vec<u16> {
    let functions = tree.functions();
    let behind = functions
        .iter()
        .filter(|function| function.address.bus() == 1);
    behind.map(|function| function.vendor).collect()
}

const NOBODY: [u16; 0] = [];

/// What is told of the slot; a vendor for an arrival.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Arrived(u16),
    Leaving,
    Removed,
}
use News::{Arrived, Leaving, Removed};

/// News of the slot since the last time.
fn news(events: &mut Events) -> Vec<News> {
    let next = || events.try_next();
    core::iter::from_fn(next)
        .filter_map(|event| match event {
            Event::Arrived(function) if function.secondary_bus.is_some() => None,
            Event::Arrived(function) => Some(Arrived(function.vendor)),
            Event::Leaving(address) => (address == at_slot()).then_some(Leaving),
            Event::Removed(address) => (address == at_slot()).then_some(Removed),
        })
        .collect()
}

#[test]
fn what_arrives_is_placed_in_the_window_and_announced() {
    let tree = machine(ALL, None);
    let mut events = tree.events();
    assert_eq!(news(&mut events), []);
    assert!(!tree.look(START));
    port(&tree, |port| port.plug(disk(0xaaaa)));
    tree.look(START);
    assert_eq!(news(&mut events), [Arrived(0xaaaa)]);
    let function = tree.functions().pop().unwrap();
    assert_eq!(function.address, at_slot());
    let bar = function.bars[0].phyr;
    assert!(tree.ports()[0].low.unwrap().contains(bar));
    let nodes = tree.owners.config_space().0.lock();
    assert_eq!(decoded_by(&nodes, bar.addr().get()), Some(0xaaaa));
    assert!(!nodes[0].2.is_dark());
}

#[test]
fn large_prefetchable_memory_has_room_in_an_empty_port() {
    let tree = machine(ALL, None);
    let device = Fake::memory64(0xaaaa, 2, 256 << 20, true);
    port(&tree, |port| port.plug(device));
    tree.look(START);
    let function = tree.functions().pop().unwrap();
    assert!(
        tree.ports()[0]
            .high
            .unwrap()
            .contains(function.bars[0].phyr)
    );
    assert!(tree.unplaced().is_empty());
}

#[test]
fn what_finds_no_room_is_shown_without_its_memory() {
    let tree = machine(ALL, None);
    port(&tree, |port| {
        port.plug(Fake::memory64(0xaaaa, 2, 4 << 30, true))
    });
    tree.look(START);
    assert_eq!(tree.unplaced().len(), 1);
    port(&tree, Fake::pull);
    tree.look(START);
    assert!(tree.unplaced().is_empty());
}

#[test]
fn whoever_subscribes_late_begins_with_what_is_there() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    assert_eq!(news(&mut events), [Arrived(0xaaaa)]);
    tree.look(START);
    assert_eq!(news(&mut events), []);
}

#[test]
fn the_button_is_answered_with_power_off() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    tree.look(START);
    port(&tree, Fake::press_button);
    assert!(!tree.look(START));
    assert_eq!(news(&mut events), [Leaving, Removed]);
    assert!(port(&tree, |port| port.is_dark()));
    assert_eq!(seen(&tree), NOBODY);
    port(&tree, Fake::pull);
    tree.look(START);
    port(&tree, |port| port.plug(disk(0xbbbb)));
    tree.look(START);
    assert_eq!(news(&mut events), [Arrived(0xbbbb)]);
}

#[test]
fn a_driver_has_time_to_let_go_after_the_button() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    let function = tree.functions().pop().unwrap();
    let device = tree.owners.claim(&function).unwrap();
    port(&tree, Fake::press_button);
    assert!(tree.look(START), "somebody has to look again");
    assert_eq!(news(&mut events), [Leaving]);
    assert!(tree.look(START));
    assert!(!port(&tree, |port| port.is_dark()), "it is still driven");
    drop(device);
    assert!(!tree.look(START));
    assert_eq!(news(&mut events), [Removed]);
    assert!(port(&tree, |port| port.is_dark()));
}

#[test]
fn a_driver_that_does_not_let_go_loses_its_device() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let function = tree.functions().pop().unwrap();
    let _device = tree.owners.claim(&function).unwrap();
    port(&tree, Fake::press_button);
    tree.look(START);
    assert!(tree.look(START + Duration::from_millis(4999)));
    assert_eq!(seen(&tree), [0xaaaa]);
    tree.look(START + Duration::from_secs(5));
    assert_eq!(seen(&tree), NOBODY);
    assert!(port(&tree, |port| port.is_dark()));
}

#[test]
fn what_is_pulled_is_gone_and_nothing_new_is_touched_before_its_driver_is() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    let function = tree.functions().pop().unwrap();
    let device = tree.owners.claim(&function).unwrap();
    port(&tree, Fake::pull);
    tree.look(START);
    assert_eq!(news(&mut events), [Removed]);
    port(&tree, |port| port.plug(disk(0xbbbb)));
    assert!(tree.look(START));
    assert!(tree.look(START + Duration::from_secs(60)));
    assert_eq!(news(&mut events), []);
    let command = tree.owners.config_space().read(at_slot(), header::COMMAND);
    assert_eq!(command & header::COMMAND_MEMORY, 0);
    drop(device);
    tree.look(START + Duration::from_secs(60));
    assert_eq!(news(&mut events), [Arrived(0xbbbb)]);
}

#[test]
fn what_goes_without_a_word_is_missed() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    port(&tree, |port| port.behind.clear());
    assert!(!tree.look(START));
    assert_eq!(news(&mut events), [Removed]);
    assert!(!tree.look(START), "the slot's word is not believed again");
    port(&tree, |port| port.plug(disk(0xbbbb)));
    tree.look(START);
    assert_eq!(news(&mut events), [Arrived(0xbbbb)]);
}

#[test]
fn an_exchange_between_two_looks_is_a_departure_and_an_arrival() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    port(&tree, |port| {
        port.pull();
        port.plug(disk(0xbbbb));
    });
    tree.look(START);
    assert_eq!(news(&mut events), [Removed, Arrived(0xbbbb)]);
    assert_eq!(seen(&tree), [0xbbbb]);
}

#[test]
fn presence_without_an_answer_ends_in_the_dark() {
    let tree = machine(ALL, None);
    let mut events = tree.events();
    port(&tree, |port| port.words[fake::SLOT] |= fake::PRESENT);
    assert!(tree.look(START));
    assert!(tree.look(START + Duration::from_millis(999)));
    assert!(!tree.look(START + Duration::from_secs(1)));
    assert!(port(&tree, |port| port.is_dark()));
    assert_eq!(news(&mut events), []);
    port(&tree, |port| port.plug(disk(0xaaaa)));
    tree.look(START + Duration::from_secs(2));
    assert_eq!(news(&mut events), [Arrived(0xaaaa)]);
}

#[test]
fn a_device_that_is_not_ready_is_waited_for() {
    let tree = machine(ALL, None);
    let mut device = disk(0x0001);
    device.words[0] = 0xffff_0001;
    port(&tree, |port| port.plug(device));
    assert!(tree.look(START));
    assert_eq!(seen(&tree), NOBODY);
    port(&tree, |port| port.behind[0].2.words[0] = 0x1234_aaaa);
    assert!(!tree.look(START));
    assert_eq!(seen(&tree), [0xaaaa]);
}

#[test]
fn a_slot_without_power_controller_and_indicator_is_used_all_the_same() {
    let tree = machine(0, None);
    port(&tree, |port| port.plug(disk(0xaaaa)));
    tree.look(START);
    assert_eq!(seen(&tree), [0xaaaa]);
    port(&tree, Fake::press_button);
    tree.look(START);
    assert_eq!(seen(&tree), NOBODY, "its driver has let it go");
    assert_eq!(port(&tree, |port| port.words[fake::SLOT] & 0x7c0), 0);
    port(&tree, Fake::pull);
    tree.look(START);
    port(&tree, |port| port.plug(disk(0xbbbb)));
    tree.look(START);
    assert_eq!(seen(&tree), [0xbbbb]);
}

#[test]
fn a_port_that_goes_takes_its_device_along() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    let mut events = tree.events();
    news(&mut events);
    tree.owners.config_space().0.lock().clear();
    tree.look(START);
    assert_eq!(news(&mut events), [Removed]);
    tree.look(START);
    assert_eq!(news(&mut events), []);
}

#[test]
fn interrupts_are_asked_for_without_switching_anything() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    tree.enable_interrupts();
    assert_eq!(port(&tree, |port| port.words[fake::SLOT] & 0xffff), 0x1029);
    tree.look(START);
    assert_eq!(seen(&tree), [0xaaaa]);
}

#[test]
fn no_event_is_left_behind() {
    let tree = machine(ALL, Some(disk(0xaaaa)));
    port(&tree, |port| port.words[fake::SLOT] |= 0x11f << 16);
    tree.look(START);
    assert_eq!(port(&tree, |port| port.words[fake::SLOT] & 0x11f << 16), 0);
}

#[test]
fn spare_room_is_given_up_where_there_is_none() {
    let port = || Fake::port(ALL, Vec::new());
    let nodes = vec![(1, 0, port()), (2, 0, port()), (3, 0, disk(0xaaaa))];
    let config = Machine(Mutex::new(nodes));
    let mut holes = Holes {
        low: Some(phyr(0x8000_0000, 3 << 20)),
        high: None,
        taken: Vec::new(),
    };
    let bus = scan(&config, 0, 0, 255, &mut holes);
    assert_eq!(bus.ports.len(), 2);
    assert!(bus.ports.iter().all(|port| port.low.is_none()));
    let last = bus.functions.last().unwrap();
    assert_eq!(last.bars.len(), 1, "what is there has its place");
}
