//! Where the memory of a device is (section 5.19.4).

use crate::error::{ConfigError, Failure};
use crate::platform::{Platform, Registers};
use crate::transport::{Accepted, Common, Negotiation};
use phyr::{Phyr, PhysAddr};
use virtio_spec::F;

/// The memory is one that a capability names, and not where the configuration says (section 5.19.3,
/// VIRTIO_PMEM_F_SHMEM_REGION).
const SHMEM_REGION: u128 = 1 << 0;

/// Offsets of the fields.
mod field {
    pub(super) const START: usize = 0;
    pub(super) const SIZE: usize = 8;
}

/// Times that the configuration is read anew because it changed meanwhile.
const ATTEMPTS: usize = 16;

fn in_shared_memory() -> F {
    F::from_bits_retain(SHMEM_REGION.into())
}

/// The features that this driver implements. Nothing else is accepted, whatever is offered.
///
/// One flush at a time needs neither tables of descriptors nor a count of events.
pub(super) fn wishes() -> Negotiation<F> {
    Negotiation::new(in_shared_memory().union(F::ACCESS_PLATFORM), F::empty())
}

/// The memory of a device that has accepted these features. `shared` is the memory that its capability
/// for shared memory 0 names.
pub(super) fn memory<P: Platform>(
    platform: &P,
    accepted: &Accepted<F>,
    shared: Option<Phyr>,
) -> Result<Phyr, Failure> {
    if accepted.contains(in_shared_memory()) {
        return shared.ok_or(Failure::Config(ConfigError::NoMemory));
    }
    let common = Common(platform);
    for _ in 0..ATTEMPTS {
        let before = common.generation();
        let read = read_once(platform.config());
        if common.generation() == before {
            return read.map_err(Failure::Config);
        }
    }
    Err(Failure::Config(ConfigError::Unsteady))
}

fn read_once(config: &impl Registers) -> Result<Phyr, ConfigError> {
    let len = config.len();
    if len < field::SIZE + 8 {
        return Err(ConfigError::Short { len });
    }
    let read64 = |at| u64::from(config.read32(at)) | u64::from(config.read32(at + 4)) << 32;
    let (start, len) = (read64(field::START), read64(field::SIZE));
    // Neither empty, nor beyond the last address.
    let memory = Phyr::new(PhysAddr::new(start), len);
    memory.map_err(|_| ConfigError::Memory { start, len })
}
