//! virtio devices: what the `virtio` crate asks of its platform, disks, and persistent memory.
//!
//! - `platform` is a device's place in the machine;
//! - `queue` is a queue on its core, and who looks at it when;
//! - [`drive`] is a disk with a queue on each core;
//! - `device` is the same as a block device;
//! - [`module`] is persistent memory.

mod device;
pub mod drive;
pub mod module;
pub mod platform;
pub mod queue;

use crate::cores;
use crate::dma::Domain;
use crate::interrupts::Interrupt;
use crate::memory::regions::PlaceError;
use crate::pci::Function;
use crate::pci::device::{DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use drive::{Disk, Drive};

/// A virtio device goes past the IOMMU, and uses physical addresses, unless its driver accepts
/// VIRTIO_F_ACCESS_PLATFORM (virtio 1.2, section 6.1). This one does not yet.
const DOMAIN: Domain = Domain::DIRECT;

use platform::VirtioPlatform;
use virtio::transport::{Blocks, CapabilityError, DeviceKind};

/// Whether a function is a virtio disk, transitional or modern.
pub fn is_disk(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::BLOCK)
}

/// Why a device is not used.
#[derive(Debug)]
pub enum ProbeError {
    /// Its registers cannot be had.
    Device(DeviceError),
    /// Its registers are not where they can be. So it is with a legacy device, which has only I/O ports.
    Capability(CapabilityError),
    /// The driver gave up on it.
    Driver(virtio::Error),
    /// Its memory is not where memory can be.
    Place(PlaceError),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Capability(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
            Self::Place(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// Brings a disk up, with the next free name, and adds it to the storage.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Drive>, ProbeError> {
    let device = owners.claim(function).map_err(ProbeError::Device)?;
    let capabilities = device.vendor_capabilities();
    let capabilities = capabilities.iter().map(Vec::as_slice);
    let bar = |index| function.bar(index).map(|bar| bar.phyr);
    let blocks = Blocks::find(capabilities, bar).map_err(ProbeError::Capability)?;
    let messages = match device.messages() {
        Ok(messages) => Some(messages),
        Err(error) => {
            println!("{}: the queues are polled: {error}", function.address);
            None
        }
    };
    // Entry 0 is for changes of the configuration, unless it is the only one.
    let mut changes = None;
    let mut options = virtio::blk::Options::default();
    let mut first_entry = 0;
    if let Some(messages) = messages.as_ref().filter(|messages| messages.len() > 1) {
        let interrupt = Interrupt::allocate(cores::current());
        if messages.route(0, &interrupt).is_ok() {
            changes = Some(interrupt);
            options.config_vector = Some(0);
        }
        first_entry = 1;
    }
    let platform = VirtioPlatform::new(device, &blocks, changes).map_err(ProbeError::Device)?;
    let disk = Disk::new(platform, blocks.notify, options).await;
    let disk = disk.map_err(ProbeError::Driver)?;
    let drive = Arc::new(Drive::new(function.address, disk));
    let messages = messages.map(Arc::new);
    let started = drive.start(messages, first_entry).await;
    started.map_err(ProbeError::Driver)?;
    Ok(drive)
}
