//! virtio devices: what the `virtio` crate asks of its platform, disks, persistent memory, IOMMUs, and helpers.
//!
//! - `platform` is a device's place in the machine;
//! - [`window`] finds devices without a bus;
//! - `bell` is what interrupts a core for a queue, and `intx` a line that is several devices';
//! - `queue` is a queue on its core, and who looks at it when;
//! - [`drive`] is a disk with a queue on each core;
//! - `device` is the same as a block device;
//! - [`module`] is persistent memory;
//! - `iommu` brings IOMMUs up;
//! - [`entropy`] is a source of random bytes, [`balloon`] a memory balloon;
//! - [`share`] is a folder of the host's, [`gpu`] a screen;
//! - [`console`] is ports, which are streams of bytes.

pub mod balloon;
mod bell;
#[cfg(all(phyros, feature = "vm-tests"))]
mod bring_up_tests;
pub mod console;
mod device;
pub mod drive;
pub mod entropy;
pub mod gpu;
mod intx;
pub(crate) mod iommu;
mod location;
pub mod module;
pub mod net;
pub mod platform;
pub mod queue;
mod serial;
pub mod share;
pub mod window;

pub use location::Location;

use crate::cores;
use crate::dma::DmaError;
use crate::interrupts::Interrupt;
use crate::memory::mapping::MapError;
use crate::memory::regions::PlaceError;
use crate::pci::Function;
use crate::pci::device::{Device, DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bell::Messages;
use core::fmt;
use drive::{Disk, Drive};
use phyr::Phyr;
use platform::{Told, VirtioPlatform};
use virtio::share::ShareError;
use virtio::transport::mmio::MmioError;
use virtio::transport::{Blocks, CapabilityError, DeviceKind, Notify, shared_memory};
use window::{Found, HasWire};

/// Whether a function is a virtio disk, transitional or modern.
pub fn is_disk(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::BLOCK)
}

