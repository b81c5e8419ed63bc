//! The task that looks at the slots when something has happened there.
//!
//! All ports share one interrupt: which of them has raised it shows in their registers anyway. And now and
//! then all are looked at in any case: what is torn out without a word raises no interrupt.
//!
//! A port behind another port is only looked at now and then. Its messages would need an owner, and an owner is what
//! the port in front waits for before it lets the whole branch go.

use super::{Tree, is_behind};
use crate::cores;
use crate::interrupts::Interrupt;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use crate::pci::msix::{Msix, MsixError};
use crate::{executor, println, time};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use embassy_futures::select::{Either, select};
use embassy_time::Timer;

/// How often a slot is looked at that says nothing.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// How often a slot is looked at in which something is under way.
const SOON: Duration = Duration::from_millis(10);

static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

/// How often ports have interrupted since boot, as far as the task has taken notice.
pub fn interrupts() -> u64 {
    INTERRUPTS.load(Ordering::Relaxed)
}

/// Has a task of this core look after the slots from now on, if there are any.
///
/// It runs whenever the core's executor does: so an application that never waits sees no news.
pub fn start(tree: &'static Tree<Ecam>) {
    if !tree.ports().is_empty() {
        executor::spawn(watch(tree)).detach();
    }
}

/// Looks at all slots for ever: when a port raises its interrupt, and after pauses.
async fn watch(tree: &Tree<Ecam>) {
    let interrupt = Interrupt::allocate(cores::current());
    let _listening = listen(tree, &interrupt);
    tree.enable_interrupts();
    loop {
        let is_busy = tree.look(time::now());
        let pause = if is_busy { SOON } else { NOW_AND_THEN };
        let pause = Timer::after_micros(pause.as_micros() as u64);
        if let Either::First(()) = select(interrupt.raised(), pause).await {
            INTERRUPTS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A port with its messages. When it is dropped, its bus goes silent.
struct Listening {
    // Dropped before the device that sends them.
    _messages: Msix<Ecam>,
    _port: Device<Ecam>,
}

/// Has the ports send their messages here, as far as they can.
fn listen(tree: &Tree<Ecam>, interrupt: &Interrupt) -> Vec<Listening> {
    let functions = tree.functions();
    let ports = tree.ports();
    let mut listening = Vec::new();
    for port in &ports {
        if ports.iter().any(|front| is_behind(front, port.address)) {
            continue;
        }
        let is_it = |function: &&crate::pci::Function| function.address == port.address;
        let Some(function) = functions.iter().find(is_it) else {
            continue;
        };
        let Ok(device) = tree.owners().claim(function) else {
            continue;
        };
        match route(&device, port.message, interrupt) {
            Ok(messages) => listening.push(Listening {
                _messages: messages,
                _port: device,
            }),
            Err(error) => {
                println!("pci: {} is looked at now and then: {error}", port.address);
                // Dropped, it would take what lies behind from the bus.
                core::mem::forget(device);
            }
        }
    }
    listening
}

fn route(
    port: &Device<Ecam>,
    message: u16,
    interrupt: &Interrupt,
) -> Result<Msix<Ecam>, MsixError> {
    let messages = port.messages()?;
    messages.route(message, interrupt)?;
    Ok(messages)
}
