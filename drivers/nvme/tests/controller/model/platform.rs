//! The machine that the driver believes to run on.

use super::memory::{Ours, PAGE};
use super::{Config, Model};
use crate::allocation;
use nvme::{Controller, Error, OutOfMemory, Platform, Registers, SharedMemory};
use phyr::{DmaAddr, DmaList, DmaRange};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// The platform: a way to the model.
#[derive(Clone)]
pub(crate) struct Machine(Rc<RefCell<Model>>);

impl Machine {
    pub(crate) fn new(config: Config) -> Self {
        Self(Rc::new(RefCell::new(Model::new(config))))
    }

    /// One turn of the device, and time for it.
    pub(crate) fn tick(&self) {
        allocation::of_the_model(|| self.model().tick());
    }

    pub(crate) fn model(&self) -> RefMut<'_, Model> {
        self.0.borrow_mut()
    }
}

// SAFETY: the model is this machine's only controller. It reaches memory by itself, and looks at
// the switch that `stop_dma` sets before each access.
unsafe impl Platform for Machine {
    type Registers = Self;
    type Shared = Shared;

    fn registers(&self) -> &Self {
        self
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, OutOfMemory> {
        allocation::of_the_model(|| {
            let mut model = self.model();
            let number = model.allocations;
            model.allocations += 1;
            if model.config.failing_allocation == Some(number) {
                return Err(OutOfMemory);
            }
            let pages = bytes.div_ceil(PAGE as usize);
            let bus = model.memory.map(pages).ok_or(OutOfMemory)?;
            model.memory.bytes_mut(bus, pages * PAGE as usize).fill(0);
            Ok(Shared {
                machine: self.clone(),
                bus,
                bytes,
            })
        })
    }

    fn microseconds(&self) -> u64 {
        self.model().clock
    }

    fn relax(&self) {
        self.tick();
    }

    fn start_dma(&self) {
        let mut model = self.model();
        if model.rdy {
            model.offence("DMA started while the controller runs");
        }
        model.memory.dma = true;
    }

    fn stop_dma(&self) {
        let mut model = self.model();
        model.stops += 1;
        model.memory.dma = false;
    }
}

impl Registers for Machine {
    fn len(&self) -> usize {
        self.model().window()
    }
    fn read32(&self, offset: usize) -> u32 {
        self.model().read32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        allocation::of_the_model(|| self.model().write32(offset, value));
    }
    fn read64(&self, offset: usize) -> u64 {
        self.model().read64(offset)
    }
    fn write64(&self, offset: usize, value: u64) {
        self.model().write64(offset, value);
    }
}

/// Memory that driver and model share.
pub(crate) struct Shared {
    machine: Machine,
    bus: u64,
    bytes: usize,
}

impl Shared {
    fn at(&self, offset: usize) -> u64 {
        assert_eq!(offset % 8, 0, "misaligned access to shared memory");
        assert!(offset + 8 <= self.bytes, "access behind shared memory");
        self.bus + offset as u64
    }
}

// SAFETY: a piece of the model's arena, taken by nobody else until it is dropped.
unsafe impl SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        DmaRange::new(DmaAddr::new(self.bus), self.bytes as u64).expect("a range")
    }
    fn load64(&self, offset: usize) -> u64 {
        let mut model = self.machine.model();
        let at = self.at(offset);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(model.memory.bytes(at, 8));
        // The device may be quick right after it.
        model.host_loads(at);
        u64::from_le_bytes(bytes)
    }
    fn store64(&self, offset: usize, value: u64) {
        let mut model = self.machine.model();
        let bytes = model.memory.bytes_mut(self.at(offset), 8);
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let pages = self.bytes.div_ceil(PAGE as usize);
        self.machine.model().memory.unmap(self.bus, pages);
    }
}

/// A controller in use, and the machine around it.
pub(crate) struct Bench {
    pub(crate) controller: Controller<Machine>,
    pub(crate) machine: Machine,
}

impl Bench {
    /// Brings a controller up that should come up.
    pub(crate) fn new(config: Config) -> Self {
        match Self::start(Machine::new(config)) {
            Ok(bench) => bench,
            Err(error) => panic!("{error}"),
        }
    }

    /// Brings a controller up that may not come up.
    pub(crate) fn start(machine: Machine) -> Result<Self, Error> {
        let controller = Controller::new(machine.clone())?;
        Ok(Self {
            controller,
            machine,
        })
    }

    /// Reads blocks until `memory` is full.
    pub(crate) fn read(&mut self, nsid: u32, block: u64, memory: &Ours) -> Result<(), Error> {
        self.controller.read(nsid, block, memory)
    }

    /// Writes all of `memory`.
    pub(crate) fn write(&mut self, nsid: u32, block: u64, memory: &Ours) -> Result<(), Error> {
        self.controller.write(nsid, block, memory)
    }

    pub(crate) fn flush(&mut self, nsid: u32) -> Result<(), Error> {
        self.controller.flush(nsid)
    }

    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        self.controller.reset()
    }

    pub(crate) fn shutdown(&mut self) -> Result<(), Error> {
        self.controller.shutdown()
    }

    /// Ends the use of the controller, whatever state it is in.
    pub(crate) fn end(self) {
        drop(self);
    }

    /// Maps pages for data, full of canaries. Returns the bus address.
    pub(crate) fn pages(&self, pages: usize) -> u64 {
        let bus = self.machine.model().memory.map(pages);
        bus.expect("memory for data")
    }

    /// What the disk holds.
    pub(crate) fn disk(&self, nsid: u32, block: u64, blocks: u64) -> Vec<u8> {
        let model = self.machine.model();
        let namespace = model.namespace(nsid).expect("a namespace");
        let shift = namespace.lbaf[namespace.format_index()].lbads();
        model.contents(nsid, block, blocks, shift)
    }

    pub(crate) fn contents(&self, list: &DmaList) -> Vec<u8> {
        self.machine.model().memory.contents(list)
    }

    pub(crate) fn set_contents(&self, list: &DmaList, contents: &[u8]) {
        let mut model = self.machine.model();
        model.memory.set_contents(list, contents);
    }

    /// Nothing has happened that may not happen, and the device is done with all memory.
    pub(crate) fn check(&self) {
        let model = self.machine.model();
        assert_eq!(model.offences, [""; 0]);
        assert_eq!(model.memory.faults, []);
        assert!(!model.is_busy(), "the device still works on memory");
    }

    /// I/O commands since the last call: opcode, namespace, first block, blocks.
    pub(crate) fn commands(&self) -> Vec<(u8, u32, u64, u64)> {
        let log = std::mem::take(&mut self.machine.model().log);
        let describe = |entry: &nvme::wire::SubmissionEntry| {
            let blocks = (entry.cdw12_13 & 0xffff) + 1;
            (entry.cdw0.opcode(), entry.nsid, entry.cdw10_11, blocks)
        };
        log.iter().map(describe).collect()
    }
}

impl Drop for Bench {
    /// Whatever a test was about, the driver has kept the rules.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}
