//! A stack for every network interface that there is, and for those that come.

use super::handle::Stack;
use super::options::Options;
use crate::drivers::virtio::net::Usage;
use crate::executor;
use crate::lock::Mutex;
use crate::net::{self, Interface};
use crate::{cores, println, random};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::watch::Watch;

/// Somebody has begun.
static BEGUN: AtomicBool = AtomicBool::new(false);

static STACKS: Mutex<Vec<Stack>> = Mutex::new(Vec::new());

/// What was there at the beginning has its stacks.
static READY: Watch<CriticalSectionRawMutex, (), 8> = Watch::new();

/// Looks for network cards, and sets up a stack on each, and on each that comes later. Only the first call
/// counts. It returns at once; tasks of this core do the rest.
pub fn start(options: Options) {
    if BEGUN.swap(true, Ordering::AcqRel) {
        return;
    }
    executor::spawn(async move {
        net::start(Usage::default()).await;
        let mut seen = 0;
        loop {
            attend(&options);
            READY.sender().send(());
            seen = poll_fn(|cx| net::poll_interfaces(seen, cx)).await;
        }
    })
    .detach();
}

/// Ready when the cards that were there at the beginning have their stacks, if anybody has
/// [started](start) them.
pub async fn started() {
    if BEGUN.load(Ordering::Acquire)
        && let Some(mut ready) = READY.receiver()
    {
        ready.get().await;
    }
}

/// The stacks at this moment, in the order in which their interfaces came.
pub fn stacks() -> Vec<Stack> {
    STACKS.lock().clone()
}

/// The stack for an address: whose link it is on, or who knows somebody who knows the way.
pub fn way_to(address: IpAddr) -> Option<Stack> {
    let stacks = stacks();
    let near = stacks.iter().find(|stack| stack.is_near(address));
    near.or_else(|| stacks.iter().find(|stack| stack.has_way(address)))
        .cloned()
}

/// Sets up what is new, and forgets what is gone.
fn attend(options: &Options) {
    let interfaces = net::interfaces();
    let gone = {
        let mut stacks = STACKS.lock();
        let (stay, gone) = core::mem::take(&mut *stacks)
            .into_iter()
            .partition(|stack| interfaces.iter().any(|one| one.name() == stack.name()));
        *stacks = stay;
        let gone: Vec<Stack> = gone;
        gone
    };
    drop(gone);
    for interface in interfaces {
        let is_known = STACKS
            .lock()
            .iter()
            .any(|stack| stack.name() == interface.name());
        if !is_known {
            set_up(interface, options.clone());
        }
    }
}

fn set_up(interface: Arc<dyn Interface>, mut options: Options) {
    options.seed ^= random::number();
    let name = interface.clone();
    let cores = interface.cores();
    let Some(stack) = Stack::new(interface, options) else {
        println!(
            "{}: its address is none, and nothing goes through it",
            name.name()
        );
        return;
    };
    STACKS.lock().push(stack.clone());
    // Where its queues are.
    let here = cores::current();
    let core = cores.iter().find(|core| **core == here).or(cores.first());
    match core {
        Some(core) if *core != here => {
            executor::spawn_on(*core, move || async move { stack.drive().await }).detach();
        }
        _ => executor::spawn(async move { stack.drive().await }).detach(),
    }
}
