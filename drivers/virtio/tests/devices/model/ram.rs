//! The machine's memory: who has which part of it, and what a device did to parts that nobody has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Where it starts on the bus. Below, nothing is.
const BASE: u64 = 0x1_0000_0000;
const BYTES: u64 = 256 << 20;

/// Something that happens once.
type Event = Box<dyn FnOnce()>;

pub(crate) struct Ram {
    pub(crate) memory: GuestMemoryMmap,
    /// Start and length of what belongs to somebody.
    live: RefCell<BTreeMap<u64, u64>>,
    next: Cell<u64>,
    /// Accesses of the device to what belongs to nobody.
    wild: Cell<u64>,
    /// What happens, once, in the moment before the driver writes to an address.
    before: RefCell<Option<(u64, Event)>>,
}

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ram of which {} bytes belong to somebody", self.live())
    }
}

impl Ram {
    pub(crate) fn new() -> Self {
        let range = (GuestAddress(BASE), BYTES as usize);
        Self {
            memory: GuestMemoryMmap::from_ranges(&[range]).expect("memory for the test"),
            live: RefCell::default(),
            next: Cell::new(BASE + 0x1000),
            wild: Cell::new(0),
            before: RefCell::default(),
        }
    }

    /// Lets something happen, once, in the moment before the driver writes to an address.
    pub(crate) fn before_write(&self, at: u64, what: impl FnOnce() + 'static) {
        *self.before.borrow_mut() = Some((at, Box::new(what)));
    }

    /// The driver writes.
    pub(crate) fn driver_writes(&self, start: u64, bytes: &[u8]) {
        let due = self.before.borrow_mut().take_if(|(at, _)| *at == start);
        if let Some((_, what)) = due {
            what();
        }
        self.write(start, bytes);
    }

    /// Gives out memory, zeroed, never the same twice.
    pub(crate) fn allocate(&self, bytes: u64, align: u64) -> u64 {
        let start = self.next.get().next_multiple_of(align);
        assert!(start + bytes < BASE + BYTES, "the test needs more memory");
        // A gap, so that nothing touches.
        self.next.set(start + bytes + 1);
        self.live.borrow_mut().insert(start, bytes);
        start
    }

    pub(crate) fn free(&self, start: u64) {
        let was = self.live.borrow_mut().remove(&start);
        assert!(was.is_some(), "{start:#x} is freed twice");
    }

    /// How much belongs to somebody.
    pub(crate) fn live(&self) -> u64 {
        self.live.borrow().values().sum()
    }

    pub(crate) fn wild(&self) -> u64 {
        self.wild.get()
    }

    /// Whether all of it belongs to one owner.
    pub(crate) fn is_owned(&self, start: u64, bytes: u64) -> bool {
        let live = self.live.borrow();
        let below = live.range(..=start).next_back();
        below.is_some_and(|(at, len)| start + bytes <= at + len)
    }

    fn check(&self, start: u64, bytes: usize) -> bool {
        let owned = self.is_owned(start, bytes as u64);
        self.wild.set(self.wild.get() + u64::from(!owned));
        owned
    }

    /// The device reads.
    pub(crate) fn device_reads(&self, start: u64, bytes: &mut [u8]) {
        if self.check(start, bytes.len()) {
            self.read(start, bytes);
        }
    }

    /// The device writes.
    pub(crate) fn device_writes(&self, start: u64, bytes: &[u8]) {
        if self.check(start, bytes.len()) {
            self.write(start, bytes);
        }
    }

    pub(crate) fn read(&self, start: u64, bytes: &mut [u8]) {
        let read = self.memory.read_slice(bytes, GuestAddress(start));
        read.expect("inside");
    }

    pub(crate) fn write(&self, start: u64, bytes: &[u8]) {
        let written = self.memory.write_slice(bytes, GuestAddress(start));
        written.expect("inside");
    }

    pub(crate) fn get<const N: usize>(&self, start: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.device_reads(start, &mut bytes);
        bytes
    }
}
