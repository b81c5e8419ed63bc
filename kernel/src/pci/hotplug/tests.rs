//! Slots that behave, slots that lie, and devices that go at the worst moment.

use super::super::fake::{self, Fake, Machine, decoded_by};
use super::super::scan::{Holes, scan};
use super::super::{ConfigRead, header};
use super::*;
use phyr::{Phyr, PhysAddr};
use proptest::prelude::*;
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

/// A port with every event set at every look, whose device changes its mind.
struct Storm {
    machine: Machine,
    reads: Cell<u32>,
}

impl ConfigRead for Storm {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.reads.set(self.reads.get() + 1);
        match (address.bus(), usize::from(offset) / 4) {
            (0, fake::SLOT) => 0xffbf_0000 | self.reads.get() << 22,
            _ => self.machine.read(address, offset),
        }
    }
}

impl ConfigSpace for Storm {
    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        self.machine.write(address, offset, value);
    }
}

#[test]
fn a_storm_of_events_costs_a_bounded_number_of_accesses() {
    let port = Fake::port(ALL, vec![(0, 0, disk(0xaaaa))]);
    let machine = Machine(Mutex::new(vec![(1, 0, port)]));
    let reads = Cell::new(0);
    let tree = tree(Storm { machine, reads });
    let mut events = tree.events();
    for second in 0..100 {
        let reads = &tree.owners.config_space().reads;
        let before = reads.get();
        assert!(tree.look(START + Duration::from_secs(second)));
        assert!(reads.get() - before < 500);
        while events.try_next().is_some() {}
    }
}

/// Everything behind the port is gone after so many accesses.
struct Fleeting {
    machine: Machine,
    left: Cell<u32>,
}

impl ConfigRead for Fleeting {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        if address.bus() == 0 {
            return self.machine.read(address, offset);
        }
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                self.machine.read(address, offset)
            }
            None => u32::MAX,
        }
    }
}

impl ConfigSpace for Fleeting {
    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if address.bus() == 0 || self.left.get() != 0 {
            self.machine.write(address, offset, value);
        }
    }
}

#[test]
fn a_device_may_vanish_at_any_moment_of_the_scan() {
    let mut whole = 0;
    for accesses in 0..200 {
        let machine = Machine(Mutex::new(vec![(1, 0, Fake::port(ALL, Vec::new()))]));
        let left = Cell::new(u32::MAX);
        let tree = tree(Fleeting { machine, left });
        let mut events = tree.events();
        news(&mut events);
        let config = tree.owners.config_space();
        config.machine.0.lock()[0].2.plug(disk(0xaaaa));
        config.left.set(accesses);
        tree.look(START);
        config.left.set(0);
        tree.look(START + Duration::from_secs(2));
        let news = news(&mut events);
        whole += u32::from(news == [Arrived(0xaaaa), Removed]);
        assert!(
            news.is_empty() || news == [Arrived(0xaaaa), Removed],
            "{accesses}: {news:?}"
        );
        assert_eq!(tree.functions().len(), 1, "only the port is left");
    }
    assert!(whole > 0, "some accesses are enough");
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

#[derive(Debug, Clone)]
enum Deed {
    Plug(u16),
    Pull,
    Button,
    Vanish,
    Claim,
    Drop,
    Look,
    Wait,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        (1_u16..4).prop_map(|vendor| Deed::Plug(vendor << 8)),
        Just(Deed::Pull),
        Just(Deed::Button),
        Just(Deed::Vanish),
        Just(Deed::Claim),
        Just(Deed::Drop),
        Just(Deed::Look),
        Just(Deed::Wait),
    ];
    prop::collection::vec(deed, 0..40)
}

proptest! {
    /// Whatever happens in whatever order, the news make sense, and in the end the list is right.
    #[test]
    fn the_list_comes_to_what_is_there(deeds in deeds()) {
        let tree = machine(ALL, None);
        let mut events = tree.events();
        let (mut device, mut now, mut is_there) = (None, START, false);
        for deed in deeds.into_iter().chain([Deed::Drop, Deed::Pull, Deed::Look, Deed::Wait, Deed::Look]) {
            match deed {
                Deed::Plug(vendor) => port(&tree, |port| {
                    if port.behind.is_empty() {
                        port.plug(disk(vendor));
                    }
                }),
                Deed::Pull => port(&tree, Fake::pull),
                Deed::Button => port(&tree, Fake::press_button),
                Deed::Vanish => port(&tree, |port| port.behind.clear()),
                Deed::Claim => {
                    let found = tree.functions().into_iter().find(|function| function.address == at_slot());
                    if let (Some(function), None) = (found, &device) {
                        device = tree.owners.claim(&function).ok();
                    }
                }
                Deed::Drop => drop(device.take()),
                Deed::Look => drop(tree.look(now)),
                Deed::Wait => now += Duration::from_secs(6),
            }
            for event in news(&mut events) {
                match event {
                    Arrived(_) => {
                        prop_assert!(!is_there, "it was there already");
                        prop_assert!(device.is_none(), "the last one still has a driver");
                        is_there = true;
                    }
                    Removed => {
                        prop_assert!(is_there, "it was not there");
                        is_there = false;
                    }
                    Leaving => prop_assert!(is_there, "nobody leaves"),
                }
            }
            prop_assert_eq!(is_there, !seen(&tree).is_empty());
        }
        prop_assert!(!is_there);
        port(&tree, |port| port.plug(disk(0x7777)));
        tree.look(now);
        prop_assert_eq!(seen(&tree), [0x7777]);
    }
}
