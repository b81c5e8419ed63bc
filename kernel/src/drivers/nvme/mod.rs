//! NVMe controllers: what the `nvme` crate asks of its platform, a queue on each core, and
//! namespaces as block devices.
//!
//! - `platform` is the controller's place in the machine;
//! - `queue` is a queue on its core, and who looks at it when;
//! - `own` is the memory that a controller has itself;
//! - [`hub`] is a controller with its queues and tasks;
//! - [`namespace`] is a block device.

pub mod hub;
pub mod namespace;
mod own;
pub mod platform;
pub mod queue;

use crate::cores;
use crate::interrupts::Interrupt;
use crate::pci::Function;
use crate::pci::device::{DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::println;
use crate::storage::Name;
use alloc::sync::Arc;
use core::fmt;
use hub::{Controller, Hub};
use own::Own;
use platform::NvmePlatform;

/// Class, subclass and interface of NVM Express controllers (PCI Code and ID Assignment, section 1.2).
const CLASS: [u8; 3] = [0x01, 0x08, 0x02];

/// The base address register of the controller registers.
const REGISTERS: u8 = 0;

/// Entries of a queue. More than the deepest stream keeps busy.
const ENTRIES: u16 = 128;

/// Whether a function is an NVMe controller.
pub fn is_controller(function: &Function) -> bool {
    function.class == CLASS
}

/// Why a controller is not used.
#[derive(Debug)]
pub enum ProbeError {
    /// Its registers cannot be had.
    Device(DeviceError),
    /// The driver gave up on it.
    Driver(nvme::Error),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// Brings up a controller, with the next free name, and adds its namespaces to the storage.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Hub>, ProbeError> {
    let device = owners.claim(function).map_err(ProbeError::Device)?;
    let registers = device.registers(REGISTERS).map_err(ProbeError::Device)?;
    let messages = match device.messages() {
        Ok(messages) => Some(messages),
        Err(error) => {
            println!("{}: the queues are polled: {error}", function.address);
            None
        }
    };
    // Entry 0 is the admin queue's, unless it is the only one.
    let mut admin = None;
    let mut first_entry = 0;
    if let Some(messages) = messages.as_ref().filter(|messages| messages.len() > 1) {
        let interrupt = Interrupt::allocate(cores::current());
        if messages.route(0, &interrupt).is_ok() {
            admin = Some(interrupt);
        }
        first_entry = 1;
    }
    let bars = device.bars();
    let platform = NvmePlatform::new(device, registers, admin);
    let mut options = nvme::Options::default();
    options.queues = cores::online().count() as u16;
    options.entries = ENTRIES;
    let controller = Controller::new(platform, options).await;
    let controller = controller.map_err(ProbeError::Driver)?;
    let name = Name::numbered("nvme");
    let own = Own::open(&bars, &controller, &name).await;
    drop(bars);
    let hub = Arc::new(Hub::new(name, function.address, controller.clone(), own));
    let messages = messages.map(Arc::new);
    let started = hub.start(messages, first_entry).await;
    started.map_err(ProbeError::Driver)?;
    hub.refresh(&controller).await;
    Ok(hub)
}
