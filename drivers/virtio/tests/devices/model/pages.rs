//! Memory of a balloon: whole pages of the machine's RAM.

use super::platform::Machine;
use super::ram::Ram;
use phyr::{Phyr, PhysAddr};
use std::rc::Rc;
use virtio::balloon::Surrendered;

const PAGE: u64 = 4096;

/// Pages of the model's memory.
#[derive(Debug)]
pub(crate) struct Pages {
    ram: Rc<Ram>,
    pub(crate) phyr: Phyr,
}

impl Pages {
    pub(crate) fn new(machine: &Machine, pages: u64) -> Self {
        let ram = machine.ram.clone();
        let start = ram.allocate(pages * PAGE, PAGE);
        let phyr = Phyr::new(PhysAddr::new(start), pages * PAGE).unwrap();
        Self { ram, phyr }
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        let first = (self.phyr.addr().get() / PAGE) as u32;
        (first..first + (self.phyr.len() / PAGE) as u32).collect()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.ram.free(self.phyr.addr().get());
    }
}

// SAFETY: the pages are the value's own until it is dropped, and nobody looks at them. No device is real.
unsafe impl Surrendered for Pages {
    fn phyr(&self) -> Phyr {
        self.phyr
    }
}
