//! Folders of the host's, as values and as QEMU's arguments.
//!
//! QEMU serves a folder by 9P. It opens files as the user who runs it, follows no link, and writes nothing: whatever the
//! machine asks for, it gets what is in the folder.

use std::path::PathBuf;

use super::Machine;
use super::line::{Line, escape, join};

/// A folder that is shared while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The folder.
    pub folder: PathBuf,
    /// What it is called in the machine.
    pub name: String,
    /// The device asks the IOMMU.
    pub asks_iommu: bool,
}

/// What QEMU calls the device. A QEMU without it cannot share.
pub const DEVICE: &str = "virtio-9p-pci";

/// Adds all of them.
pub(super) fn add_all(line: &mut Line, machine: &Machine) {
    for (index, share) in machine.shares.iter().enumerate() {
        let before = format!("local,id=folder{index},security_model=none,readonly=on,");
        // Files of several disks of the host's may have the same numbers.
        let what = join(&[&before, &"multidevs=remap,path=", &escape(&share.folder)]);
        line.add("-fsdev", &what);
        let asks = match share.asks_iommu {
            // Only modern ones can ask.
            true => ",disable-legacy=on,iommu_platform=on",
            false => "",
        };
        let name = &share.name;
        let device = format!("{DEVICE},id=share{index},fsdev=folder{index},mount_tag={name}{asks}");
        line.add("-device", &device);
    }
}
