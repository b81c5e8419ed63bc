//! The local APIC's registers and the words that go into them (Intel SDM volume 3, sections 11.4
//! to 11.12). Pure functions: what is written where is tested without an APIC.
//!
//! Both modes have the same registers. In xAPIC mode each is a 32-bit word at a multiple of 16 in a
//! page of memory; in x2APIC mode each is a model-specific register. Two differ in their layout:
//! the identifier has 8 or 32 bits, and the interrupt command is two words or one of 64 bits.

/// How the registers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As memory. Identifiers have 8 bits.
    Xapic,
    /// As model-specific registers. Identifiers have 32 bits.
    X2apic,
}

/// A register, by its offset in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Register {
    /// Who this is.
    Id = 0x020,
    /// Vectors of this priority and below wait.
    TaskPriority = 0x080,
    /// A write ends the interrupt that is being served.
    EndOfInterrupt = 0x0b0,
    /// The spurious vector, and the switch that turns the APIC on.
    Spurious = 0x0f0,
    /// What went wrong; a write makes it current.
    ErrorStatus = 0x280,
    /// Interrupts for other cores. All of it in x2APIC mode.
    Command = 0x300,
    /// The upper half, with the destination. Only in xAPIC mode.
    CommandHigh = 0x310,
    /// Local vector table: the timer.
    TimerVector = 0x320,
    /// Local vector table: the pin of the old interrupt controllers.
    Pin0Vector = 0x350,
    /// Local vector table: the pin of the non-maskable interrupt.
    Pin1Vector = 0x360,
    /// Local vector table: errors.
    ErrorVector = 0x370,
    /// Where the timer starts to count down. Zero stops it.
    InitialCount = 0x380,
    /// Where the timer is.
    CurrentCount = 0x390,
    /// By how much the timer's clock is divided.
    DivideConfiguration = 0x3e0,
}

impl Register {
    /// Where it lies in the page (table 11-1).
    pub const fn offset(self) -> usize {
        self as usize
    }

    /// Which model-specific register it is (section 11.12.1.2).
    pub const fn msr(self) -> u32 {
        0x800 + (self as u32 >> 4)
    }
}

/// What to send to another core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// An ordinary interrupt.
    Fixed(u8),
    /// The non-maskable interrupt.
    NonMaskable,
    /// Resets the core, and leaves it waiting for [`Startup`](Self::Startup).
    Init,
    /// Starts the core in real mode at page `.0` of the first mebibyte.
    Startup(u8),
}

/// The lower half of an interrupt command: what is sent (figure 11-12).
pub const fn command(delivery: Delivery) -> u32 {
    const ASSERT: u32 = 1 << 14;
    let (mode, vector) = match delivery {
        Delivery::Fixed(vector) => (0b000, vector),
        Delivery::NonMaskable => (0b100, 0),
        Delivery::Init => (0b101, 0),
        Delivery::Startup(page) => (0b110, page),
    };
    ASSERT | mode << 8 | vector as u32
}

/// In the lower half of the command register: the last command is still on its way.
pub const COMMAND_PENDING: u32 = 1 << 12;

/// The destination as the upper half of an interrupt command. `None` if the mode has no such core.
pub const fn destination(mode: Mode, apic_id: u32) -> Option<u32> {
    match mode {
        Mode::X2apic => Some(apic_id),
        // All ones is everybody.
        Mode::Xapic if apic_id < 0xff => Some(apic_id << 24),
        Mode::Xapic => None,
    }
}

/// The identifier in the word that [`Register::Id`] holds.
pub const fn id(mode: Mode, word: u32) -> u32 {
    match mode {
        Mode::Xapic => word >> 24,
        Mode::X2apic => word,
    }
}

/// An entry of the local vector table: deliver this vector.
pub const fn entry(vector: u8) -> u32 {
    vector as u32
}

/// An entry of the local vector table: nothing is delivered.
pub const MASKED: u32 = 1 << 16;

/// An entry of the local vector table: deliver the non-maskable interrupt.
pub const NON_MASKABLE: u32 = 0b100 << 8;

/// The word that turns the APIC on.
pub const fn enabled(spurious: u8) -> u32 {
    1 << 8 | spurious as u32
}

/// By how much the timer's clock is divided (figure 11-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Divide {
    /// Not at all.
    By1 = 0b1011,
    /// By two.
    By2 = 0b0000,
    /// By four.
    By4 = 0b0001,
    /// By eight.
    By8 = 0b0010,
    /// By sixteen.
    By16 = 0b0011,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_where_both_modes_have_them() {
        let table = [
            (Register::Id, 0x020, 0x802),
            (Register::EndOfInterrupt, 0x0b0, 0x80b),
            (Register::Spurious, 0x0f0, 0x80f),
            (Register::Command, 0x300, 0x830),
            (Register::TimerVector, 0x320, 0x832),
            (Register::ErrorVector, 0x370, 0x837),
            (Register::InitialCount, 0x380, 0x838),
            (Register::CurrentCount, 0x390, 0x839),
            (Register::DivideConfiguration, 0x3e0, 0x83e),
        ];
        for (register, offset, msr) in table {
            assert_eq!((register.offset(), register.msr()), (offset, msr));
        }
    }

    #[test]
    fn commands_are_those_of_the_manual() {
        // Section 9.4.4.1 gives 0xc4500 and 0xc46vv for "all but me"; without that shorthand:
        assert_eq!(command(Delivery::Init), 0x4500);
        assert_eq!(command(Delivery::Startup(0x08)), 0x4608);
        assert_eq!(command(Delivery::Fixed(0xfe)), 0x40fe);
        assert_eq!(command(Delivery::NonMaskable), 0x4400);
    }

    #[test]
    fn identifiers_above_254_need_the_second_mode() {
        assert_eq!(destination(Mode::Xapic, 3), Some(3 << 24));
        assert_eq!(destination(Mode::Xapic, 0xff), None);
        assert_eq!(destination(Mode::Xapic, 300), None);
        assert_eq!(destination(Mode::X2apic, 300), Some(300));
        assert_eq!(id(Mode::Xapic, 3 << 24), 3);
        assert_eq!(id(Mode::X2apic, 300), 300);
    }
}
