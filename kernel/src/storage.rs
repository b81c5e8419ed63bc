//! What is stored where: controllers, disks, partitions.

use crate::block::partition::{self, Partition};
use crate::block::{BlockDevice, Geometry};
use crate::drivers::nvme;
use crate::fs;
use crate::machine::machine;
use crate::println;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Once;

/// A disk or a partition.
pub struct Volume {
    /// Its blocks.
    pub device: Arc<dyn BlockDevice>,
    /// The model of the controller behind it; `None` for a partition.
    pub model: Option<String>,
    /// Whether it claims to have an ext4 file system, which [`FileSystem::mount`](crate::fs::FileSystem::mount) reads.
    pub has_ext4: bool,
}

static VOLUMES: Once<Vec<Volume>> = Once::new();

/// All volumes, disks before their partitions. Found at the first call.
pub fn volumes() -> &'static [Volume] {
    VOLUMES.call_once(find)
}

/// The volume of a name.
pub fn volume(name: &str) -> Option<&'static Volume> {
    volumes().iter().find(|volume| volume.device.name() == name)
}

/// Makes everything written to any disk durable. To be called before the machine ends.
///
/// A disk that fails is named on the console; the others are flushed all the same.
/// Returns whether all went well.
pub fn flush() -> bool {
    let Some(volumes) = VOLUMES.get() else {
        return true;
    };
    let mut good = true;
    for disk in volumes.iter().filter(|volume| volume.model.is_some()) {
        if let Err(error) = disk.device.flush_now() {
            println!(
                "{}: not everything may be on the disk: {error}",
                disk.device.name()
            );
            good = false;
        }
    }
    good
}

fn find() -> Vec<Volume> {
    let mut volumes = Vec::new();
    let Some(owners) = &machine().owners else {
        return volumes;
    };
    let functions = machine().functions();
    let controllers = functions
        .iter()
        .filter(|function| nvme::is_controller(function));
    for (number, function) in controllers.enumerate() {
        match nvme::probe(owners, function, number) {
            Ok(found) => {
                for (id, reason) in &found.unusable {
                    println!("nvme{number}: namespace {id} is not used: {reason}");
                }
                for namespace in found.namespaces {
                    add_disk(Arc::new(namespace), &found.model, &mut volumes);
                }
            }
            Err(error) => println!(
                "nvme{number}: the controller at {} is not used: {error}",
                function.address
            ),
        }
    }
    volumes
}

fn add_disk(disk: Arc<dyn BlockDevice>, model: &str, volumes: &mut Vec<Volume>) {
    let table = partition::find(&*disk);
    for error in &table.errors {
        println!("{}: {error}", disk.name());
    }
    let is_divided = !table.extents.is_empty();
    volumes.push(Volume {
        has_ext4: !is_divided && fs::is_ext4(&*disk),
        device: disk.clone(),
        model: Some(model.to_string()),
    });
    for extent in table.extents {
        let device: Arc<dyn BlockDevice> = Arc::new(Partition::new(disk.clone(), extent));
        volumes.push(Volume {
            has_ext4: fs::is_ext4(&*device),
            device,
            model: None,
        });
    }
}

impl Volume {
    /// The size and shape of the blocks.
    pub fn geometry(&self) -> Geometry {
        self.device.geometry()
    }
}
