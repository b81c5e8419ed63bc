//! Consoles: ports to the host, each a stream of bytes in both directions, out of and into memory of any kind.

use super::platform::VirtioPlatform;
use super::{ProbeError, Reached, UsesLine, reach};
use crate::dma::{self, Buffer, BufferError, DmaError, DmaLimits, Domain, FromDevice, ToDevice};
use crate::dma::{Memory, Owner, Transfer};
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::{Function, PciAddress};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use virtio::console::{Options, PortError};
use virtio::transport::DeviceKind;

/// The driver's handle of a device.
pub type Handle = virtio::console::Console<VirtioPlatform, Transfer>;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// A console in use.
pub struct Console {
    address: PciAddress,
    handle: Handle,
    domain: Domain,
}

/// A port of a console.
#[derive(Clone)]
pub struct Port {
    handle: virtio::console::Port<VirtioPlatform, Transfer>,
    domain: Domain,
}

/// Why a port does not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The device has no way to the memory.
    Memory(DmaError),
    /// What the driver says.
    Port(PortError),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(f, "{error}"),
            Self::Port(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for StreamError {}

/// What went wrong, and the memory, unless the device may still use it.
pub type Refused = (StreamError, Option<Memory>);

/// Whether a function is such a device.
pub fn is_it(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::CONSOLE)
}

/// Brings a device up.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Console>, ProbeError> {
    let Reached {
        platform, blocks, ..
    } = reach(owners, function, UsesLine::Yes)?;
    let domain = platform.domain().clone();
    let handle = Handle::new(platform, blocks.notify, Options::default()).await;
    Ok(Arc::new(Console {
        address: function.address,
        handle: handle.map_err(ProbeError::Driver)?,
        domain,
    }))
}

impl Console {
    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The driver's handle, to be asked how the device is.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The ports that there are at this moment.
    pub fn ports(&self) -> Vec<Port> {
        let ports = self.handle.ports().into_iter();
        ports.map(|port| self.port(port)).collect()
    }

    /// Waits until there is a port of this name, however long that takes.
    ///
    /// # Errors
    /// What became of the device.
    pub async fn wait_for(&self, name: &str) -> Result<Port, virtio::Error> {
        Ok(self.port(self.handle.wait_for(name).await?))
    }

    fn port(&self, handle: virtio::console::Port<VirtioPlatform, Transfer>) -> Port {
        Port {
            handle,
            domain: self.domain.clone(),
        }
    }

    /// Lets the device go.
    pub fn leave(&self) {
        self.handle.shutdown();
    }
}

impl Port {
    /// What it is called, if the host has said so.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn name(&self) -> Result<Option<String>, PortError> {
        self.handle.name()
    }

    /// Whether somebody of the host's is at the other end.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn is_connected(&self) -> Result<bool, PortError> {
        self.handle.is_connected()
    }

    /// Waits until somebody is at the other end, or nobody is any more.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn connection(&self, is_wanted: bool) -> Result<(), PortError> {
        self.handle.connection(is_wanted).await
    }

    /// Says that somebody is at this end. Before that, nothing comes.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn open(&self) -> Result<(), PortError> {
        self.handle.open().await
    }

    /// Says that nobody is at this end any more.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn close(&self) -> Result<(), PortError> {
        self.handle.close().await
    }

    /// Says all bytes of `memory`, of whatever kind it is, in at most sixteen pieces, and gives it back when the device
    /// has read them.
    ///
    /// # Errors
    /// Why not, and the memory.
    pub async fn send(&self, memory: impl Owner) -> Result<Memory, Refused> {
        let memory = some(memory)?;
        let buffer = Buffer::<ToDevice>::to_device(memory);
        let mapping = match dma::map_without_io(buffer, &self.domain, &LIMITS) {
            Ok(mapping) => mapping,
            Err((error, buffer)) => {
                return Err((StreamError::Memory(error), Some(buffer.into_memory())));
            }
        };
        let sent = self.handle.send(mapping.into()).await;
        sent.map(Transfer::into_memory).map_err(refused)
    }

    /// Lends the device memory for what comes, likewise. It is filled in the order in which it was lent.
    ///
    /// # Errors
    /// Why not, and the memory.
    pub fn lend(&self, memory: impl Owner) -> Result<(), Refused> {
        let memory = some(memory)?;
        let buffer = Buffer::<FromDevice>::from_device(memory);
        let mapping = match dma::map_without_io(buffer, &self.domain, &LIMITS) {
            Ok(mapping) => mapping,
            Err((error, buffer)) => {
                return Err((StreamError::Memory(error), Some(buffer.into_memory())));
            }
        };
        self.handle.lend(mapping.into()).map_err(refused)
    }

    /// Waits for what comes next: memory that was lent, and how many bytes came to the front of it. `None` says that all
    /// has come, and nobody is at the other end.
    ///
    /// # Errors
    /// Why nothing comes. After the end of the device, each call gives memory back that was lent.
    pub async fn receive(&self) -> Result<Option<(Memory, usize)>, Refused> {
        match self.handle.receive().await {
            Ok(None) => Ok(None),
            Ok(Some(received)) => {
                let memory = received.data.into_memory();
                Ok(Some((memory, received.bytes as usize)))
            }
            Err(error) => Err(refused(error)),
        }
    }
}

/// Memory, if it is any.
fn some(memory: impl Owner) -> Result<Memory, Refused> {
    let memory = memory.into_memory();
    match memory.is_empty() {
        true => {
            let empty = DmaError::Buffer(BufferError::Empty);
            Err((StreamError::Memory(empty), Some(memory)))
        }
        false => Ok(memory),
    }
}

fn refused((error, data): virtio::console::Refused<Transfer>) -> Refused {
    (StreamError::Port(error), data.map(Transfer::into_memory))
}
