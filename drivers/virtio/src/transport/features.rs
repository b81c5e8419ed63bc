//! Feature negotiation (sections 2.2 and 3.1.1): an allow-list, not a wish list.
//!
//! A device offers features; a driver accepts some of them. Accepting one means to keep
//! its rules. A driver that accepts what it does not know, because it was offered, breaks
//! rules that it does not know. So what this crate implements is written down per device,
//! and nothing else is ever accepted.

use super::status::{StatusError, Step};
use core::fmt;
use virtio_spec::{F, FeatureBits, le128};

/// What a driver implements. `B` are the feature bits of its kind of device.
#[derive(Clone, Copy, Debug)]
pub struct Negotiation<B> {
    implemented: B,
    required: B,
}

/// Features to be written to the device. It has not accepted them yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the device has to be asked whether it accepts the features"]
pub struct Chosen<B>(B);

/// Features that device and driver have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<B>(B);

/// Why there is no agreement. The device cannot be used; set its FAILED status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureError {
    /// The device does not offer what the driver cannot do without. VERSION_1 is always
    /// among that: this crate drives no legacy devices.
    Missing(F),
    /// The device offers a feature without another one that it depends on.
    Inconsistent(F),
    /// The device does not accept the features, or cannot be used at all.
    Status(StatusError),
}

impl<B: FeatureBits + Copy> Negotiation<B> {
    /// A driver that can use the features `implemented`, and has to have `required`.
    ///
    /// VERSION_1 is always required. Required features count as implemented.
    pub fn new(implemented: B, required: B) -> Self {
        let required = required.into().union(F::VERSION_1);
        let implemented = implemented.into().union(required);
        Self {
            implemented: implemented.into(),
            required: required.into(),
        }
    }

    /// The same driver, which does without these, by their numbers as bits. What it has to have, it
    /// still has to have.
    #[must_use]
    pub fn without(self, avoided: u128) -> Self {
        let avoided = F::from_bits_retain(le128::from_ne(avoided));
        let kept = self.implemented.into().difference(avoided);
        Self {
            implemented: kept.union(self.required.into()).into(),
            required: self.required,
        }
    }

    /// The same driver where it also has to have `more`, and knows how to use it.
    #[must_use]
    pub fn requiring(self, more: F) -> Self {
        Self::new(self.implemented, self.required.into().union(more).into())
    }

    /// Chooses from what a device offers.
    pub fn choose(&self, offered: B) -> Result<Chosen<B>, FeatureError> {
        let offered: F = offered.into();
        let required: F = self.required.into();
        let missing = required.difference(offered);
        if !missing.is_empty() {
            return Err(FeatureError::Missing(missing));
        }
        let chosen = offered.intersection(self.implemented.into());
        if !B::from(chosen).requirements_satisfied() {
            return Err(FeatureError::Inconsistent(chosen));
        }
        Ok(Chosen(chosen.into()))
    }
}

impl<B: FeatureBits + Copy> Chosen<B> {
    /// Bits `32 * select` to `32 * select + 31`, as `driver_feature` takes them.
    pub fn word(&self, select: u32) -> u32 {
        let bits = self.0.into().bits().to_ne();
        match select {
            0..4 => (bits >> (32 * select)) as u32,
            _ => 0,
        }
    }

    /// Turns the features into accepted ones if the device agrees.
    ///
    /// `read` is the status as read back after FEATURES_OK was written. A device that does
    /// not accept the features clears that bit again.
    pub fn confirm(self, read: u8) -> Result<Accepted<B>, FeatureError> {
        match Step::FeaturesOk.check(read) {
            Ok(()) => Ok(Accepted(self.0)),
            Err(error) => Err(FeatureError::Status(error)),
        }
    }
}

impl<B: FeatureBits + Copy> Accepted<B> {
    /// The features.
    pub fn features(&self) -> B {
        self.0
    }

    /// True if all of `features` were agreed on.
    pub fn contains(&self, features: B) -> bool {
        self.0.into().contains(features.into())
    }
}

impl fmt::Display for FeatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(features) => write!(f, "the device lacks the features {features:?}"),
            Self::Inconsistent(features) => {
                write!(
                    f,
                    "features depend on one that is not offered: {features:?}"
                )
            }
            Self::Status(error) => write!(f, "features were not accepted: {error}"),
        }
    }
}

