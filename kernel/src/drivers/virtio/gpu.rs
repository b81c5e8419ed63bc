//! Graphics devices of the hypervisor's: they show pictures that lie in memory of any kind and in any pieces.

use super::platform::VirtioPlatform;
use super::{ProbeError, Reached, UsesLine, reach};
use crate::dma::{self, Buffer, DmaError, DmaLimits, Domain, Memory, Owner, ToDevice, Transfer};
use crate::lock::Mutex;
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::{Function, PciAddress};
use crate::storage::Name;
use alloc::sync::Arc;
use core::fmt;
use virtio::gpu::{Area, GpuError, Options, PIXEL, Picture};
use virtio::transport::DeviceKind;

pub use virtio::gpu::Size;

/// The driver's handle of a device.
pub type Handle = virtio::gpu::Gpu<VirtioPlatform, Transfer>;

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

/// The screen that is shown on.
const SCREEN: u32 = 0;

/// In which order the lines of a picture lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// The topmost is the first.
    Downwards,
    /// The lowest is the first.
    Upwards,
}

/// How a picture lies in memory: line after line without a gap, [`PIXEL`] bytes a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How large it is.
    pub size: Size,
    /// Bytes before the first pixel, in any number.
    pub start: u64,
    /// The order of its lines.
    pub lines: Lines,
}

/// A graphics device in use.
pub struct Gpu {
    name: Name,
    address: PciAddress,
    handle: Handle,
    domain: Domain,
    /// What is shown.
    shown: Mutex<Option<Picture>>,
}

/// Why a picture is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowError {
    /// The device has no way to the memory.
    Memory(DmaError),
    /// What the driver says.
    Driver(GpuError),
}

impl fmt::Display for ShowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(f, "{error}"),
            Self::Driver(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ShowError {}

impl From<GpuError> for ShowError {
    fn from(error: GpuError) -> Self {
        Self::Driver(error)
    }
}

/// Whether a function is such a device.
pub fn is_it(function: &Function) -> bool {
    DeviceKind::of(function.vendor, function.device) == Some(DeviceKind::GPU)
}

/// Brings a device up.
pub async fn probe(
    owners: &Arc<Owners<Ecam>>,
    function: &Function,
) -> Result<Arc<Gpu>, ProbeError> {
    let Reached {
        platform, blocks, ..
    } = reach(owners, function, UsesLine::Yes)?;
    let domain = platform.domain().clone();
    let handle = Handle::new(platform, blocks.notify, Options::default()).await;
    let handle = handle.map_err(ProbeError::Driver)?;
    Ok(Arc::new(Gpu {
        name: Name::numbered("gpu"),
        address: function.address,
        handle,
        domain,
        shown: Mutex::new(None),
    }))
}

impl Gpu {
    /// What it is called: `gpu0` and so on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The driver's handle, to be asked how the device is.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Shows a picture that lies in `memory`, of whatever kind it is and in whatever pieces. The device copies it,
    /// so the memory is back when it is seen. Lines in another order than the screen's are a command each.
    ///
    /// # Errors
    /// Why not, and the memory, unless the device may still read there. What was shown is shown still.
    pub async fn show(
        &self,
        memory: impl Owner,
        layout: Layout,
    ) -> Result<Memory, (ShowError, Option<Memory>)> {
        let buffer = Buffer::<ToDevice>::to_device(memory.into_memory());
        let mapping = match dma::map_without_io(buffer, &self.domain, &LIMITS) {
            Ok(mapping) => Transfer::from(mapping),
            Err((error, buffer)) => {
                return Err((ShowError::Memory(error), Some(buffer.into_memory())));
            }
        };
        let mut picture = match self.handle.create(layout.size).await {
            Ok(picture) => picture,
            Err(error) => return Err((error.into(), Some(mapping.into_memory()))),
        };
        let attached = self.handle.attach(&mut picture, mapping, layout.start);
        if let Err((error, back)) = attached.await {
            return Err((error.into(), back.map(Transfer::into_memory)));
        }
        // QEMU brings no picture to a screen that has no memory behind it at this moment.
        let shown = self.bring(&picture, layout.lines).await;
        let back = match self.handle.detach(&mut picture).await {
            Ok(back) => back.into_memory(),
            Err(error) => return Err((error.into(), None)),
        };
        if let Err(error) = shown {
            return Err((error.into(), Some(back)));
        }
        // Nobody holds the one that was shown before, so the device forgets it with the next.
        *self.shown.lock() = Some(picture);
        Ok(back)
    }

    /// Copies a picture, and brings it to the screen.
    async fn bring(&self, picture: &Picture, lines: Lines) -> Result<(), GpuError> {
        let area = picture.size().area();
        match lines {
            Lines::Downwards => self.handle.transfer(picture, area).await?,
            Lines::Upwards => self.turn_over(picture).await?,
        }
        self.handle.show(picture, SCREEN).await?;
        self.handle.flush(picture, area).await
    }

    /// Copies the lines of a picture one by one, the last one to the top.
    async fn turn_over(&self, picture: &Picture) -> Result<(), GpuError> {
        let Size { width, height } = picture.size();
        let size = Size { width, height: 1 };
        for y in 0..height {
            let from = u64::from(height - 1 - y) * u64::from(width) * PIXEL;
            let line = Area { x: 0, y, size };
            self.handle.transfer_from(picture, line, from).await?;
        }
        Ok(())
    }

    /// Lets the device go.
    pub fn leave(&self) {
        self.handle.shutdown();
    }
}
