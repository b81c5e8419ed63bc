//! Entropy devices of the hypervisor's: they fill memory of any kind, and the kernel's own pool.

use super::platform::VirtioPlatform;
use super::window::{self, Found, HasWire};
use super::{AskError, Location, Opened, ProbeError, Reached, UsesLine, reach};
use crate::dma::{self, Buffer, BufferError, DmaError, DmaLimits, Domain, FromDevice};
use crate::dma::{Memory, Owner, Transfer};
use crate::memory::frames::Frames;
use crate::memory::window::PAGE;
use crate::pci::Function;
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::random::{self, Source};
use alloc::sync::Arc;
use virtio::rng::Options;
use virtio::transport::{DeviceKind, Notify};

/// The driver's handle of a device.
pub type Handle = virtio::rng::Source<VirtioPlatform, Transfer>;

/// Bytes that the kernel's pool is given when a device comes.
pub const SEED: usize = 64;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// An entropy device in use.
pub struct Entropy {
    location: Location,
    handle: Handle,
    domain: Domain,
}

/// Whether a function is such a device.
pub fn is_it(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::ENTROPY)
}

/// Brings a device up.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Entropy>, ProbeError> {
    let Reached {
        platform, blocks, ..
    } = reach(owners, function, UsesLine::Yes)?;
    let location = Location::Function(function.address);
    bring_up(location, platform, blocks.notify).await
}

/// Brings a device without a bus up.
pub async fn probe_window(found: &Found) -> Result<Arc<Entropy>, ProbeError> {
    let Opened {
        location,
        platform,
        notify,
        ..
    } = window::open(found, HasWire::No)?;
    bring_up(location, platform, notify).await
}

async fn bring_up(
    location: Location,
    platform: VirtioPlatform,
    notify: Notify,
) -> Result<Arc<Entropy>, ProbeError> {
    let domain = platform.domain().clone();
    let handle = Handle::new(platform, notify, Options::default()).await;
    Ok(Arc::new(Entropy {
        location,
        handle: handle.map_err(ProbeError::Driver)?,
        domain,
    }))
}

impl Entropy {
    /// Where it is.
    pub fn location(&self) -> Location {
        self.location
    }

    /// The driver's handle, to be asked how the device is.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Lets the device fill the front of `memory`, of whatever kind it is, and says how many bytes that is: at
    /// least one. In at most four pieces.
    ///
    /// # Errors
    /// Why not, and the memory, unless the device may still write there.
    pub async fn fill(
        &self,
        memory: impl Owner,
    ) -> Result<(Memory, usize), (AskError, Option<Memory>)> {
        let memory = memory.into_memory();
        if memory.is_empty() {
            let empty = DmaError::Buffer(BufferError::Empty);
            return Err((AskError::Memory(empty), Some(memory)));
        }
        let buffer = Buffer::<FromDevice>::from_device(memory);
        let mapping = match dma::map_without_io(buffer, &self.domain, &LIMITS) {
            Ok(mapping) => mapping,
            Err((error, buffer)) => {
                return Err((AskError::Memory(error), Some(buffer.into_memory())));
            }
        };
        match self.handle.fill(mapping.into()).await {
            Ok(filled) => Ok((filled.data.into_memory(), filled.bytes as usize)),
            Err(unfilled) => Err((
                AskError::Driver(unfilled.error),
                unfilled.data.map(Transfer::into_memory),
            )),
        }
    }

    /// Mixes so many bytes of it into the kernel's pool.
    ///
    /// # Errors
    /// Why not.
    pub async fn seed(&self, bytes: usize) -> Result<(), AskError> {
        let mut left = bytes;
        while left > 0 {
            let frames = Frames::zeroed(PAGE);
            let frames = frames.map_err(|_| AskError::Driver(virtio::Error::OutOfMemory))?;
            let part = frames.into_memory().part(0..left.min(PAGE as usize));
            let part = part.expect("a part of a page");
            let (mut memory, filled) = self.fill(part).await.map_err(|(error, _)| error)?;
            random::mix(Source::Device, &memory.bytes()[..filled]);
            // Nobody finds them there later.
            memory.bytes_mut().fill(0);
            left = left.saturating_sub(filled);
        }
        Ok(())
    }

    /// Lets the device go.
    pub fn leave(&self) {
        self.handle.shutdown();
    }
}