impl core::error::Error for FeatureError {}

#[cfg(test)]
mod tests {
    use super::*;
    use virtio_spec::{blk, net};

    fn block() -> Negotiation<blk::F> {
        Negotiation::new(blk::F::FLUSH | blk::F::INDIRECT_DESC, blk::F::empty())
    }

    #[test]
    fn only_what_is_implemented_is_chosen() {
        let offered = blk::F::all();
        assert!(offered.contains(blk::F::RING_PACKED | blk::F::NOTIFICATION_DATA));
        let chosen = block().choose(offered).expect("enough");
        let accepted = chosen.confirm(0x0b).expect("accepted");
        let expected = blk::F::FLUSH | blk::F::INDIRECT_DESC | blk::F::VERSION_1;
        assert_eq!(accepted.features(), expected);
        assert!(accepted.contains(blk::F::FLUSH));
        assert!(!accepted.contains(blk::F::FLUSH | blk::F::RING_PACKED));
    }

    #[test]
    fn bits_without_a_name_are_not_chosen() {
        let unknown = blk::F::from_bits_retain(u128::MAX.into());
        let chosen = block().choose(unknown).expect("enough");
        let words = [0, 1, 2, 3, 4].map(|select| chosen.word(select));
        assert_eq!(words, [1 << 9 | 1 << 28, 1, 0, 0, 0]);
    }

    #[test]
    fn what_is_not_offered_is_not_chosen() {
        let chosen = block().choose(blk::F::VERSION_1).expect("enough");
        assert_eq!(chosen.word(0), 0);
        assert_eq!(chosen.word(1), 1);
    }

    #[test]
    fn legacy_devices_are_refused() {
        let error = block().choose(blk::F::FLUSH).expect_err("legacy");
        assert_eq!(error, FeatureError::Missing(F::VERSION_1));
    }

    #[test]
    fn required_features_are_required() {
        let driver = Negotiation::new(net::F::MTU, net::F::MAC);
        let offered = net::F::VERSION_1 | net::F::MTU;
        let missing = FeatureError::Missing(net::F::MAC.into());
        assert_eq!(driver.choose(offered), Err(missing));
        assert!(driver.choose(offered | net::F::MAC).is_ok());
    }

    #[test]
    fn a_platform_may_require_more_than_the_driver() {
        let driver = block().requiring(F::ACCESS_PLATFORM);
        let missing = FeatureError::Missing(F::ACCESS_PLATFORM);
        assert_eq!(driver.choose(blk::F::VERSION_1), Err(missing));
        let chosen = driver.choose(blk::F::all()).expect("enough");
        assert_eq!((chosen.word(0), chosen.word(1)), (1 << 9 | 1 << 28, 3));
    }

    #[test]
    fn a_feature_without_what_it_depends_on_is_refused() {
        let driver = Negotiation::new(net::F::GUEST_TSO4 | net::F::GUEST_CSUM, net::F::empty());
        let error = driver.choose(net::F::VERSION_1 | net::F::GUEST_TSO4);
        assert!(matches!(error, Err(FeatureError::Inconsistent(_))));
        let both = net::F::VERSION_1 | net::F::GUEST_TSO4 | net::F::GUEST_CSUM;
        assert!(driver.choose(both).is_ok());
    }

    #[test]
    fn what_is_avoided_is_not_chosen_unless_it_is_required() {
        let driver = Negotiation::new(blk::F::FLUSH | blk::F::DISCARD, blk::F::MQ);
        let driver = driver.without(1 << 9 | 1 << 12 | 1 << 32);
        let chosen = driver.choose(blk::F::all()).expect("enough");
        assert_eq!([chosen.word(0), chosen.word(1)], [1 << 13 | 1 << 12, 1]);
    }

    #[test]
    fn the_device_has_the_last_word() {
        let confirm = |read| block().choose(blk::F::all()).expect("enough").confirm(read);
        let refused = |error| Err(FeatureError::Status(error));
        assert_eq!(confirm(0x03), refused(StatusError::NotReached));
        assert_eq!(confirm(0x4b), refused(StatusError::NeedsReset));
        assert_eq!(confirm(0xff), refused(StatusError::Gone));
        assert!(confirm(0x0b).is_ok());
    }
}
