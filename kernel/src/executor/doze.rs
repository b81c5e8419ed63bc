//! Falling asleep without missing a call.
//!
//! A core that finds nothing to do halts, and only an interrupt ends that. So whoever gives it work
//! must interrupt it; but an interrupt for each piece of work would cost more than the work. The
//! sender has to know whether the core may be asleep, while the core makes up its mind.
//!
//! Both sides write first and read afterwards, with a full fence in between:
//!
//! | the core                          | the sender                     |
//! |-----------------------------------|--------------------------------|
//! | says that it may sleep            | puts work into the inbox       |
//! | fence                             | fence                          |
//! | looks into the inbox              | looks whether the core sleeps  |
//!
//! Of the two fences one comes first, in an order that all cores agree on. If it is the core's, the
//! sender sees that the core may sleep. If it is the sender's, the core sees the work. Without the
//! fences both may read what was before, and the work waits for ever: a CPU lets a later read
//! overtake an earlier write.
//!
//! Interrupts are disabled from before the core says that it may sleep until the very instruction
//! that halts it. An interrupt in between is not lost: it is held back, and ends the halt at once.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether a core may be asleep.
#[derive(Debug)]
pub(super) struct Doze {
    asleep: AtomicBool,
}

impl Doze {
    /// Of a core that is awake.
    pub(super) fn new() -> Self {
        Self {
            asleep: AtomicBool::new(false),
        }
    }

    // ANCHOR: doze
    /// The core says that it may sleep. It then looks for work once more, and goes to sleep if
    /// there is none, or gets up.
    pub(super) fn lie_down(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The core says that it is awake.
    pub(super) fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether a sender, who has put work into the inbox, must now interrupt the core.
    ///
    /// Of several senders one is told to. The others' work is found when the core has been woken:
    /// should it lie down again before it can see it, then they see that.
    #[must_use]
    pub(super) fn must_be_called(&self) -> bool {
        fence(Ordering::SeqCst);
        // The first read keeps the cache line shared while the core is busy. And nothing is written but
        // `false` where `true` was: each `true` is the core's, and whoever ends it calls the core.
        self.asleep.load(Ordering::Relaxed)
            && self
                .asleep
                .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
    // ANCHOR_END: doze
}
