//! I/O APICs: the wires of old devices, turned into messages to local APICs (Intel 82093AA
//! datasheet, section 3).
//!
//! Each input has a redirection entry: which vector, on which core, and what the line looks like
//! when the device asks. All inputs are masked until somebody has one.
//!
//! The registers are behind a window: one register says which of them the other one is. Two cores
//! that use the window at once would mix up their registers, so it is behind a lock.

use crate::lock::Mutex;
use crate::mmio::RegisterWindow;

/// The two registers that are memory.
pub trait Window {
    /// Reads one of them.
    fn read(&self, offset: usize) -> u32;
    /// Writes one of them.
    fn write(&self, offset: usize, value: u32);
}

impl Window for RegisterWindow {
    fn read(&self, offset: usize) -> u32 {
        self.read32(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        self.write32(offset, value);
    }
}

/// IOREGSEL: which register the next access of [`DATA`] is about.
const SELECT: usize = 0x00;
/// IOWIN.
const DATA: usize = 0x10;

/// The bytes that the two registers take.
pub const WINDOW_BYTES: u64 = 0x20;

const VERSION: u32 = 0x01;
const FIRST_ENTRY: u32 = 0x10;
const MASKED: u32 = 1 << 16;

/// What an input does (section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirection {
    /// What is raised.
    pub vector: u8,
    /// The APIC identifier of the core on which it is raised.
    pub apic_id: u8,
    /// The device asks while the line is low.
    pub active_low: bool,
}

impl Redirection {
    /// The two words of the entry, lower first: a fixed vector, to one core, once a change of the
    /// line, not masked.
    const fn words(self) -> [u32; 2] {
        let polarity = if self.active_low { 1 << 13 } else { 0 };
        [self.vector as u32 | polarity, (self.apic_id as u32) << 24]
    }
}

/// An I/O APIC.
#[derive(Debug)]
pub struct IoApic<W> {
    window: Mutex<W>,
    first_interrupt: u32,
    inputs: u32,
}

impl<W: Window> IoApic<W> {
    /// Takes over an I/O APIC, and masks all its inputs. The first is `first_interrupt` among those
    /// of the whole machine.
    pub fn new(window: W, first_interrupt: u32) -> Self {
        let inputs = (read(&window, VERSION) >> 16 & 0xff) + 1;
        let apic = Self {
            window: Mutex::new(window),
            first_interrupt,
            inputs,
        };
        for input in 0..inputs {
            apic.mask(input);
        }
        apic
    }

    /// Which of its inputs a global system interrupt is, if it is one.
    pub fn input(&self, interrupt: u32) -> Option<u32> {
        interrupt
            .checked_sub(self.first_interrupt)
            .filter(|input| *input < self.inputs)
    }

    /// All of its inputs, as global system interrupts.
    pub fn interrupts(&self) -> core::ops::Range<u32> {
        self.first_interrupt..self.first_interrupt.saturating_add(self.inputs)
    }

    /// Lets an input raise a vector. Inputs that it has not are ignored.
    pub fn redirect(&self, input: u32, redirection: Redirection) {
        self.set(input, redirection.words());
    }

    /// Keeps an input from raising anything.
    pub fn mask(&self, input: u32) {
        self.set(input, [MASKED, 0]);
    }

    /// Masks the entry before the upper word changes, so that no half of two is ever used.
    fn set(&self, input: u32, [low, high]: [u32; 2]) {
        if input >= self.inputs {
            return;
        }
        let register = FIRST_ENTRY + 2 * input;
        let window = self.window.lock();
        write(&*window, register, MASKED);
        write(&*window, register + 1, high);
        write(&*window, register, low);
    }
}

fn read(window: &impl Window, register: u32) -> u32 {
    window.write(SELECT, register);
    window.read(DATA)
}

fn write(window: &impl Window, register: u32, value: u32) {
    window.write(SELECT, register);
    window.write(DATA, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// Registers behind a window, and what was written to which.
    #[derive(Default)]
    struct Fake {
        version: u32,
        selected: Cell<u32>,
        registers: RefCell<BTreeMap<u32, u32>>,
        writes: RefCell<Vec<(u32, u32)>>,
    }

    impl Window for Fake {
        fn read(&self, offset: usize) -> u32 {
            assert_eq!((offset, self.selected.get()), (DATA, VERSION));
            self.version
        }

        fn write(&self, offset: usize, value: u32) {
            if offset == SELECT {
                self.selected.set(value);
                return;
            }
            assert_eq!(offset, DATA);
            let register = self.selected.get();
            let entries = self.registers.borrow();
            let is_masked = |word: Option<&u32>| word.is_none_or(|word| word & MASKED != 0);
            assert!(
                register.is_multiple_of(2) || is_masked(entries.get(&(register - 1))),
                "the destination changes while the input is open"
            );
            drop(entries);
            self.registers.borrow_mut().insert(register, value);
            self.writes.borrow_mut().push((register, value));
        }
    }

    fn apic() -> IoApic<Fake> {
        let fake = Fake {
            version: 23 << 16 | 0x20,
            ..Fake::default()
        };
        IoApic::new(fake, 24)
    }

    fn entry(apic: &IoApic<Fake>, input: u32) -> (u32, u32) {
        let window = apic.window.lock();
        let registers = window.registers.borrow();
        let register = FIRST_ENTRY + 2 * input;
        (registers[&register], registers[&(register + 1)])
    }

    #[test]
    fn every_input_is_masked_at_first() {
        let apic = apic();
        assert!((0..24).all(|input| entry(&apic, input) == (MASKED, 0)));
    }

    #[test]
    fn an_input_is_redirected_and_masked_again() {
        let apic = apic();
        let redirection = Redirection {
            vector: 0x31,
            apic_id: 5,
            active_low: false,
        };
        apic.redirect(4, redirection);
        assert_eq!(entry(&apic, 4), (0x31, 5 << 24));
        let active_low = true;
        apic.redirect(
            4,
            Redirection {
                active_low,
                ..redirection
            },
        );
        assert_eq!(entry(&apic, 4), (0x2031, 5 << 24));
        apic.mask(4);
        assert_eq!(entry(&apic, 4), (MASKED, 0));
    }

    #[test]
    fn interrupts_of_others_are_no_inputs() {
        let apic = apic();
        assert_eq!(apic.input(23), None);
        assert_eq!(apic.input(24), Some(0));
        assert_eq!(apic.input(47), Some(23));
        assert_eq!(apic.input(48), None);
        assert_eq!(apic.interrupts(), 24..48);
        let before = apic.window.lock().writes.borrow().len();
        apic.mask(24);
        apic.mask(u32::MAX);
        assert_eq!(apic.window.lock().writes.borrow().len(), before);
    }
}
