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
/// The first call looks for them, and waits until that is done. A call meanwhile returns those that
/// have been found so far.
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

/// The NVMe controllers in use at this moment: to be asked for counters, reset, or looked into.
#[cfg(phyros)]
pub fn controllers() -> Vec<Arc<crate::drivers::nvme::hub::Hub>> {
    probe::hubs()
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

/// Controllers that come and go.
#[cfg(phyros)]
mod probe {
    use crate::block::blocking::wait;
    use crate::drivers::nvme::{self, hub::Hub};
    use crate::executor;
    use crate::machine::machine;
    use crate::pci::PciAddress;
    use crate::pci::ecam::Ecam;
    use crate::pci::hotplug::{Event, Events, Tree};
    use crate::println;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicBool, Ordering};
    use spin::Mutex;

    /// Somebody looks for them, or has done so.
    static BEGUN: AtomicBool = AtomicBool::new(false);

    /// The controllers in use.
    static HUBS: Mutex<Vec<Arc<Hub>>> = Mutex::new(Vec::new());

    /// The controllers in use at this moment.
    pub(super) fn hubs() -> Vec<Arc<Hub>> {
        HUBS.lock().clone()
    }

    /// Brings up the controllers that the machine started with, and begins to follow the others.
    ///
    /// Who looks waits, and runs tasks meanwhile. So another one that asks must not wait for him: it
    /// may be one of these tasks.
    pub(super) fn once() {
        if BEGUN.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(tree) = &machine().pci else {
            return;
        };
        let mut events = tree.events();
        wait(async {
            while let Some(event) = events.try_next() {
                follow(tree, event).await;
            }
        });
        executor::spawn(follow_all(tree, events)).detach();
    }

    async fn follow_all(tree: &'static Tree<Ecam>, mut events: Events) {
        loop {
            let event = events.next().await;
            follow(tree, event).await;
        }
    }

    async fn follow(tree: &Tree<Ecam>, event: Event) {
        match event {
            Event::Arrived(function) if nvme::is_controller(&function) => {
                match nvme::probe(tree.owners(), &function).await {
                    Ok(hub) => HUBS.lock().push(hub),
                    Err(error) => println!(
                        "the NVMe controller at {} is not used: {error}",
                        function.address
                    ),
                }
            }
            Event::Arrived(_) => {}
            Event::Leaving(address) | Event::Removed(address) => leave(address).await,
        }
    }

    async fn leave(address: PciAddress) {
        let hub = {
            let mut hubs = HUBS.lock();
            let at = hubs.iter().position(|hub| hub.address() == address);
            at.map(|at| hubs.swap_remove(at))
        };
        if let Some(hub) = hub {
            hub.leave().await;
        }
    }
}
