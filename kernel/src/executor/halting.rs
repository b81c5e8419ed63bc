//! The way to the halt, with an interrupt at every moment of it.
//!
//! The machine's clock counts instructions, and the APIC's timer rings after a number of them. So the
//! timer is armed by hand, a little later each time, and the core goes to sleep: at first the timer
//! rings long before, then between any two of the instructions that lead to the halt, and at last while
//! the core is halted. Nothing else is going on. An interrupt that came after the last look and before
//! the halt would be the last one, and the test would not end.

use super::home::here;
use super::idle;
use crate::arch::apic;
use crate::interrupts;
use core::arch::asm;
use core::num::NonZero;
use vm_test::vm_test;

/// Ticks of the timer until the core has surely halted.
const TICKS: u32 = 64;

/// Instructions in a tick, as QEMU counts: 1 GHz, of which the kernel takes a sixteenth.
const INSTRUCTIONS: usize = 16;

#[vm_test(machine = "icount", timeout = 60)]
fn no_interrupt_is_lost_on_the_way_to_the_halt() {
    let here = here();
    let halts = || super::activity(here.home().core()).halts;
    let (before, mut rounds) = (halts(), 0);
    for ticks in 1..=TICKS {
        for later in 0..INSTRUCTIONS {
            interrupts::drain();
            apic::local().arm(NonZero::new(ticks).expect("not 0"));
            for _ in 0..later {
                // SAFETY: it does nothing.
                unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
            }
            while !interrupts::is_pending() {
                idle::wait(here);
            }
            rounds += 1;
        }
    }
    let halted = halts() - before;
    vm_test::record::note(format_args!("{halted} of {rounds} rounds halted"));
    // Where the moments are early, the core sees the interrupt, and does not halt.
    assert!((100..rounds).contains(&halted), "{halted} of {rounds}");
}
