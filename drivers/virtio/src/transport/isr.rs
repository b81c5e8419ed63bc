//! What a PCI device asks for by its line, INTx (section 4.1.4.5).
//!
//! A device without messages, or whose messages are off, raises a line, which it may share with others. Only the register
//! that says why also makes the line fall: it is read, once, by whoever heard something, and *then* its driver looks at the
//! queues. What the device has done before the read is seen by that look, and what it does later raises the line
//! again. In the other order the line falls for something that nobody has seen.

use crate::platform::Registers;

/// What a device asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Somebody should look at its queues.
    pub queues: bool,
    /// Its configuration has changed, or it wants to be reset.
    pub configuration: bool,
}

impl Asked {
    /// Whether it is anything.
    pub const fn is_some(self) -> bool {
        self.queues || self.configuration
    }
}

/// Reads the register, by which the line of the device falls. Where nobody answers, nobody asks.
pub fn ask(isr: &impl Registers) -> Asked {
    const QUEUES: u8 = 1 << 0;
    const CONFIGURATION: u8 = 1 << 1;
    match isr.read8(0) {
        // A device that is gone holds no line.
        u8::MAX => Asked::default(),
        status => Asked {
            queues: status & QUEUES != 0,
            configuration: status & CONFIGURATION != 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// The register, which is zero once it was read.
    struct Isr(Cell<u8>);

    impl Registers for Isr {
        fn len(&self) -> usize {
            1
        }
        fn read8(&self, offset: usize) -> u8 {
            assert_eq!(offset, 0);
            match self.0.get() {
                u8::MAX => u8::MAX,
                _ => self.0.take(),
            }
        }
        fn read16(&self, _: usize) -> u16 {
            panic!("it has one byte")
        }
        fn read32(&self, _: usize) -> u32 {
            panic!("it has one byte")
        }
        fn write8(&self, _: usize, _: u8) {
            panic!("it is only read")
        }
        fn write16(&self, _: usize, _: u16) {
            panic!("it is only read")
        }
        fn write32(&self, _: usize, _: u32) {
            panic!("it is only read")
        }
    }

    #[test]
    fn a_device_that_was_asked_asks_no_more() {
        for status in 0..4 {
            let isr = Isr(Cell::new(status));
            let asked = ask(&isr);
            assert_eq!(asked.queues, status & 1 != 0);
            assert_eq!(asked.configuration, status & 2 != 0);
            assert_eq!(asked.is_some(), status != 0);
            assert!(!ask(&isr).is_some());
        }
    }

    #[test]
    fn nobody_asks_where_nobody_is_and_bits_without_a_meaning_have_none() {
        assert!(!ask(&Isr(Cell::new(0xff))).is_some());
        assert!(!ask(&Isr(Cell::new(0xfc))).is_some());
    }
}
