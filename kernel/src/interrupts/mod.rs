//! Interrupts as something to wait for.
//!
//! When a device interrupts, assembly sets a bit in its core's record and returns
//! (`arch::interrupts`). Here is what happens to the bit afterwards, at a moment that the core has
//! chosen: [`drain`] takes the bits, counts, and wakes the tasks that wait.
//!
//! - [`Interrupt`] is a device vector that somebody owns, and waits for.
//! - Its [`Message`] is what a device is told to write.
//! - A bit is set before the interrupt is acknowledged, and taken before anybody is woken. So
//!   whatever a device raises after a task looked at it is seen by the next `drain`.
//! - Waiting and waking are the core's own affair: no lock, no atomic read-modify-write but the one
//!   that takes the bits, no memory once the lists are as long as they get.
//!
//! What a device raises without having been told to is counted, and nothing else: see [`Counters`].

mod allocation;
mod inputs;
mod interrupt;
#[cfg(phyros)]
mod legacy;
mod message;
#[cfg(test)]
mod tests;
mod waiters;

pub use interrupt::Interrupt;
#[cfg(phyros)]
pub use legacy::{LegacyError, can_hear_lines, legacy, lines, wired};
pub use message::Message;

use crate::arch::vectors;
use crate::cores::{self, CoreId, MAX_CORES, PerCore};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use waiters::Waiters;

const fn first_vector() -> u8 {
    *vectors::DEVICES.start()
}

/// How many vectors a core has for devices.
const DEVICE_VECTORS: usize = (*vectors::DEVICES.end() - first_vector()) as usize + 1;

/// How often each vector of each core was seen.
static COUNTS: [[AtomicU32; DEVICE_VECTORS]; MAX_CORES] =
    [const { [const { AtomicU32::new(0) }; DEVICE_VECTORS] }; MAX_CORES];

/// The vectors of each core that somebody has, a bit each.
static OWNED: [[AtomicU64; DEVICE_VECTORS.div_ceil(64)]; MAX_CORES] =
    [const { [const { AtomicU64::new(0) }; DEVICE_VECTORS.div_ceil(64)] }; MAX_CORES];

static WAITERS: PerCore<Waiters> = PerCore::new(Waiters::new);

/// Vectors that were raised while nobody had them.
static STRAY: AtomicU64 = AtomicU64::new(0);

/// How often the APIC reported an error, and the reasons of all of them.
static ERRORS: AtomicU64 = AtomicU64::new(0);
static ERROR_REASONS: AtomicU32 = AtomicU32::new(0);

/// Whether the running core has been interrupted since it last drained. What a core looks at, with
/// interrupts disabled, before it halts.
#[inline]
pub fn is_pending() -> bool {
    let words = &cores::local().pending;
    words
        .iter()
        .fold(0, |all, word| all | word.load(Ordering::Relaxed))
        != 0
}

/// Whether a vector has been raised on the running core since it last drained.
#[inline]
pub fn is_raised(vector: u8) -> bool {
    let word = &cores::local().pending[usize::from(vector / 64)];
    word.load(Ordering::Relaxed) & 1 << (vector % 64) != 0
}

// ANCHOR: drain
/// Takes notice of the interrupts of the running core: wakes who waits for them.
///
/// Returns whether there was any, of a device, of the timer, or of another core. When there was none,
/// it costs four loads.
#[inline]
pub fn drain() -> bool {
    if !is_pending() {
        return false;
    }
    take_notice();
    true
}

fn take_notice() {
    for (number, word) in cores::local().pending.iter().enumerate() {
        if word.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let mut bits = word.swap(0, Ordering::AcqRel);
        while bits != 0 {
            notice((number * 64) as u8 + bits.trailing_zeros() as u8);
            bits &= bits - 1;
        }
    }
}
// ANCHOR_END: drain

/// One vector was raised, once or several times. Apart, because most words of most cores are zero.
#[inline(never)]
fn notice(vector: u8) {
    if vectors::DEVICES.contains(&vector) {
        let index = usize::from(vector - first_vector());
        let core = cores::current().index();
        // Nobody else writes to this core's counts.
        let count = COUNTS[core][index].load(Ordering::Relaxed);
        COUNTS[core][index].store(count.wrapping_add(1), Ordering::Release);
        if OWNED[core][index / 64].load(Ordering::Relaxed) & 1 << (index % 64) == 0 {
            STRAY.fetch_add(1, Ordering::Relaxed);
        }
        WAITERS.here().wake(index);
    } else if vector == vectors::APIC_ERROR {
        ERRORS.fetch_add(1, Ordering::Relaxed);
        #[cfg(phyros)]
        ERROR_REASONS.fetch_or(crate::arch::apic::local().take_errors(), Ordering::Relaxed);
    }
    // Its bit is gone, so from here on nobody else can tell that the timer is no longer armed.
    #[cfg(phyros)]
    if vector == vectors::TIMER {
        crate::executor::timer_was_used();
    }
    // Beyond that, the timer and other cores want no more than that the core looks at its queues.
}

/// How many interrupts of devices a core has noticed. Those that came again before it looked count once.
pub fn noticed(core: CoreId) -> u64 {
    COUNTS[core.index()]
        .iter()
        .map(|count| u64::from(count.load(Ordering::Relaxed)))
        .sum()
}

/// What should not happen, counted over all cores since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests that were withdrawn on their way to a CPU.
    pub spurious: u64,
    /// Device vectors that were raised while nobody had them.
    pub stray: u64,
    /// Errors that a local APIC reported.
    pub errors: u64,
    /// The reasons of all of them (Intel SDM volume 3, figure 11-9).
    pub error_reasons: u32,
}

/// The counters.
pub fn counters() -> Counters {
    Counters {
        #[cfg(phyros)]
        spurious: crate::arch::interrupts::spurious(),
        #[cfg(not(phyros))]
        spurious: 0,
        stray: STRAY.load(Ordering::Relaxed),
        errors: ERRORS.load(Ordering::Relaxed),
        error_reasons: ERROR_REASONS.load(Ordering::Relaxed),
    }
}

/// Prepares the interrupt controllers, and enables interrupts on the boot core.
///
/// The machine is known. From here on code runs with interrupts enabled.
#[cfg(phyros)]
pub(crate) fn init() {
    // First, so that a request of the old controllers that waits at the CPU is withdrawn while the
    // pin still tells the CPU of it.
    crate::arch::pic::silence();
    crate::arch::apic::init();
    legacy::init();
    crate::arch::interrupts::init();
    x86_64::instructions::interrupts::enable();
}
