//! NVMe controllers: what the `nvme` crate asks of its platform, a queue on each core, and
//! namespaces as block devices.
//!
//! - `platform` is the controller's place in the machine;
//! - `shared` is memory that driver and controller both use;
//! - `bell` is what interrupts a core for a queue, or several, which hear of it as an audience then;
//! - `queue` is a queue on its core, and who looks at it when;
//! - `own` is the memory that a controller has itself;
//! - [`hub`] is a controller with its queues and tasks, and `word` how these hear of each other;
//! - [`namespace`] is a block device.

mod bell;
#[cfg(all(phyros, feature = "vm-tests"))]
mod costs;
pub mod hub;
pub mod namespace;
mod own;
pub mod platform;
pub mod queue;
mod shared;
mod word;

/// What the words between cores are made of. The model checker puts other things in their place.
mod sync {
    pub(super) use crate::lock::Mutex;
    pub(super) use core::sync::atomic::{AtomicBool, Ordering};
}

use crate::cores;
use crate::lock::Mutex;
use crate::pci::Function;
use crate::pci::device::{DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::println;
use crate::storage::Name;
use alloc::sync::Arc;
use bell::Bells;
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

/// How controllers that come from now on are used, if somebody has said it.
static OPTIONS: Mutex<Option<nvme::Options>> = Mutex::new(None);

/// Changes how controllers that come from now on are used: how long a command may take, how doorbells
/// are rung. How many queues there are, and of what length, is the kernel's business.
pub fn change_options(change: impl FnOnce(&mut nvme::Options)) {
    change(OPTIONS.lock().get_or_insert_default());
}

/// Puts the submission queues of controllers that come from now on into their own memory, where they
/// have some. It is for controllers that fetch over a slow bus. A controller that is a program pays
/// for each word that is written there, so the default is that none are.
pub fn use_controller_memory(is_wanted: bool) {
    change_options(|options| options.controller_memory = is_wanted);
}

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
    let mut domain = device.domain().map_err(ProbeError::Device)?;
    let messages = match device.messages() {
        Ok(messages) => Some(messages),
        Err(error) => {
            println!("{}: the queues are polled: {error}", function.address);
            None
        }
    };
    let quirks = nvme::Quirks::of(nvme::Device {
        vendor: function.vendor,
        device: function.device,
    });
    let entries = match quirks.single_vector() {
        true => 1,
        false => u16::MAX,
    };
    let mut bells = Bells::new(messages, entries);
    let admin = bells.admin();
    let bars = device.bars();
    let platform = NvmePlatform::new(device, registers, domain.clone(), admin);
    let mut options = OPTIONS.lock().unwrap_or_default();
    options.queues = cores::online().count() as u16;
    options.entries = ENTRIES;
    let controller = Controller::new(platform, options).await;
    let controller = controller.map_err(ProbeError::Driver)?;
    let name = Name::numbered("nvme");
    let is_taken = options.controller_memory;
    let own = Own::open(&bars, &controller, &name, is_taken, &mut domain).await;
    drop(bars);
    let hub = Arc::new(Hub::new(
        name,
        function.address,
        domain,
        controller.clone(),
        own,
    ));
    if let Err(error) = hub.start(bells).await {
        // The queues that were made have tasks, which would keep the device for ever.
        hub.leave().await;
        return Err(ProbeError::Driver(error));
    }
    hub.refresh(&controller).await;
    Ok(hub)
}
