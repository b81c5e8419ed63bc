//! Folders of the host's, by 9P: the device, and its place in the machine. What is in them is asked for in
//! [`fs`](crate::fs), and answered in `folder`.

mod folder;

use super::platform::VirtioPlatform;
use super::{ProbeError, Reached, UsesLine, reach};
use crate::dma::{Domain, Transfer};
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::{Function, PciAddress};
use crate::storage::Name;
use alloc::sync::Arc;
use virtio::share::{Options, ShareError};
use virtio::transport::DeviceKind;

/// The driver's handle of a share.
pub type Handle = virtio::share::Share<VirtioPlatform, Transfer>;

/// What a share is called that has no name which could be typed.
const NAMELESS: &str = "share";

/// A folder of the host's.
pub struct Share {
    address: PciAddress,
    name: Name,
    handle: Handle,
    /// Where the device finds memory.
    domain: Domain,
}

/// Whether a function is such a device.
pub fn is_it(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::SHARE)
}

/// Brings a device up. The share has the name that the host gives it, unless somebody has that.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Share>, ProbeError> {
    let Reached {
        platform, blocks, ..
    } = reach(owners, function, UsesLine::Yes)?;
    let domain = platform.domain().clone();
    let handle = Handle::new(platform, blocks.notify, Options::default()).await;
    let handle = handle.map_err(|error| match error {
        ShareError::Device(error) => ProbeError::Driver(error),
        error => ProbeError::Share(error),
    })?;
    Ok(Arc::new(Share {
        address: function.address,
        name: Name::or_next(handle.tag().unwrap_or(NAMELESS)),
        handle,
        domain,
    }))
}

impl Share {
    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// What it is called. Disks have other names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver's handle, to be asked for files, and how the device is.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Lets the device go. What is still open fails from now on.
    pub fn leave(&self) {
        self.handle.shutdown();
    }
}