/// Why a device is not used.
#[derive(Debug)]
pub enum ProbeError {
    /// Its registers cannot be had.
    Device(DeviceError),
    /// Its registers are not where they can be. So it is with a legacy device, which has only I/O ports.
    Capability(CapabilityError),
    /// The driver gave up on it.
    Driver(virtio::Error),
    /// Its memory is not where memory can be.
    Place(PlaceError),
    /// There is no device in the window of registers that the machine names, or none that can be used.
    Window(MmioError),
    /// The machine names RAM.
    Ram,
    /// The window of registers cannot be mapped.
    Map(MapError),
    /// What it shares cannot be had.
    Share(ShareError),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Capability(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
            Self::Place(error) => write!(f, "{error}"),
            Self::Window(error) => write!(f, "{error}"),
            Self::Ram => f.write_str("it is RAM"),
            Self::Map(error) => write!(f, "its registers cannot be mapped: {error}"),
            Self::Share(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

/// Why a device that is in use did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    /// The device has no way to the memory.
    Memory(DmaError),
    /// What the driver says.
    Driver(virtio::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for AskError {}

impl From<virtio::Error> for AskError {
    fn from(error: virtio::Error) -> Self {
        Self::Driver(error)
    }
}

/// A device that is claimed, and whose registers were found, of a driver that needs no messages: whoever waits
/// looks, by the clock, or when the device calls by its line.
struct Reached {
    platform: VirtioPlatform,
    blocks: Blocks,
    /// The memory that a capability names as shared with the device, if one does. Who has no use for it does not
    /// care if it makes no sense.
    shared: Result<Option<Phyr>, CapabilityError>,
}

/// Whether a device is to use its line: it has no messages, or nobody has turned them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsesLine {
    Yes,
    /// Its driver spins.
    No,
}

/// Claims a device of a driver that needs no messages.
fn reach(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
    uses_line: UsesLine,
) -> Result<Reached, ProbeError> {
    let device = owners.claim(function).map_err(ProbeError::Device)?;
    let (blocks, shared) = places(&device, function);
    let blocks = blocks.map_err(ProbeError::Capability)?;
    let told = match uses_line {
        UsesLine::Yes => Told::by_line(&device, &blocks).unwrap_or_else(|error| {
            println!(
                "{}: who waits looks by the clock: {error}",
                function.address
            );
            Told::No
        }),
        UsesLine::No => Told::No,
    };
    let platform = VirtioPlatform::new(device, &blocks, told).map_err(ProbeError::Device)?;
    Ok(Reached {
        platform,
        blocks,
        shared,
    })
}

/// Where the registers of a device are, and the memory that it shares.
fn places(
    device: &Device<Ecam>,
    function: &Function,
) -> (
    Result<Blocks, CapabilityError>,
    Result<Option<Phyr>, CapabilityError>,
) {
    let capabilities = device.vendor_capabilities();
    let capabilities = || capabilities.iter().map(Vec::as_slice);
    let bar = |index| function.bar(index).map(|bar| bar.phyr);
    (
        Blocks::find(capabilities(), bar),
        shared_memory(capabilities(), bar, 0),
    )
}

/// A device that is claimed, and whose registers and messages were found.
struct Opened {
    location: Location,
    platform: VirtioPlatform,
    notify: Notify,
    messages: Option<Messages>,
    /// The first entry of the messages that is for queues.
    first_entry: u16,
    /// The one for changes of the configuration.
    config_vector: Option<u16>,
}

/// Claims a device.
fn open(owners: &Arc<Owners<Ecam>>, function: &Function) -> Result<Opened, ProbeError> {
    let device = owners.claim(function).map_err(ProbeError::Device)?;
    let blocks = places(&device, function)
        .0
        .map_err(ProbeError::Capability)?;
    let mut told = Told::No;
    let messages = match device.messages() {
        Ok(messages) => Some(messages),
        Err(error) => {
            match Told::by_line(&device, &blocks) {
                Ok(by_line) => told = by_line,
                Err(and) => println!(
                    "{}: the queues are polled: {error}, and {and}",
                    function.address
                ),
            }
            None
        }
    };
    // Entry 0 is for changes of the configuration, unless it is the only one.
    let mut config_vector = None;
    let mut first_entry = 0;
    if let Some(messages) = messages.as_ref().filter(|messages| messages.len() > 1) {
        let interrupt = Interrupt::allocate(cores::current());
        if messages.route(0, &interrupt).is_ok() {
            told = Told::Message(interrupt);
            config_vector = Some(0);
        }
        first_entry = 1;
    }
    let platform = VirtioPlatform::new(device, &blocks, told).map_err(ProbeError::Device)?;
    let line = platform.line().cloned().map(Messages::Line);
    Ok(Opened {
        location: Location::Function(function.address),
        platform,
        notify: blocks.notify,
        messages: messages
            .map(|table| Messages::Table(Arc::new(table)))
            .or(line),
        first_entry,
        config_vector,
    })
}

/// Brings a disk up, with the next free name, and adds it to the storage.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Drive>, ProbeError> {
    bring_up(open(owners, function)?).await
}

/// Brings a disk without a bus up, likewise.
pub async fn probe_window(found: &Found) -> Result<Arc<Drive>, ProbeError> {
    bring_up(window::open(found, HasWire::Yes)?).await
}

async fn bring_up(opened: Opened) -> Result<Arc<Drive>, ProbeError> {
    let mut options = virtio::blk::Options::default();
    options.config_vector = opened.config_vector;
    let domain = opened.platform.domain().clone();
    let disk = Disk::new(opened.platform, opened.notify, options).await;
    let disk = disk.map_err(ProbeError::Driver)?;
    let drive = Arc::new(Drive::new(opened.location, disk, domain));
    let started = drive.start(opened.messages, opened.first_entry).await;
    started.map_err(ProbeError::Driver)?;
    Ok(drive)
}
