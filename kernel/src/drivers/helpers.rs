//! Devices that help the kernel: sources of entropy, memory balloons, folders of the host's, consoles, and screens of its
//! own.
//!
//! What is there at boot is brought up before any task runs, and the first entropy goes into the kernel's
//! [random numbers](crate::random). One task follows what comes and goes later. A balloon does nothing until somebody
//! [tends](Balloon::tend) it.

use super::virtio::balloon::{self, Balloon};
use super::virtio::console::{self, Console};
use super::virtio::entropy::{self, Entropy, SEED};
use super::virtio::gpu::{self, Gpu};
use super::virtio::share::{self, Share};
use super::virtio::{Location, ProbeError, window};
use crate::block::blocking::wait;
use crate::lock::Mutex;
use crate::pci::PciAddress;
use crate::pci::ecam::Ecam;
use crate::pci::hotplug::{Event, Events, Tree};
use crate::{executor, println};
use alloc::sync::Arc;
use alloc::vec::Vec;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use virtio::transport::DeviceKind;

/// How long a source may take at the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sources in use.
static SOURCES: Mutex<Vec<Arc<Entropy>>> = Mutex::new(Vec::new());

/// The balloons in use.
static BALLOONS: Mutex<Vec<Arc<Balloon>>> = Mutex::new(Vec::new());

/// The shares in use.
static SHARES: Mutex<Vec<Arc<Share>>> = Mutex::new(Vec::new());

/// The consoles in use.
static CONSOLES: Mutex<Vec<Arc<Console>>> = Mutex::new(Vec::new());
/// The graphics devices in use.
static GPUS: Mutex<Vec<Arc<Gpu>>> = Mutex::new(Vec::new());

/// The sources of entropy that there are at this moment.
pub fn sources() -> Vec<Arc<Entropy>> {
    SOURCES.lock().clone()
}

/// The balloons that there are at this moment.
pub fn balloons() -> Vec<Arc<Balloon>> {
    BALLOONS.lock().clone()
}

/// The folders of the host's that there are at this moment.
pub fn shares() -> Vec<Arc<Share>> {
    SHARES.lock().clone()
}

/// The consoles that there are at this moment.
pub fn consoles() -> Vec<Arc<Console>> {
    CONSOLES.lock().clone()
}

/// The graphics devices that there are at this moment.
pub fn gpus() -> Vec<Arc<Gpu>> {
    GPUS.lock().clone()
}

/// Brings up what is there, and begins to follow the others.
pub(crate) fn start(tree: &'static Tree<Ecam>) {
    let mut events = tree.events();
    while let Some(event) = events.try_next() {
        if concerns_us(&event) {
            wait(follow(tree, event));
        }
    }
    // Without slots nothing comes or goes.
    if !tree.ports().is_empty() {
        executor::spawn(follow_all(tree, events)).detach();
    }
}

/// Brings up the sources of entropy that have no bus.
pub(crate) fn start_named() {
    for found in window::of(DeviceKind::ENTROPY) {
        wait(async {
            take_source(found.location(), entropy::probe_window(found).await).await;
        });
    }
}

/// Uses a source from here on, if it is one.
async fn take_source(location: Location, source: Result<Arc<Entropy>, ProbeError>) {
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            println!("the entropy device at {location} is not used: {error}");
            return;
        }
    };
    // One that has nothing to give does not keep the machine from starting.
    match select(source.seed(SEED), Timer::after(PATIENCE)).await {
        Either::First(Ok(())) => {}
        Either::First(Err(error)) => println!("{location}: it gives no entropy: {error}"),
        Either::Second(()) => println!("{location}: it gives no entropy yet"),
    }
    SOURCES.lock().push(source);
}

fn concerns_us(event: &Event) -> bool {
    match event {
        Event::Arrived(function) => {
            entropy::is_it(function)
                || balloon::is_it(function)
                || share::is_it(function)
                || console::is_it(function)
                || gpu::is_it(function)
        }
        Event::Leaving(_) | Event::Removed(_) => true,
    }
}

async fn follow_all(tree: &'static Tree<Ecam>, mut events: Events) {
    loop {
        let event = events.next().await;
        follow(tree, event).await;
    }
}

async fn follow(tree: &Tree<Ecam>, event: Event) {
    match event {
        Event::Arrived(function) if entropy::is_it(&function) => {
            let location = Location::Function(function.address);
            take_source(location, entropy::probe(tree.owners(), &function).await).await;
        }
        Event::Arrived(function) if balloon::is_it(&function) => {
            match balloon::probe(tree.owners(), &function).await {
                Ok(balloon) => BALLOONS.lock().push(balloon),
                Err(error) => {
                    println!("the balloon at {} is not used: {error}", function.address);
                }
            }
        }
        Event::Arrived(function) if share::is_it(&function) => {
            match share::probe(tree.owners(), &function).await {
                Ok(share) => SHARES.lock().push(share),
                Err(error) => {
                    println!("the share at {} is not used: {error}", function.address);
                }
            }
        }
        Event::Arrived(function) if console::is_it(&function) => {
            match console::probe(tree.owners(), &function).await {
                Ok(console) => CONSOLES.lock().push(console),
                Err(error) => {
                    println!("the console at {} is not used: {error}", function.address);
                }
            }
        }
        Event::Arrived(function) if gpu::is_it(&function) => {
            match gpu::probe(tree.owners(), &function).await {
                Ok(gpu) => GPUS.lock().push(gpu),
                Err(error) => {
                    println!("the screen at {} is not used: {error}", function.address);
                }
            }
        }
        Event::Arrived(_) => {}
        Event::Leaving(address) | Event::Removed(address) => leave(address).await,
    }
}

async fn leave(address: PciAddress) {
    let source = take(&SOURCES, |source| source.location() == address);
    if let Some(source) = source {
        source.leave();
    }
    let balloon = take(&BALLOONS, |balloon| balloon.address() == address);
    if let Some(balloon) = balloon {
        balloon.leave().await;
    }
    let share = take(&SHARES, |share| share.address() == address);
    if let Some(share) = share {
        share.leave();
    }
    let console = take(&CONSOLES, |console| console.address() == address);
    if let Some(console) = console {
        console.leave();
    }
    let gpu = take(&GPUS, |gpu| gpu.address() == address);
    if let Some(gpu) = gpu {
        gpu.leave();
    }
}

/// Takes the one out of a list of which this is true.
fn take<T>(list: &Mutex<Vec<T>>, is_it: impl FnMut(&T) -> bool) -> Option<T> {
    let mut list = list.lock();
    let at = list.iter().position(is_it)?;
    Some(list.remove(at))
}
