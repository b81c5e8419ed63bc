//! Controllers that come and go, and their disks with them; and the hypervisor's persistent memory.
//!
//! One task follows the news from the bus. It waits for a controller that arrives until that is in use, because news of the
//! same slot come after one another. It waits for none that leaves: how long that takes is up to whoever holds
//! its disks' requests, and nothing new is announced in the slot before it is over.

use crate::block::blocking::wait;
use crate::drivers::nvme::{self, hub::Hub};
use crate::drivers::virtio::{self, drive::Drive, module::Module, window};
use crate::lock::Mutex;
use crate::machine::machine;
use crate::pci::PciAddress;
use crate::pci::ecam::Ecam;
use crate::pci::hotplug::{Event, Events, Tree};
use crate::{executor, println};
use ::virtio::transport::DeviceKind;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// Somebody looks for them, or has done so.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// The controllers in use.
static HUBS: Mutex<Vec<Arc<Hub>>> = Mutex::new(Vec::new());

/// The virtio disks in use.
static DRIVES: Mutex<Vec<Arc<Drive>>> = Mutex::new(Vec::new());

/// The hypervisor's persistent memory in use.
static MODULES: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// The hypervisor's persistent memory in use at this moment.
pub(super) fn modules() -> Vec<Arc<Module>> {
    MODULES.lock().clone()
}

/// The virtio disks in use at this moment.
pub(super) fn drives() -> Vec<Arc<Drive>> {
    DRIVES.lock().clone()
}

/// The controllers in use at this moment.
pub(super) fn hubs() -> Vec<Arc<Hub>> {
    HUBS.lock().clone()
}

/// Brings up the controllers that are there, and begins to follow the others.
///
/// Who looks waits, and runs tasks meanwhile. So another one that asks must not wait for him: it
/// may be one of these tasks.
pub(super) fn once() {
    if BEGUN.swap(true, Ordering::AcqRel) {
        return;
    }
    wait(async {
        for found in window::of(DeviceKind::BLOCK) {
            match virtio::probe_window(found).await {
                Ok(drive) => DRIVES.lock().push(drive),
                Err(error) => {
                    println!(
                        "the virtio disk at {} is not used: {error}",
                        found.location()
                    );
                }
            }
        }
    });
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
        Event::Arrived(function) if virtio::is_disk(&function) => {
            match virtio::probe(tree.owners(), &function).await {
                Ok(drive) => DRIVES.lock().push(drive),
                Err(error) => println!(
                    "the virtio disk at {} is not used: {error}",
                    function.address
                ),
            }
        }
        Event::Arrived(function) if virtio::module::is_module(&function) => {
            match virtio::module::probe(tree.owners(), &function).await {
                Ok(module) => MODULES.lock().push(module),
                Err(error) => println!(
                    "the persistent memory at {} is not used: {error}",
                    function.address
                ),
            }
        }
        Event::Arrived(_) => {}
        Event::Leaving(address) | Event::Removed(address) => leave(address),
    }
}

fn leave(address: PciAddress) {
    let hub = take(&HUBS, |hub| hub.address() == address);
    if let Some(hub) = hub {
        executor::spawn(async move { hub.leave().await }).detach();
    }
    let drive = take(&DRIVES, |drive| drive.location() == address);
    if let Some(drive) = drive {
        executor::spawn(async move { drive.leave().await }).detach();
    }
    let module = take(&MODULES, |module| module.address() == address);
    if let Some(module) = module {
        executor::spawn(async move { module.leave().await }).detach();
    }
}

/// Takes the one out of a list of which this is true.
fn take<T>(list: &Mutex<Vec<T>>, is_it: impl FnMut(&T) -> bool) -> Option<T> {
    let mut list = list.lock();
    let at = list.iter().position(is_it)?;
    Some(list.remove(at))
}
