//! Waiting for an interrupt.

use super::home::Here;

// ANCHOR: idle
/// Halts the core until there may be something to do.
#[cfg(phyros)]
pub(super) fn wait(here: Here) {
    use x86_64::instructions::interrupts;
    if !interrupts::are_enabled() {
        // Early in the boot nothing would end the halt.
        core::hint::spin_loop();
        return;
    }
    interrupts::disable();
    here.home().doze.lie_down();
    if here.has_work() || crate::interrupts::is_pending() || !here.alarms.arm() {
        interrupts::enable();
    } else {
        here.home().counters.halts.add(1);
        // One block: no interrupt is taken between the two instructions.
        interrupts::enable_and_hlt();
    }
    here.home().doze.get_up();
}
// ANCHOR_END: idle

/// Parks the thread until there may be something to do.
#[cfg(not(phyros))]
pub(super) fn wait(here: Here) {
    here.home().doze.lie_down();
    if !here.has_work() && !here.alarms.skip() {
        here.home().counters.halts.add(1);
        std::thread::park();
    }
    here.home().doze.get_up();
}
