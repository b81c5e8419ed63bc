//! Waiting for an interrupt.

use super::home::Here;

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
    if here.has_work() || is_interrupted() {
        interrupts::enable();
    } else {
        here.home().counters.halts.add(1);
        // One block: no interrupt is taken between the two instructions.
        interrupts::enable_and_hlt();
    }
    here.home().doze.get_up();
}

/// Whether an interrupt was noted that nobody has looked at.
#[cfg(phyros)]
fn is_interrupted() -> bool {
    use core::sync::atomic::Ordering;
    let pending = &crate::cores::local().pending;
    pending.iter().any(|word| word.load(Ordering::Relaxed) != 0)
}

/// Parks the thread until there may be something to do.
#[cfg(not(phyros))]
pub(super) fn wait(here: Here) {
    here.home().doze.lie_down();
    if !here.has_work() {
        here.home().counters.halts.add(1);
        std::thread::park();
    }
    here.home().doze.get_up();
}
