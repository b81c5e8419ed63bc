//! Interrupts that still come by wire: the UART's, above all.
//!
//! An ISA device has a number, its IRQ. The firmware says which input of which I/O APIC that is,
//! and what the line looks like when the device asks (see [`Override`]); where it says nothing, the
//! input has the IRQ's number, and a rising line asks.
//!
//! A line that asks for as long as it is raised is refused: the handler acknowledges before anybody
//! has asked the device, so the line would interrupt again and again. PCI devices, which have such
//! lines, have messages too. A device whose driver makes the line fall before it looks can do with its edges: [`wired`]. So
//! can all who share a line, if each of them does, and they go on until nobody has anything: [`lines`].

use super::{Interrupt, inputs};
use crate::acpi::Override;
use crate::arch::apic::io::{IoApic, Redirection, WINDOW_BYTES};
use crate::cores::{self, CoreId};
use crate::drivers::virtio::window::Found;
use crate::lock::Mutex;
use crate::machine::machine;
use crate::memory::is_ram;
use crate::mmio::RegisterWindow;
use crate::println;
use alloc::vec::Vec;
use core::fmt;
use phyr::Phyr;
use spin::Once;

static IO_APICS: Once<Vec<IoApic<RegisterWindow>>> = Once::new();

/// Takes over every I/O APIC, and masks all inputs.
pub(super) fn init() {
    IO_APICS.call_once(|| {
        let mut found = Vec::new();
        for described in &machine().platform.io_apics {
            let Some(registers) = Phyr::new(described.address, WINDOW_BYTES)
                .ok()
                .filter(|registers| !is_ram(*registers))
            else {
                println!(
                    "apic: the firmware reports an I/O APIC in RAM, at {}",
                    described.address
                );
                continue;
            };
            // SAFETY: the firmware says that the I/O APIC is there, it is no RAM, and this is its
            // only driver.
            match unsafe { RegisterWindow::map(registers) } {
                Ok(window) => found.push(IoApic::new(window, described.first_interrupt)),
                Err(error) => println!("apic: the I/O APIC cannot be mapped: {error}"),
            }
        }
        found
    });
}

/// Why an IRQ cannot be waited for. Poll the device instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyError {
    /// No I/O APIC has the input.
    NoInput,
    /// The line asks for as long as it is raised.
    Level,
    /// The boot core's identifier has more bits than an I/O APIC can send to.
    Unreachable,
    /// Somebody has it.
    Taken,
}

impl fmt::Display for LegacyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInput => "no I/O APIC has the input",
            Self::Level => "the line is level-triggered",
            Self::Unreachable => "no I/O APIC reaches the boot core",
            Self::Taken => "the interrupt has an owner",
        })
    }
}

impl core::error::Error for LegacyError {}

/// The inputs that somebody has, as global system interrupts.
static TAKEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// An input of an I/O APIC that raises somebody's vector. Masked when it is dropped.
#[derive(Debug)]
pub(super) struct Line {
    interrupt: u32,
}

impl Line {
    /// Does something with the I/O APIC that has the input.
    fn with<R>(
        interrupt: u32,
        action: impl FnOnce(&IoApic<RegisterWindow>, u32) -> R,
    ) -> Option<R> {
        let apics = IO_APICS.get()?;
        let (apic, input) = apics
            .iter()
            .find_map(|apic| Some((apic, apic.input(interrupt)?)))?;
        Some(action(apic, input))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        Self::with(self.interrupt, |apic, input| apic.mask(input));
        TAKEN.lock().retain(|taken| *taken != self.interrupt);
    }
}

/// The interrupt of an ISA device, on the boot core.
///
/// It comes when the line rises, so once for all that the device has until then: after a wake-up,
/// ask the device until it has nothing more.
pub fn legacy(irq: u8) -> Result<Interrupt, LegacyError> {
    let route = route(&machine().platform.overrides, irq);
    if route.level {
        return Err(LegacyError::Level);
    }
    take(route)
}

/// The interrupt of a device at this input of all I/O APICs, on the boot core. It asks by a line that rises.
///
/// The firmware may call the line level-triggered. This is for a device whose driver makes the line fall, and looks at the
/// device after that: then each thing that the driver has not seen is behind an edge that comes later.
pub fn wired(interrupt: u32) -> Result<Interrupt, LegacyError> {
    take(Override {
        irq: 0,
        interrupt,
        active_low: false,
        level: false,
    })
}

/// One interrupt for all lines of PCI, on the boot core. It comes when any of them rises, so long as it was down.
///
/// Which lines there are is not known: all inputs are taken that may have one. It is for whoever makes all lines fall, of all
/// functions that use theirs, and looks at the functions after that ([`pci::intx`](crate::pci::intx)).
pub fn lines() -> Result<Interrupt, LegacyError> {
    let apic_id = reachable()?;
    let mut interrupt = Interrupt::allocate(CoreId::BOOT);
    for route in candidates() {
        // One that somebody has is not shared.
        if let Ok(line) = claim(route.interrupt) {
            open(route, apic_id, interrupt.vector());
            interrupt.lines.push(line);
        }
    }
    match interrupt.lines.is_empty() {
        true => Err(LegacyError::NoInput),
        false => Ok(interrupt),
    }
}

/// Whether [`lines`] can be heard.
pub fn can_hear_lines() -> Result<(), LegacyError> {
    reachable()?;
    match candidates().is_empty() {
        true => Err(LegacyError::NoInput),
        false => Ok(()),
    }
}

/// The inputs that lines of PCI may lead to.
fn candidates() -> Vec<Override> {
    let apics = IO_APICS.get().into_iter().flatten();
    let own: Vec<u32> = machine().windows.iter().map(Found::input).collect();
    let all = apics.flat_map(IoApic::interrupts);
    inputs::of_pci(all, &machine().platform.overrides, &own)
}

/// The boot core, as an I/O APIC calls it.
fn reachable() -> Result<u8, LegacyError> {
    let apic_id = cores::local_of(CoreId::BOOT).apic_id();
    u8::try_from(apic_id).map_err(|_| LegacyError::Unreachable)
}

/// Takes the input, and lets it raise a vector of the boot core.
fn take(route: Override) -> Result<Interrupt, LegacyError> {
    let apic_id = reachable()?;
    let line = claim(route.interrupt)?;
    let mut interrupt = Interrupt::allocate(CoreId::BOOT);
    open(route, apic_id, interrupt.vector());
    interrupt.lines.push(line);
    Ok(interrupt)
}

/// Makes the input somebody's.
fn claim(interrupt: u32) -> Result<Line, LegacyError> {
    Line::with(interrupt, |_, _| ()).ok_or(LegacyError::NoInput)?;
    let mut taken = TAKEN.lock();
    if taken.contains(&interrupt) {
        return Err(LegacyError::Taken);
    }
    taken.push(interrupt);
    Ok(Line { interrupt })
}

/// Lets an input raise a vector, when its line rises.
fn open(route: Override, apic_id: u8, vector: u8) {
    let redirection = Redirection {
        vector,
        apic_id,
        active_low: route.active_low,
    };
    Line::with(route.interrupt, |apic, input| {
        apic.redirect(input, redirection);
    });
}

/// What the firmware says of an IRQ, or what holds where it says nothing.
fn route(overrides: &[Override], irq: u8) -> Override {
    let said = overrides.iter().find(|said| said.irq == irq);
    said.copied().unwrap_or(Override {
        irq,
        interrupt: u32::from(irq),
        active_low: false,
        level: false,
    })
}
