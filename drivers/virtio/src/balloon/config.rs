//! What the hypervisor wants, and what it is told (sections 5.5.3 and 5.5.4).

use crate::error::{ConfigError, Failure};
use crate::platform::{Platform, Registers};
use crate::transport::{Accepted, Common, Negotiation};
use virtio_spec::balloon::F;

/// Offsets of the fields.
mod field {
    pub(super) const NUM_PAGES: usize = 0;
    pub(super) const ACTUAL: usize = 4;
    pub(super) const END: usize = 8;
}

/// The numbers of the queues that every balloon has.
pub(super) const INFLATE: u16 = 0;
pub(super) const DEFLATE: u16 = 1;

/// The number of the queue of statistics, if that was agreed on.
pub(super) const STATISTICS: u16 = 2;

/// Times that the configuration is read anew because it changed meanwhile.
const ATTEMPTS: usize = 16;

/// The features that this driver implements. The host is always told before memory is used again.
pub(super) fn wishes() -> Negotiation<F> {
    let implemented = F::MUST_TELL_HOST | F::STATS_VQ | F::PAGE_REPORTING | F::ACCESS_PLATFORM;
    Negotiation::new(implemented, F::empty())
}

/// The queue of reports, if that was agreed on.
///
/// By the specification it is queue 4. QEMU numbers the queues that there are, so it is a lower one if one before
/// it is missing. Whichever it is, it is the last.
pub(super) fn reporting_queue<P: Platform>(platform: &P, accepted: &Accepted<F>) -> Option<u16> {
    const BY_SPECIFICATION: u16 = 4;
    if !accepted.contains(F::PAGE_REPORTING) {
        return None;
    }
    let common = Common(platform);
    let offered = common.offered::<F>();
    let optional = [F::STATS_VQ, F::FREE_PAGE_HINT];
    let before = optional.iter().filter(|queue| offered.contains(**queue));
    let by_count = 2 + before.count() as u16;
    match common.queue_size(BY_SPECIFICATION) {
        0 => Some(by_count),
        _ => Some(BY_SPECIFICATION),
    }
}

/// Whether the device has the fields.
pub(super) fn check(config: &impl Registers) -> Result<(), Failure> {
    match config.len() {
        len if len < field::END => Err(Failure::Config(ConfigError::Short { len })),
        _ => Ok(()),
    }
}

/// How many pages the hypervisor wants in the balloon.
pub(super) fn target<P: Platform>(platform: &P) -> Result<u32, Failure> {
    let common = Common(platform);
    for _ in 0..ATTEMPTS {
        let before = common.generation();
        let pages = platform.config().read32(field::NUM_PAGES);
        if common.generation() == before {
            return match pages {
                // So reads a window that nobody answers.
                u32::MAX if !platform.is_present() => Err(Failure::Gone),
                pages => Ok(pages),
            };
        }
    }
    Err(Failure::Config(ConfigError::Unsteady))
}

/// Says how many pages are in the balloon.
pub(super) fn set_actual<P: Platform>(platform: &P, pages: u32) {
    platform.config().write32(field::ACTUAL, pages);
}
