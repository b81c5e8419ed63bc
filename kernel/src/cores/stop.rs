//! One core reports a defect, and the others stand still.
//!
//! A panic or an exception on one core ends the machine. While it is being reported the others must
//! not write between the lines, and must not change what is reported. They may be anywhere, also
//! where interrupts are disabled. So they get the non-maskable interrupt, and its handler never
//! returns.
//!
//! Two cores may fail at the same time: the first one reports. The second one's end is a
//! consequence, or at least the lesser mystery.

use super::{CoreId, MAX_CORES, current, online};
use crate::arch::apic;
use crate::time;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How long the others get to stand still, in microseconds. The report matters more than they do.
const PATIENCE: u64 = 1_000_000;

const NOBODY: usize = MAX_CORES;

/// The number of the core that reports.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);

/// The cores that stand still, a bit each.
static STOPPED: AtomicU64 = AtomicU64::new(0);

/// Makes the running core the one that reports, and stops all others; or stops it, if another core
/// has come before. It may be called again by the core that reports.
pub(crate) fn others() {
    let me = current();
    match REPORTER.compare_exchange(NOBODY, me.index(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(reporter) if reporter == me.index() => return,
        Err(_) => stand_still(me),
    }
    // Where there are others, there is an APIC.
    let others = || online().filter(|core| *core != me);
    for core in others() {
        // One that cannot be reached goes on, and may disturb the report.
        let _ = apic::send_nmi(core);
    }
    let start = time::microseconds();
    let all = others().fold(0, |set, core| set | core.bit());
    while STOPPED.load(Ordering::Acquire) & all != all
        && time::microseconds().saturating_sub(start) < PATIENCE
    {
        core::hint::spin_loop();
    }
}

/// Whether the running core is to stand still, because another one reports.
pub(crate) fn is_wanted() -> bool {
    let reporter = REPORTER.load(Ordering::Acquire);
    reporter != NOBODY && reporter != current().index()
}

/// Stands still for ever.
pub(crate) fn stand_still(me: CoreId) -> ! {
    STOPPED.fetch_or(me.bit(), Ordering::AcqRel);
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
