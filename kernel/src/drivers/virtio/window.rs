//! Devices without a bus: from a place that the machine names to a device that can be brought up.

use super::bell::{Messages, Wire};
use super::platform::{Registers, VirtioPlatform};
use super::{Location, Opened, ProbeError};
use crate::machine::machine;
use crate::memory::is_ram;
use crate::memory::mapping::MapError;
use crate::mmio::RegisterWindow;
use crate::named::{self, Named};
use crate::{fw_cfg, println};
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::Phyr;
use virtio::transport::DeviceKind;
use virtio::transport::mmio::{self, Window};

/// A device without a bus that was seen.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// What it is.
    pub kind: DeviceKind,
    place: Named,
    window: Window,
}

impl Found {
    /// The input of all I/O APICs that is its own.
    pub fn input(&self) -> u32 {
        self.place.interrupt
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        Location::Window(self.place.registers.addr())
    }
}

/// Looks at all places that the machine names. Once, at boot: nothing else may drive what is there.
pub(crate) fn find_all(described: &[Named]) -> Vec<Found> {
    let line = fw_cfg::command_line().unwrap_or_default();
    let mut places = described.to_vec();
    for place in named::on_command_line(&line) {
        match place {
            Ok(place) => places.push(place),
            Err(error) => println!("command line: {error}"),
        }
    }
    let mut all = Vec::new();
    for place in named::disjoint(places) {
        match look(place) {
            Ok(found) => all.extend(found),
            Err(error) => println!("what is at {} is not used: {error}", place.registers.addr()),
        }
    }
    all
}

/// The devices of a kind, in the order of their addresses.
pub fn of(kind: DeviceKind) -> impl Iterator<Item = &'static Found> {
    let all = &machine().windows;
    all.iter().filter(move |found| found.kind == kind)
}

/// What is at a place; `None` if nothing is.
fn look(place: Named) -> Result<Option<Found>, ProbeError> {
    if is_ram(place.registers) {
        return Err(ProbeError::Ram);
    }
    let window = Window::new(place.registers).map_err(ProbeError::Window)?;
    let common = map(window.common()).map_err(ProbeError::Map)?;
    let kind = mmio::identify(&common).map_err(ProbeError::Window)?;
    Ok(kind.map(|kind| Found {
        kind,
        place,
        window,
    }))
}

/// The registers of a device that was seen, and its wire if it is to have one.
pub(super) fn open(found: &Found, has_wire: HasWire) -> Result<Opened, ProbeError> {
    let map = |part| map(part).map_err(ProbeError::Map);
    let (window, notify) = (&found.window, found.window.notify());
    let wire = match has_wire {
        HasWire::No => None,
        HasWire::Yes => match Wire::new(map(window.wire())?, found.place.interrupt) {
            Ok(wire) => Some(Arc::new(wire)),
            Err(error) => {
                println!("{}: the queues are polled: {error}", found.location());
                None
            }
        },
    };
    let platform = VirtioPlatform::without_bus(
        map(window.common())?,
        map(notify.block())?,
        map(window.config())?,
        wire.clone(),
    );
    Ok(Opened {
        location: found.location(),
        platform,
        notify,
        messages: wire.map(Messages::Wire),
        first_entry: 0,
        config_vector: None,
    })
}

/// Whether a driver waits for interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HasWire {
    Yes,
    /// Whoever waits looks.
    No,
}

fn map(part: Phyr) -> Result<Registers, MapError> {
    // SAFETY: the machine says that a device is there, it is no RAM, and this is its only driver.
    unsafe { RegisterWindow::map(part) }.map(Registers::new)
}
