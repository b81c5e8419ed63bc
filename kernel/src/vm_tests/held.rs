//! What the host holds back stays so until it lets go.
//!
//! This needs requests that nobody waits for, and no driver: two pairs of queues, and commands written by hand.

use super::shared;
use crate::dma::{DmaMemory, Domain};
use crate::drivers::nvme;
use crate::machine::machine;
use crate::mmio::RegisterWindow;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use vm_test::{control, pattern, seed, vm_test};

const ENTRIES: u32 = 16;

/// A pair of queues (NVM Express base specification 2.0, section 3.3).
pub(super) struct Pair {
    number: u32,
    submissions: DmaMemory,
    completions: DmaMemory,
    sent: u32,
    taken: u32,
}

impl Pair {
    fn new(number: u32, domain: &Domain) -> Self {
        let memory = || shared(domain);
        Self {
            number,
            submissions: memory(),
            completions: memory(),
            sent: 0,
            taken: 0,
        }
    }

    /// Gives a command for namespace 1.
    fn send(&mut self, registers: &RegisterWindow, opcode: u64, address: u64, words: [u64; 2]) {
        self.send_with(registers, opcode, [address, 0], words);
    }

    /// The same, with both words of the data pointer.
    pub(super) fn send_with(
        &mut self,
        registers: &RegisterWindow,
        opcode: u64,
        data: [u64; 2],
        words: [u64; 2],
    ) {
        let base = (self.sent % ENTRIES) as usize * 64;
        let first = opcode | u64::from(self.sent) << 16 | 1 << 32;
        let entry = [
            (0, first),
            (24, data[0]),
            (32, data[1]),
            (40, words[0]),
            (48, words[1]),
        ];
        for (at, word) in entry {
            self.submissions.store64(base + at, word);
        }
        self.sent += 1;
        let doorbell = 0x1000 + 8 * self.number as usize;
        registers.write32(doorbell, self.sent % ENTRIES);
    }

    /// The status of the next completion, if it is there.
    fn take(&mut self) -> Option<u64> {
        let entry = (self.taken % ENTRIES) as usize * 16;
        let word = self.completions.load64(entry + 8) >> 48;
        let phase = u64::from((self.taken / ENTRIES).is_multiple_of(2));
        if word & 1 != phase {
            return None;
        }
        self.taken += 1;
        Some(word >> 1)
    }

    pub(super) fn wait(&mut self) -> u64 {
        loop {
            if let Some(status) = self.take() {
                return status;
            }
        }
    }
}

/// A controller with one pair of I/O queues.
pub(super) struct Controller {
    // Dropped before what it reaches.
    pub(super) device: Device<Ecam>,
    pub(super) registers: RegisterWindow,
    #[expect(dead_code, reason = "its memory is the controller's")]
    admin: Pair,
    pub(super) pair: Pair,
    data: DmaMemory,
}

impl Controller {
    pub(super) fn start() -> Self {
        let mut functions = machine().functions().into_iter();
        let function = functions.find(nvme::is_controller).unwrap();
        let device = machine().owners.as_ref().unwrap().claim(&function).unwrap();
        let registers = device.registers(0).unwrap();
        let domain = device.domain().unwrap();
        let (mut admin, pair) = (Pair::new(0, &domain), Pair::new(1, &domain));
        let data = shared(&domain);
        registers.write32(0x14, 0);
        while registers.read32(0x1c) & 1 != 0 {}
        registers.write32(0x24, (ENTRIES - 1) << 16 | (ENTRIES - 1));
        registers.write64(0x28, admin.submissions.bus().addr().get());
        registers.write64(0x30, admin.completions.bus().addr().get());
        // SAFETY: the controller is told of the memory in this structure only, which outlives it.
        unsafe { device.enable_bus_master() };
        registers.write32(0x14, 4 << 20 | 6 << 16 | 1);
        while registers.read32(0x1c) & 1 == 0 {}
        let size = u64::from(ENTRIES - 1) << 16 | 1;
        let queues = [
            (5, pair.completions.bus(), 1),
            (1, pair.submissions.bus(), 1 << 16 | 1),
        ];
        for (opcode, memory, how) in queues {
            let address = memory.addr().get();
            admin.send(&registers, opcode, address, [size | how << 32, 0]);
            assert_eq!(admin.wait(), 0);
        }
        Self {
            device,
            registers,
            admin,
            pair,
            data,
        }
    }

    /// Carries out a read of `blocks` blocks from block 0 on. `psdt` says what the pointer is. Returns
    /// the status: type, and code.
    pub(super) fn read_to(&mut self, psdt: u64, pointer: [u64; 2], blocks: u64) -> (u8, u8) {
        let first = 2 | psdt << 14;
        let registers = &self.registers;
        self.pair
            .send_with(registers, first, pointer, [0, blocks - 1]);
        let status = self.pair.wait();
        ((status >> 8) as u8 & 7, status as u8)
    }

    /// Reads a block of 512 bytes into the data at eight times its number.
    fn read(&mut self, block: u64) {
        let address = self.data.bus().addr().get() + 512 * (block % 8);
        self.pair.send(&self.registers, 2, address, [block, 0]);
    }

    fn has(&self, block: u64) -> bool {
        let word = self.data.load64(512 * (block % 8) as usize);
        word.to_le_bytes() == pattern::word(seed(), 64 * block)
    }
}

#[vm_test(machine = "nvme")]
fn reads_wait_from_hold_to_release() {
    let mut controller = Controller::start();
    controller.read(1);
    assert_eq!(controller.pair.wait(), 0);
    for round in 1..4 {
        control::hold(0);
        for block in [8 * round + 2, 8 * round + 3] {
            controller.read(block);
        }
        // Each call is a message to QEMU and back, in which it would have had time to read.
        for _ in 0..20 {
            assert_eq!(controller.pair.take(), None);
            assert!(!controller.has(8 * round + 2));
            control::cpu_milliseconds();
        }
        control::release(0);
        for _ in 0..2 {
            assert_eq!(controller.pair.wait(), 0);
        }
        assert!(controller.has(8 * round + 2) && controller.has(8 * round + 3));
        controller.read(1);
        assert_eq!(controller.pair.wait(), 0, "nothing is held any more");
    }
}

#[vm_test(machine = "nvme")]
fn a_reset_of_the_controller_lets_through_what_is_held_and_goes_on_holding() {
    let mut controller = Controller::start();
    control::hold(0);
    controller.read(2);
    // QEMU takes a command when its main loop comes to it, and answers its monitor from there, too.
    for _ in 0..2 {
        control::monitor("info name");
    }
    controller.registers.write32(0x14, 0);
    while controller.registers.read32(0x1c) & 1 != 0 {}
    assert!(controller.has(2), "the controller waits for it");
    drop(controller);
    let mut controller = Controller::start();
    controller.read(3);
    control::cpu_milliseconds();
    assert_eq!(controller.pair.take(), None);
    control::release(0);
    assert_eq!(controller.pair.wait(), 0);
}

#[vm_test(machine = "hotplug")]
fn what_is_held_ends_when_its_controller_is_torn_out() {
    let mut controller = Controller::start();
    control::hold(0);
    controller.read(2);
    control::tear_out(0);
    assert!(!controller.device.is_present());
    assert_eq!(controller.registers.read32(0x1c), 0, "nobody answers");
    control::plug(0);
    control::hold(0);
}
