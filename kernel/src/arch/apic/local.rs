//! The local APIC: the part of the interrupt system that each core has to itself.
//!
//! It delivers device interrupts to its core, sends interrupts to other cores, and has a timer.
//! This is its driver. It has no state of its own: every method works on the APIC of the core that
//! calls it.
//!
//! Nothing here waits without an end: an APIC that does not send is an error, not a hang.

use super::bus::Bus;
use super::registers::{
    self, COMMAND_PENDING, Delivery, Divide, MASKED, Mode, NON_MASKABLE, Register,
};
use crate::arch::vectors;
use core::fmt;
use core::num::NonZero;

/// How often the state of a command is read before it counts as stuck. A command takes
/// microseconds; this is a good part of a second.
const PATIENCE: u32 = 1 << 20;

/// How the timer's clock is divided: finer than a microsecond with the slowest clock (24 MHz) and
/// a minute long with the fastest (1 GHz).
const DIVIDE: Divide = Divide::By16;

/// Why an interrupt was not sent to a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpiError {
    /// The APIC still has the command before this one, after a long time.
    Stuck,
    /// The core's identifier has more bits than xAPIC mode can send to.
    Unreachable(u32),
}

impl fmt::Display for IpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck => f.write_str("the local APIC does not send"),
            Self::Unreachable(id) => {
                write!(
                    f,
                    "the core with APIC id {id} is out of reach without x2APIC"
                )
            }
        }
    }
}

impl core::error::Error for IpiError {}

/// The running core's local APIC.
#[derive(Debug)]
pub struct LocalApic<B> {
    bus: B,
}

impl<B: Bus> LocalApic<B> {
    pub(super) const fn new(bus: B) -> Self {
        Self { bus }
    }

    pub(in crate::arch) fn bus(&self) -> &B {
        &self.bus
    }

    /// Prepares the running core's APIC: on, nothing held back, errors and timer at their vectors,
    /// the old interrupt controllers' pin masked.
    pub(super) fn enable(&self) {
        let write = |register, value| self.bus.write(register, value);
        // First, because entries of the local vector table stay masked while the APIC is off.
        write(Register::Spurious, registers::enabled(vectors::SPURIOUS));
        write(Register::TaskPriority, 0);
        write(Register::Pin0Vector, MASKED);
        write(Register::Pin1Vector, NON_MASKABLE);
        write(Register::ErrorVector, registers::entry(vectors::APIC_ERROR));
        write(Register::InitialCount, 0);
        write(Register::DivideConfiguration, DIVIDE as u32);
        // Mode bits of zero: one-shot.
        write(Register::TimerVector, registers::entry(vectors::TIMER));
        self.take_errors();
    }

    /// How the registers are reached.
    pub fn mode(&self) -> Mode {
        self.bus.mode()
    }

    /// What interrupt controllers call the running core.
    pub fn id(&self) -> u32 {
        registers::id(self.mode(), self.bus.read(Register::Id))
    }

    /// Ends the interrupt that is being served. Stubs do this by themselves.
    pub fn end_of_interrupt(&self) {
        self.bus.write(Register::EndOfInterrupt, 0);
    }

    /// What has gone wrong since the last look (figure 11-9).
    pub fn take_errors(&self) -> u32 {
        self.bus.write(Register::ErrorStatus, 0);
        self.bus.read(Register::ErrorStatus)
    }

    /// Sends an ordinary interrupt to the core of this APIC identifier.
    #[inline]
    pub fn send_fixed(&self, apic_id: u32, vector: u8) -> Result<(), IpiError> {
        self.send(apic_id, Delivery::Fixed(vector))
    }

    /// Sends the non-maskable interrupt.
    pub fn send_nmi(&self, apic_id: u32) -> Result<(), IpiError> {
        self.send(apic_id, Delivery::NonMaskable)
    }

    /// Resets a core and makes it wait for [`send_startup`](Self::send_startup). Returns when it
    /// has been sent.
    pub fn send_init(&self, apic_id: u32) -> Result<(), IpiError> {
        self.send(apic_id, Delivery::Init)?;
        self.wait_until_sent()
    }

    /// Starts a core that waits, at 4096 times `page`. Returns when it has been sent.
    pub fn send_startup(&self, apic_id: u32, page: u8) -> Result<(), IpiError> {
        self.send(apic_id, Delivery::Startup(page))?;
        self.wait_until_sent()
    }

    /// Waits for the command before this one, and gives the command to the APIC.
    fn send(&self, apic_id: u32, delivery: Delivery) -> Result<(), IpiError> {
        let mode = self.mode();
        let destination =
            registers::destination(mode, apic_id).ok_or(IpiError::Unreachable(apic_id))?;
        let command = registers::command(delivery);
        match mode {
            Mode::Xapic => {
                self.wait_until_sent()?;
                self.bus.write(Register::CommandHigh, destination);
                // The write of the lower half sends. No interrupt comes in between that would send
                // one of its own: stubs send nothing.
                self.bus.write(Register::Command, command);
            }
            Mode::X2apic => {
                let wide = u64::from(destination) << 32 | u64::from(command);
                self.bus.write_wide(Register::Command, wide);
            }
        }
        Ok(())
    }

    /// In x2APIC mode there is nothing to wait for (section 11.12.9).
    fn wait_until_sent(&self) -> Result<(), IpiError> {
        if self.mode() == Mode::X2apic {
            return Ok(());
        }
        for _ in 0..PATIENCE {
            if self.bus.read(Register::Command) & COMMAND_PENDING == 0 {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(IpiError::Stuck)
    }

    /// Starts the timer: after so many ticks [`vectors::TIMER`] is raised once. What it was armed
    /// with before is forgotten. See [`super::timer`] for how long a tick is.
    #[inline]
    pub fn arm(&self, ticks: NonZero<u32>) {
        self.bus.write(Register::InitialCount, ticks.get());
    }

    /// Stops the timer. An interrupt of it may already be on its way.
    #[inline]
    pub fn disarm(&self) {
        self.bus.write(Register::InitialCount, 0);
    }

    /// The ticks that are left. Zero: the timer has run out or was stopped.
    pub fn remaining(&self) -> u32 {
        self.bus.read(Register::CurrentCount)
    }

    /// Lets the timer raise its vector, or only count.
    pub(super) fn set_timer_silent(&self, silent: bool) {
        let mask = if silent { MASKED } else { 0 };
        let entry = registers::entry(vectors::TIMER) | mask;
        self.bus.write(Register::TimerVector, entry);
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
