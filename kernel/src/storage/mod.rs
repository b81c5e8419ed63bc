//! What is stored where: controllers, disks, partitions.
//!
//! Disks come and go while the system runs. [`volumes`] is what there is at this moment.

#[cfg(phyros)]
mod follow;
mod names;
mod registry;

pub use names::Name;
pub use registry::{Disk, Registry, Volume};

use crate::block::BlockDevice;
use crate::block::blocking::wait;
use crate::lock::Mutex;
use crate::memory::regions::{self, Kind, Provider};
use crate::println;
use alloc::sync::Arc;
#[cfg(phyros)]
use alloc::vec::Vec;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// A disk has come: looks at it, and adds it to the volumes. In a task.
pub async fn add(device: Arc<dyn BlockDevice>, model: &str) {
    let disk = Disk::examine(device, model).await;
    for error in &disk.errors {
        println!("{}: {error}", disk.whole.device.name());
    }
    REGISTRY.lock().add(disk);
}

/// A disk has gone. Its device stays valid for those who hold it, and answers with errors.
pub fn remove(device: &Arc<dyn BlockDevice>) {
    let gone = REGISTRY.lock().remove(device);
    drop(gone);
}

/// The volumes that there are at this moment, disks before their partitions.
///
/// The first call looks for them, and waits until that is done. A call meanwhile returns those that
/// have been found so far.
#[cfg(phyros)]
pub fn volumes() -> Vec<Volume> {
    follow::once();
    REGISTRY.lock().snapshot()
}

/// The volumes that have been found so far. Unlike [`volumes`] it looks for none, and never waits: for tasks.
#[cfg(phyros)]
pub fn volumes_known() -> Vec<Volume> {
    REGISTRY.lock().snapshot()
}

/// The volume of a name.
#[cfg(phyros)]
pub fn volume(name: &str) -> Option<Volume> {
    let is_it = |volume: &Volume| volume.device.name() == name;
    volumes().into_iter().find(is_it)
}

/// The NVMe controllers in use at this moment: to be asked for counters, reset, or looked into.
#[cfg(phyros)]
pub fn controllers() -> Vec<Arc<crate::drivers::nvme::hub::Hub>> {
    follow::hubs()
}

/// The virtio disks in use at this moment, likewise.
#[cfg(phyros)]
pub fn virtio_disks() -> Vec<Arc<crate::drivers::virtio::drive::Drive>> {
    follow::drives()
}

/// The hypervisor's persistent memory in use at this moment, likewise.
#[cfg(phyros)]
pub fn modules() -> Vec<Arc<crate::drivers::virtio::module::Module>> {
    follow::modules()
}

/// Makes everything written to any disk, and to persistent memory, durable. To be called before the machine ends.
///
/// What fails is named on the console; the others are flushed all the same.
/// Returns whether all went well.
pub fn flush() -> bool {
    wait(flush_all())
}

/// As [`flush`], in a task.
pub async fn flush_all() -> bool {
    let mut good = true;
    let volumes = REGISTRY.lock().snapshot();
    for disk in volumes.iter().filter(|volume| volume.model.is_some()) {
        if let Err(error) = disk.device.flush().await {
            println!(
                "{}: not everything may be on the disk: {error}",
                disk.device.name()
            );
            good = false;
        }
    }
    let is_persistent = |provider: &&Arc<Provider>| provider.kind() == Kind::Persistent;
    for provider in regions::providers().iter().filter(is_persistent) {
        if let Err(error) = provider.persist().await {
            println!("{}: not everything may last: {error}", provider.name());
            good = false;
        }
    }
    good
}
