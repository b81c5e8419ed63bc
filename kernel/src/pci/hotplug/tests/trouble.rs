//! Ports that storm, and devices that vanish in the middle of a look.

use super::*;

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
