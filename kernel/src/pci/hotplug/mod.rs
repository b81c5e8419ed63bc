//! What is on the bus now: functions come and go while the machine runs.
//!
//! At boot everything is [scanned](super::scan) and placed. Ports whose device can be exchanged get more room than
//! they need then ([`resources::spare`](super::resources::spare)), because windows cannot grow later without moving
//! what lies beside them. A function that arrives is placed in its port's windows; when it goes, its place is free again.
//!
//! - Nothing is done in an interrupt, and nothing waits. [`Tree::look`] looks at every slot and does what
//!   is due, in a bounded number of register accesses. Somebody calls it when a port has raised its interrupt,
//!   and now and then in any case: a device that was torn out without a word is missed only that way.
//! - A function is announced gone *before* its address can be given to another.
//! - While anybody drives a function behind a port, nothing new behind that port is touched: so the
//!   registers of a device that is gone are never another's.
//! - A bridge that arrives finds the bus numbers that were behind its port at boot, and no more: where there was none,
//!   it is shown with nothing behind it.

mod events;
mod slot;
#[cfg(test)]
mod tests;
#[cfg(phyros)]
mod watch;

pub use events::{Event, Events};
pub use slot::Port;
pub(super) use slot::{find, message};
#[cfg(phyros)]
pub use watch::{interrupts, start};

use super::bar::Need;
use super::device::Owners;
use super::scan::{self, Bus};
use super::{ConfigSpace, Function, PciAddress};
use crate::lock::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use events::Subscribers;
use slot::{Slot, Step};

/// Steps of one slot that a look follows. More than it takes to go and come back; a port that
/// always has something new waits for the next look.
const MOST_STEPS: usize = 6;

/// All functions of the machine.
pub struct Tree<C> {
    owners: Arc<Owners<C>>,
    state: Mutex<State>,
}

struct State {
    functions: Vec<Function>,
    unplaced: Vec<(PciAddress, Need)>,
    slots: Vec<Slot>,
    subscribers: Subscribers,
}

impl<C: ConfigSpace> Tree<C> {
    /// Begins with what the scan at boot has found.
    pub fn new(owners: Arc<Owners<C>>, bus: Bus) -> Self {
        let Bus {
            functions,
            unplaced,
            ports,
        } = bus;
        let is_occupied = |port: &Port| {
            let behind = |function: &Function| is_behind(port, function.address);
            functions.iter().any(behind)
        };
        let slots = ports.into_iter().map(|port| {
            let is_occupied = is_occupied(&port);
            Slot::new(owners.config_space(), port, is_occupied)
        });
        let state = State {
            slots: slots.collect(),
            functions,
            unplaced,
            subscribers: Subscribers::default(),
        };
        Self {
            owners,
            state: Mutex::new(state),
        }
    }

    /// Every function that is there now, bridges included, in the order of their addresses.
    pub fn functions(&self) -> Vec<Function> {
        self.state.lock().functions.clone()
    }

    /// BARs that are not used: I/O ports, and all the memory of functions of which some memory
    /// found no place.
    pub fn unplaced(&self) -> Vec<(PciAddress, Need)> {
        self.state.lock().unplaced.clone()
    }

    /// Configuration space, and who drives what.
    pub fn owners(&self) -> &Arc<Owners<C>> {
        &self.owners
    }

    /// The ports whose devices can come and go.
    pub fn ports(&self) -> Vec<Port> {
        let state = self.state.lock();
        state.slots.iter().map(|slot| slot.port.clone()).collect()
    }

    /// News, beginning with all that is there.
    pub fn events(&self) -> Events {
        let mut state = self.state.lock();
        let State {
            functions,
            subscribers,
            ..
        } = &mut *state;
        subscribers.add(functions)
    }

    /// Lets all ports raise their interrupts when something happens.
    pub fn enable_interrupts(&self) {
        for slot in &self.state.lock().slots {
            slot.enable_interrupts(self.owners.config_space());
        }
    }

    /// Looks at every slot and does what is due at this time since boot.
    ///
    /// Returns whether a slot waits for something that nobody will tell: then look again soon.
    pub fn look(&self, now: Duration) -> bool {
        let config = self.owners.config_space();
        let mut state = self.state.lock();
        let State {
            functions,
            unplaced,
            slots,
            subscribers,
        } = &mut *state;
        let mut is_busy = false;
        for slot in slots {
            let mut has_more = true;
            for _ in 0..MOST_STEPS {
                let port = slot.port.clone();
                let is_behind = |address| is_behind(&port, address);
                let driven = self.owners.drives_any(is_behind);
                let event = match slot.look(config, now, driven) {
                    Step::Nothing => {
                        has_more = false;
                        break;
                    }
                    Step::Again => continue,
                    Step::Arrived => {
                        let mut found = scan::scan_behind(config, &port);
                        for function in &found.functions {
                            subscribers.tell(&Event::Arrived(function.clone()));
                        }
                        functions.append(&mut found.functions);
                        functions.sort_by_key(|function| function.address);
                        unplaced.append(&mut found.unplaced);
                        continue;
                    }
                    Step::Leaving => Event::Leaving,
                    Step::Gone => Event::Removed,
                };
                let behind = functions.iter().map(|function| function.address);
                for address in behind.filter(|address| is_behind(*address)) {
                    subscribers.tell(&event(address));
                }
                if event(port.address) == Event::Removed(port.address) {
                    functions.retain(|function| !is_behind(function.address));
                    unplaced.retain(|(address, _)| !is_behind(*address));
                }
            }
            is_busy |= has_more || slot.is_busy();
        }
        is_busy
    }
}

/// Whether a function is reached through a port.
fn is_behind(port: &Port, address: PciAddress) -> bool {
    address.segment() == port.address.segment()
        && (port.bus..=port.last_bus).contains(&address.bus())
}
