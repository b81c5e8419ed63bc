//! The disks that there are at this moment, and their partitions.
//!
//! Whoever asks gets a snapshot: a list of their own, with devices that stay valid however the
//! world goes on. A device that has been removed answers with errors, and drops out of the next
//! snapshot.

use crate::block::partition::{self, Partition, TableError};
use crate::block::{BlockDevice, Geometry};
use crate::fs;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A disk or a partition.
#[derive(Clone)]
pub struct Volume {
    /// Its blocks.
    pub device: Arc<dyn BlockDevice>,
    /// The model of the controller behind it; `None` for a partition.
    pub model: Option<String>,
    /// Whether it claims to have an ext4 file system, which [`FileSystem::mount`](crate::fs::FileSystem::mount) reads.
    pub has_ext4: bool,
}

impl Volume {
    /// The size and shape of the blocks.
    pub fn geometry(&self) -> Geometry {
        self.device.geometry()
    }
}

/// A disk and what was found on it.
pub struct Disk {
    /// The disk itself.
    pub whole: Volume,
    /// Its partitions.
    pub partitions: Vec<Volume>,
    /// What is wrong with its partition table.
    pub errors: Vec<TableError>,
}

impl Disk {
    /// Looks at a disk: its partitions, and what is on them.
    pub async fn examine(device: Arc<dyn BlockDevice>, model: &str) -> Self {
        let table = partition::find(&*device).await;
        let is_divided = !table.extents.is_empty();
        let mut partitions = Vec::new();
        for extent in table.extents {
            let device: Arc<dyn BlockDevice> = Arc::new(Partition::new(device.clone(), extent));
            partitions.push(Volume {
                has_ext4: fs::is_ext4(&*device).await,
                device,
                model: None,
            });
        }
        Self {
            whole: Volume {
                has_ext4: !is_divided && fs::is_ext4(&*device).await,
                device,
                model: Some(model.to_string()),
            },
            partitions,
            errors: table.errors,
        }
    }
}

/// The disks that there are.
#[derive(Default)]
pub struct Registry {
    disks: Vec<Disk>,
}

impl Registry {
    /// No disks.
    pub const fn new() -> Self {
        Self { disks: Vec::new() }
    }

    /// A disk has come.
    pub fn add(&mut self, disk: Disk) {
        self.disks.push(disk);
    }

    /// A disk has gone. Returns it, or `None` if it was not there.
    ///
    /// It is the device that counts, not its name. Drop the result outside of any lock: it may be
    /// the last that holds the device.
    pub fn remove(&mut self, device: &Arc<dyn BlockDevice>) -> Option<Disk> {
        let same = |disk: &Disk| Arc::ptr_eq(&disk.whole.device, device);
        let at = self.disks.iter().position(same)?;
        Some(self.disks.remove(at))
    }

    /// What there is, disks before their partitions, in the order in which they came.
    pub fn snapshot(&self) -> Vec<Volume> {
        let with_partitions = |disk: &Disk| {
            let whole = core::iter::once(disk.whole.clone());
            whole.chain(disk.partitions.clone()).collect::<Vec<_>>()
        };
        self.disks.iter().flat_map(with_partitions).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::blocking::wait;
    use crate::block::{BlockError, RamDisk};
    use crate::memory::frames::host;

    /// A disk of 1 MiB with a boot record that has two partitions, and a magic number in the second.
    fn divided(name: &str) -> Arc<RamDisk> {
        let mut bytes = vec![0; 1 << 20];
        for (number, first, blocks) in [(0, 100_u32, 50_u32), (1, 200, 100)] {
            let record = &mut bytes[446 + 16 * number..][..16];
            record[4] = 0x83;
            record[8..12].copy_from_slice(&first.to_le_bytes());
            record[12..16].copy_from_slice(&blocks.to_le_bytes());
        }
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[200 * 512 + 1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        Arc::new(RamDisk::new(name, 512, bytes))
    }

    fn names(volumes: &[Volume]) -> Vec<&str> {
        volumes.iter().map(|volume| volume.device.name()).collect()
    }

    #[test]
    fn disks_come_with_their_partitions_and_go_with_them() {
        let _arena = host::arena();
        let mut registry = Registry::new();
        let [first, second] = ["ram0", "ram1"].map(divided);
        let device: Arc<dyn BlockDevice> = first.clone();
        registry.add(wait(Disk::examine(device.clone(), "first")));
        registry.add(wait(Disk::examine(second, "second")));
        let volumes = registry.snapshot();
        assert_eq!(
            names(&volumes),
            ["ram0", "ram0p1", "ram0p2", "ram1", "ram1p1", "ram1p2"]
        );
        let ext4: Vec<bool> = volumes.iter().map(|volume| volume.has_ext4).collect();
        assert_eq!(ext4, [false, false, true, false, false, true]);
        assert_eq!(volumes[3].model.as_deref(), Some("second"));

        first.remove();
        assert!(registry.remove(&device).is_some());
        assert!(registry.remove(&device).is_none());
        assert_eq!(names(&registry.snapshot()), ["ram1", "ram1p1", "ram1p2"]);
        // Who holds an old snapshot gets errors from what has gone, and nothing worse.
        for volume in &volumes[..3] {
            let read = volume.device.read_now(0, &mut [0; 512]);
            assert_eq!(read, Err(BlockError::Removed));
        }
        assert!(volumes[4].device.read_now(0, &mut [0; 512]).is_ok());
    }

    #[test]
    fn another_disk_of_the_same_name_is_another_disk() {
        let _arena = host::arena();
        let mut registry = Registry::new();
        let old: Arc<dyn BlockDevice> = divided("ram0");
        let new: Arc<dyn BlockDevice> = divided("ram0");
        registry.add(wait(Disk::examine(new, "new")));
        assert!(registry.remove(&old).is_none());
        assert_eq!(registry.snapshot().len(), 3);
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_there_all_the_same() {
        let _arena = host::arena();
        let disk = divided("ram0");
        disk.remove();
        let found = wait(Disk::examine(disk, "gone"));
        assert_eq!(found.errors, [TableError::Read(BlockError::Removed)]);
        assert!(found.partitions.is_empty() && !found.whole.has_ext4);
    }
}
