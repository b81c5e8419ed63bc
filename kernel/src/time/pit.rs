//! The oldest timer of a PC, the 8254 (Intel datasheet 231164; its ports are those of the PC/AT).
//!
//! No table names it, and machines without any other timer have it: QEMU's `microvm` does. Of its three
//! channels the third is nobody's but the loudspeaker's. It counts down once from 65 536, which takes 55 ms,
//! and then raises its output (mode 0).
//!
//! It wraps around while the counter that is measured goes on. A hypervisor may stop the CPU for longer than
//! 55 ms, and then the difference of two counts means nothing. The output says so: it rises at the end, and stays.

use super::clock::Reference;
use x86_64::instructions::port::Port;

/// The ports, so that tests have a timer of their own.
pub(super) trait Ports {
    fn read(&mut self, port: u16) -> u8;
    fn write(&mut self, port: u16, value: u8);
}

/// The machine's.
pub(super) struct Machine;

impl Ports for Machine {
    fn read(&mut self, port: u16) -> u8 {
        // SAFETY: the ports of this module are the timer's and system control port B on every PC, and nobody's
        // where they are not. What is read there changes what the timer says next, and nothing else.
        unsafe { Port::new(port).read() }
    }

    fn write(&mut self, port: u16, value: u8) {
        // SAFETY: as above. The third channel interrupts nobody, and the kernel has no other use for it.
        unsafe { Port::new(port).write(value) }
    }
}

/// The third channel's counter.
const COUNTER: u16 = 0x42;
/// What commands are written to.
const COMMAND: u16 = 0x43;
/// System control port B.
const CONTROL: u16 = 0x61;

/// Control: the third channel counts.
const GATE: u8 = 1 << 0;
/// Control: bits that are others' and keep their values, whether errors of memory and of boards are reported.
const OTHERS: u8 = 0b1100;

/// The third channel is to count once (mode 0), in binary; low and high byte are written and read in turn.
const COUNT_ONCE: u8 = 0b1011_0000;
/// The third channel's counter is to be held until it has been read.
const HOLD_COUNTER: u8 = 0b1000_0000;
/// The third channel's state is to be read next.
const HOLD_STATE: u8 = 0b1110_1000;

/// State: the output is high, so the count came to its end.
const OUTPUT: u8 = 1 << 7;
/// State: what was written has not reached the counter yet.
const NOT_LOADED: u8 = 1 << 6;
/// State: what was asked for with [`COUNT_ONCE`].
const ASKED_FOR: u8 = 0b11_1111;

/// The third channel, counting.
pub(super) struct PitCounter<P> {
    ports: P,
}

impl<P: Ports> PitCounter<P> {
    /// Starts it. `None` where there is no such timer: it does not repeat what it was told.
    pub(super) fn open(ports: P) -> Option<Self> {
        /// The count is loaded with the next tick, in less than a microsecond. An emulated CPU looks in nanoseconds.
        const PATIENCE: usize = 10_000;
        let mut counter = Self { ports };
        let ports = &mut counter.ports;
        let others = ports.read(CONTROL) & OTHERS;
        ports.write(CONTROL, others | GATE);
        ports.write(COMMAND, COUNT_ONCE);
        // Zero stands for 65 536.
        ports.write(COUNTER, 0);
        ports.write(COUNTER, 0);
        let mut states = (0..PATIENCE).map(|_| counter.state());
        let loaded = states.find(|state| state & NOT_LOADED == 0)?;
        (loaded & ASKED_FOR == COUNT_ONCE & ASKED_FOR).then_some(counter)
    }

    fn state(&mut self) -> u8 {
        self.ports.write(COMMAND, HOLD_STATE);
        self.ports.read(COUNTER)
    }
}

impl<P: Ports> Reference for PitCounter<P> {
    /// In a millisecond no machine looks so often. Each look is three accesses to ports, of a microsecond each on a real
    /// machine, and of a few nanoseconds where a CPU is emulated and counts its instructions.
    const PATIENCE: u32 = 400_000;

    fn hertz(&self) -> u64 {
        1_193_182
    }

    fn count(&mut self) -> u64 {
        self.ports.write(COMMAND, HOLD_COUNTER);
        let low = self.ports.read(COUNTER);
        let high = self.ports.read(COUNTER);
        // It counts down.
        u64::from(u16::from_le_bytes([low, high]).wrapping_neg())
    }

    fn mask(&self) -> u64 {
        u64::from(u16::MAX)
    }

    fn has_ended(&mut self) -> bool {
        self.state() & OUTPUT != 0
    }
}

#[cfg(test)]
#[path = "pit_tests.rs"]
mod tests;
