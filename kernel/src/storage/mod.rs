//! What is stored where: controllers, disks, partitions.
//!
//! Disks come and go while the system runs. [`volumes`] is what there is at this moment.

mod names;
mod registry;

pub use names::Name;
pub use registry::{Disk, Registry, Volume};

use crate::block::BlockDevice;
use crate::println;
use alloc::sync::Arc;
#[cfg(phyros)]
use alloc::vec::Vec;
use spin::Mutex;

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
/// The first call looks for them, and waits until that is done.
#[cfg(phyros)]
pub fn volumes() -> Vec<Volume> {
    probe::once();
    REGISTRY.lock().snapshot()
}

/// The volume of a name.
#[cfg(phyros)]
pub fn volume(name: &str) -> Option<Volume> {
    let is_it = |volume: &Volume| volume.device.name() == name;
    volumes().into_iter().find(is_it)
}

/// Makes everything written to any disk durable. To be called before the machine ends.
///
/// A disk that fails is named on the console; the others are flushed all the same.
/// Returns whether all went well.
pub fn flush() -> bool {
    let mut good = true;
    let volumes = REGISTRY.lock().snapshot();
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

/// Looking for controllers.
#[cfg(phyros)]
mod probe {
    use crate::block::blocking::wait;
    use crate::drivers::nvme;
    use crate::machine::machine;
    use crate::println;
    use alloc::sync::Arc;
    use spin::Mutex;

    static DONE: Mutex<bool> = Mutex::new(false);

    /// Brings up the controllers that the machine started with.
    pub(super) fn once() {
        let mut done = DONE.lock();
        if !*done {
            wait(all());
        }
        *done = true;
    }

    async fn all() {
        let Some(owners) = &machine().owners else {
            return;
        };
        let functions = machine().functions();
        let controllers = functions
            .iter()
            .filter(|function| nvme::is_controller(function));
        for function in controllers {
            match nvme::probe(owners, function) {
                Ok(found) => {
                    for (id, reason) in &found.unusable {
                        println!("{}: namespace {id} is not used: {reason}", found.name);
                    }
                    for namespace in found.namespaces {
                        super::add(Arc::new(namespace), &found.model).await;
                    }
                }
                Err(error) => println!(
                    "the NVMe controller at {} is not used: {error}",
                    function.address
                ),
            }
        }
    }
}
