//! What the driver crate asks of the machine.

use super::bell::Wire;
use super::intx::Intx;
use crate::cores;
use crate::dma::{DmaMemory, Domain};
use crate::interrupts::{Interrupt, LegacyError};
use crate::mmio::RegisterWindow;
use crate::pci::device::{Device, DeviceError};
use crate::pci::ecam::Ecam;
use crate::pci::intx::{self, Share};
use crate::println;
use alloc::sync::Arc;
use core::fmt;
use core::future::pending;
use embassy_time::{Duration, Timer};
use phyr::{DmaAddr, DmaRange};
use virtio::transport::{Blocks, Transport, mmio, uses_bus_addresses};

/// One device's place in the machine.
pub struct VirtioPlatform {
    // Dropped first: bus mastering goes off before anything the device could reach is freed.
    place: Place,
    common: Registers,
    notify: Registers,
    config: Registers,
    /// Where the device finds memory.
    domain: Domain,
}

/// What a device is a part of, and what tells of changes of its configuration.
enum Place {
    // The line is off before it is not asked any more.
    Function(Device<Ecam>, Told),
    /// No bus, and nothing between the device and memory.
    Window(Option<Arc<Wire>>),
}

/// What a function on a bus tells of changes by.
pub(super) enum Told {
    /// Nothing: it is looked at by the clock.
    No,
    /// A message.
    Message(Interrupt),
    /// Its line, and of everything else as well.
    Line(Arc<Intx>, Share),
}

impl Told {
    /// Has a function use its line. It is on from here on.
    ///
    /// # Errors
    /// Why the device must be polled, in words.
    pub(super) fn by_line(device: &Device<Ecam>, blocks: &Blocks) -> Result<Self, LineError> {
        if !device.has_line() {
            return Err(LineError::NoPin);
        }
        let isr = blocks.isr.ok_or(LineError::NoStatus)?;
        let isr = device.window(isr).map_err(LineError::Status)?;
        let line = Arc::new(Intx::new(Registers(isr)));
        let share = intx::join(line.clone()).map_err(LineError::Unheard)?;
        device.use_line();
        // Whatever firmware has left behind may hold it up already.
        share.nudge();
        Ok(Self::Line(line, share))
    }
}

/// Why a device cannot use its line.
#[derive(Debug)]
pub(super) enum LineError {
    /// The function has none.
    NoPin,
    /// The register that says what it asks for is nowhere.
    NoStatus,
    /// Or it cannot be mapped.
    Status(DeviceError),
    /// It leads nowhere.
    Unheard(LegacyError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPin => f.write_str("the function has no interrupt pin"),
            Self::NoStatus => f.write_str("it does not say where its interrupt status is"),
            Self::Status(error) => write!(f, "its interrupt status is not to be had: {error}"),
            Self::Unheard(error) => write!(f, "its line is not heard: {error}"),
        }
    }
}

impl VirtioPlatform {
    pub(super) fn new(
        device: Device<Ecam>,
        blocks: &Blocks,
        told: Told,
    ) -> Result<Self, DeviceError> {
        // A pair goes in its order, also on the way out: who hears the device stays until it is silent.
        let function = (device, told);
        let window = |part| function.0.window(part).map(Registers);
        let common = window(blocks.common)?;
        Ok(Self {
            domain: domain(&function.0, &common)?,
            common,
            notify: window(blocks.notify.block())?,
            config: window(blocks.device)?,
            place: Place::Function(function.0, function.1),
        })
    }

    /// That of a device without a bus, by its registers.
    pub(super) fn without_bus(
        common: Registers,
        notify: Registers,
        config: Registers,
        wire: Option<Arc<Wire>>,
    ) -> Self {
        Self {
            place: Place::Window(wire),
            common,
            notify,
            config,
            domain: Domain::DIRECT,
        }
    }

    /// Where the device finds memory.
    pub(super) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Its line, if it has one to share.
    pub(super) fn line(&self) -> Option<&Arc<Intx>> {
        match &self.place {
            Place::Function(_, Told::Line(line, _)) => Some(line),
            _ => None,
        }
    }

    /// The device was reset, by which its line fell, and that may have hidden another's edge.
    fn nudge(&self) {
        if let Place::Function(_, Told::Line(_, share)) = &self.place {
            share.nudge();
        }
    }
}

