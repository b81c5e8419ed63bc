//! The power button.
//!
//! Whoever presses it wants the machine to end in good order: what was written is to be on the disks. A
//! hypervisor presses it, too, when it is told to shut its guest down. Nothing interrupts for it; a task
//! looks at the bit a few times in a second, which is soon enough for a person.

use crate::machine::machine;
use crate::memory::is_ram;
use crate::mmio::RegisterWindow;
use embassy_time::Timer;
use x86_64::instructions::port::Port;

/// The button's bit, in the event register and in the one that enables events (ACPI 6.5, section
/// 4.8.3.1).
const BUTTON: u16 = 1 << 8;

const MILLISECONDS: u64 = 200;

/// Resolves when the power button is pressed; on a machine without one, never.
pub async fn button() {
    let Some(button) = machine().platform.power_button else {
        return button_of_events().await;
    };
    let (mut events, mut enabled) = (
        Port::<u16>::new(button.events),
        Port::<u16>::new(button.events + 2),
    );
    // SAFETY: the firmware says that these are the registers. Enabling an event makes its bit count.
    let before = unsafe { enabled.read() };
    // SAFETY: as above. The interrupt that this might raise is masked.
    unsafe { enabled.write(before | BUTTON) };
    loop {
        // SAFETY: reading has no effect.
        let now = unsafe { events.read() };
        if now & BUTTON != 0 {
            // SAFETY: writing a bit clears it, so that the next press is another.
            unsafe { events.write(BUTTON) };
            return;
        }
        Timer::after_millis(MILLISECONDS).await;
    }
}

/// The button of a board without fixed registers: a bit in the register of events.
async fn button_of_events() {
    const PRESSED: u32 = 1 << 1;
    let events = machine().platform.events;
    let Some(events) = events.filter(|events| !is_ram(*events)) else {
        return core::future::pending().await;
    };
    // SAFETY: the firmware says that the register is there, it is no RAM, and nobody else reads it.
    let Ok(window) = (unsafe { RegisterWindow::map(events) }) else {
        return core::future::pending().await;
    };
    while window.read32(0) & PRESSED == 0 {
        Timer::after_millis(MILLISECONDS).await;
    }
}
