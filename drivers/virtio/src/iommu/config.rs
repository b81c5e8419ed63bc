//! What an IOMMU can do, and what is agreed on (sections 5.13.3 and 5.13.4).

use crate::error::{ConfigError, Failure};
use crate::platform::{Platform, Registers};
use crate::transport::{Accepted, Negotiation};
use core::ops::RangeInclusive;
use phyr::{DmaAddr, DmaRange};
use virtio_spec::{F, le128};

/// Features of this kind of device.
pub(super) mod feature {
    pub(in super::super) const INPUT_RANGE: u128 = 1 << 0;
    pub(in super::super) const DOMAIN_RANGE: u128 = 1 << 1;
    pub(in super::super) const MAP_UNMAP: u128 = 1 << 2;
    pub(in super::super) const BYPASS_CONFIG: u128 = 1 << 6;
}

/// Offsets of the fields.
mod field {
    pub(super) const PAGE_SIZE_MASK: usize = 0;
    pub(super) const INPUT_START: usize = 8;
    pub(super) const INPUT_END: usize = 16;
    pub(super) const DOMAIN_START: usize = 24;
    pub(super) const DOMAIN_END: usize = 28;
    pub(super) const BYPASS: usize = 36;
    pub(super) const END: usize = 40;
}

/// A set of features by their bits.
pub(super) fn features(bits: u128) -> F {
    F::from_bits_retain(le128::from_ne(bits))
}

/// The features that this driver implements. BYPASS is not among them: without it, what is in no domain
/// reaches nothing.
pub(super) fn wishes() -> Negotiation<F> {
    let optional = feature::INPUT_RANGE | feature::DOMAIN_RANGE | feature::BYPASS_CONFIG;
    Negotiation::new(features(optional), features(feature::MAP_UNMAP))
}

/// What an IOMMU can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The smallest unit of a mapping in bytes, a power of two.
    // No page frame: a size.
    pub page: u64,
    /// The addresses that it translates.
    pub addresses: DmaRange,
    /// The numbers that domains may have.
    pub domains: RangeInclusive<u32>,
}

impl Properties {
    pub(super) fn read(config: &impl Registers, accepted: &Accepted<F>) -> Result<Self, Failure> {
        let has = |bit| accepted.contains(features(bit));
        if config.len() < field::END {
            let short = ConfigError::Short { len: config.len() };
            return Err(Failure::Config(short));
        }
        let read64 = |at| u64::from(config.read32(at)) | u64::from(config.read32(at + 4)) << 32;
        let sizes = read64(field::PAGE_SIZE_MASK);
        if sizes == 0 {
            return Err(Failure::Config(ConfigError::Pages));
        }
        let (first, last) = match has(feature::INPUT_RANGE) {
            true => (read64(field::INPUT_START), read64(field::INPUT_END)),
            false => (0, u64::MAX),
        };
        // All 64 bits are one address more than a range can have.
        let last = if first == 0 {
            last.min(u64::MAX - 1)
        } else {
            last
        };
        let addresses = DmaRange::from_inclusive(DmaAddr::new(first), DmaAddr::new(last));
        let domains = match has(feature::DOMAIN_RANGE) {
            true => config.read32(field::DOMAIN_START)..=config.read32(field::DOMAIN_END),
            false => 0..=u32::MAX,
        };
        if domains.is_empty() {
            return Err(Failure::Config(ConfigError::Empty));
        }
        Ok(Self {
            page: 1 << sizes.trailing_zeros(),
            addresses: addresses.map_err(|_| Failure::Config(ConfigError::Empty))?,
            domains,
        })
    }
}

/// Lets nothing past that is in no domain. An error says that the device goes on to.
pub(super) fn close(platform: &impl Platform, accepted: &Accepted<F>) -> Result<(), Failure> {
    if !accepted.contains(features(feature::BYPASS_CONFIG)) {
        return Ok(());
    }
    platform.config().write8(field::BYPASS, 0);
    match platform.config().read8(field::BYPASS) {
        0 => Ok(()),
        _ => Err(Failure::Config(ConfigError::Open)),
    }
}
