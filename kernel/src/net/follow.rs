//! Network cards that come and go.

use crate::drivers::virtio::net::{self as virtio, Nic, Usage};
use crate::drivers::virtio::{Location, ProbeError, window};
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

/// Somebody has begun.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// The cards in use.
static CARDS: Mutex<Vec<Arc<Nic>>> = Mutex::new(Vec::new());

pub(super) fn cards() -> Vec<Arc<Nic>> {
    CARDS.lock().clone()
}

/// Begins to follow what comes and goes, once. Returns when what was there is up, or, to all but the first that
/// ask, at once.
pub(super) async fn begin(usage: Usage) {
    if BEGUN.swap(true, Ordering::AcqRel) {
        return;
    }
    for found in window::of(DeviceKind::NET) {
        take(found.location(), virtio::probe_window(found, usage).await);
    }
    let Some(tree) = &machine().pci else {
        return;
    };
    let mut events = tree.events();
    while let Some(event) = events.try_next() {
        follow(tree, event, usage).await;
    }
    executor::spawn(follow_all(tree, events, usage)).detach();
}

async fn follow_all(tree: &'static Tree<Ecam>, mut events: Events, usage: Usage) {
    loop {
        let event = events.next().await;
        follow(tree, event, usage).await;
    }
}

async fn follow(tree: &Tree<Ecam>, event: Event, usage: Usage) {
    match event {
        Event::Arrived(function) if virtio::is_card(&function) => {
            let location = Location::Function(function.address);
            take(
                location,
                virtio::probe(tree.owners(), &function, usage).await,
            );
        }
        Event::Arrived(_) => {}
        Event::Leaving(address) | Event::Removed(address) => leave(address),
    }
}

/// Uses a card from here on, if it is one.
fn take(location: Location, nic: Result<Arc<Nic>, ProbeError>) {
    match nic {
        Ok(nic) => {
            CARDS.lock().push(nic.clone());
            super::add(nic);
        }
        Err(error) => println!("the network card at {location} is not used: {error}"),
    }
}

fn leave(address: PciAddress) {
    let nic = {
        let mut cards = CARDS.lock();
        let at = cards.iter().position(|nic| nic.location() == address);
        at.map(|at| cards.remove(at))
    };
    if let Some(nic) = nic {
        executor::spawn(async move { nic.leave().await }).detach();
    }
}