/// Where a device finds memory: behind the IOMMU, if there is one and the device asks it.
///
/// One that does not ask goes past it. That is for the hypervisor to decide, and a driver can only know it: the
/// device gets the physical addresses that it wants, and it is said that nothing keeps it from the rest.
fn domain(device: &Device<Ecam>, common: &Registers) -> Result<Domain, DeviceError> {
    // Also one that goes past is in a domain: an IOMMU may let no interrupt through of those that are in none.
    let domain = device.domain()?;
    if domain.is_direct() || uses_bus_addresses(common) {
        return Ok(domain);
    }
    println!(
        "{}: this virtio device goes past the IOMMU, and reaches all memory (it does not offer \
         VIRTIO_F_ACCESS_PLATFORM; QEMU's option is iommu_platform=on)",
        device.function().address
    );
    Ok(Domain::DIRECT)
}

/// A block of the device's registers.
pub struct Registers(RegisterWindow);

impl Registers {
    pub(super) fn new(window: RegisterWindow) -> Self {
        Self(window)
    }
}

impl virtio::Registers for Registers {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read8(&self, offset: usize) -> u8 {
        self.0.read8(offset)
    }

    fn read16(&self, offset: usize) -> u16 {
        self.0.read16(offset)
    }

    fn read32(&self, offset: usize) -> u32 {
        self.0.read32(offset)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.0.write8(offset, value);
    }

    #[inline]
    fn write16(&self, offset: usize, value: u16) {
        self.0.write16(offset, value);
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }
}

/// Memory that the driver shares with the device.
pub struct Shared(DmaMemory);

// SAFETY: `DmaMemory` is one range of frames of its own, at the address that `bus` tells.
unsafe impl virtio::SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        self.0.bus()
    }

    #[inline]
    fn load16(&self, offset: usize) -> u16 {
        self.0.load16(offset)
    }

    #[inline]
    fn store16(&self, offset: usize, value: u16) {
        self.0.store16(offset, value);
    }

    #[inline]
    fn load64(&self, offset: usize) -> u64 {
        self.0.load64(offset)
    }

    #[inline]
    fn store64(&self, offset: usize, value: u64) {
        self.0.store64(offset, value);
    }
}

// SAFETY: the registers are in the device's own base address registers, and a device without bus
// mastering reaches no memory (PCI Local Bus specification 3.0, section 6.2.2). Or they are in one window, and a device
// whose status reads 0 after a reset reaches no memory (VIRTIO 1.2, section 2.4).
unsafe impl virtio::Platform for VirtioPlatform {
    type Registers = Registers;
    type Shared = Shared;

    #[inline]
    fn transport(&self) -> Transport {
        match self.place {
            Place::Function(..) => Transport::Pci,
            Place::Window(_) => Transport::Mmio,
        }
    }

    fn common(&self) -> &Registers {
        &self.common
    }

    #[inline]
    fn notify(&self) -> &Registers {
        &self.notify
    }

    fn config(&self) -> &Registers {
        &self.config
    }

    fn has_bus_addresses(&self) -> bool {
        !self.domain.is_direct()
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, virtio::OutOfMemory> {
        DmaMemory::allocate(bytes as u64, &self.domain, DmaAddr::new(u64::MAX))
            .map(Shared)
            .map_err(|_| virtio::OutOfMemory)
    }

    fn microseconds(&self) -> u64 {
        crate::time::microseconds()
    }

    async fn pause(&self, microseconds: u64) {
        Timer::after(Duration::from_micros(microseconds)).await;
    }

    async fn interrupted(&self) {
        match &self.place {
            // Elsewhere nobody would be woken; there the device is looked at by the clock.
            Place::Function(_, Told::Message(interrupt))
                if interrupt.core() == cores::current() =>
            {
                interrupt.raised().await;
            }
            Place::Function(_, Told::Line(line, _)) => line.changes.heard().await,
            Place::Window(Some(wire)) => wire.changes.heard().await,
            _ => pending().await,
        }
    }

    fn calls(&self) -> Option<u32> {
        self.line().map(|line| line.calls())
    }

    async fn called(&self, seen: u32) {
        match self.line() {
            Some(line) => line.called(seen).await,
            None => pending().await,
        }
    }

    fn is_present(&self) -> bool {
        match &self.place {
            Place::Function(device, _) => device.is_present(),
            Place::Window(_) => mmio::is_present(&self.common),
        }
    }

    fn start_dma(&self) {
        // Without a bus there is nothing to turn on.
        if let Place::Function(device, _) = &self.place {
            // SAFETY: the driver starts DMA when the device is confirmed reset. From then on it tells it
            // only of `DmaMemory` and of the ranges of requests, which it owns until the device is done
            // with them.
            unsafe { device.enable_bus_master() };
        }
        self.nudge();
    }

    fn stop_dma(&self) -> bool {
        self.nudge();
        match &self.place {
            Place::Function(device, _) => device.disable_bus_master(),
            Place::Window(_) => mmio::stop(&self.common),
        }
    }
}
