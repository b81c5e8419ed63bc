//! What the device says of itself (section 5.7.4).

use super::SCREENS;
use crate::error::{ConfigError, Failure};
use crate::platform::{Platform, Registers};
use crate::transport::Negotiation;
use virtio_spec::F;

/// Offsets of the fields.
mod field {
    pub(super) const NUM_SCANOUTS: usize = 8;
    pub(super) const END: usize = 16;
}

/// The features that this driver implements: none of the device's own.
pub(super) fn wishes() -> Negotiation<F> {
    Negotiation::new(F::ACCESS_PLATFORM, F::empty())
}

/// How many screens there can be.
pub(super) fn screens<P: Platform>(platform: &P) -> Result<u32, Failure> {
    let config = platform.config();
    if config.len() < field::END {
        let len = config.len();
        return Err(Failure::Config(ConfigError::Short { len }));
    }
    match config.read32(field::NUM_SCANOUTS) {
        screens @ 1.. if screens as usize <= SCREENS => Ok(screens),
        u32::MAX if !platform.is_present() => Err(Failure::Gone),
        screens => Err(Failure::Config(ConfigError::Screens(screens))),
    }
}
