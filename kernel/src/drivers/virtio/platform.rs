//! What the driver crate asks of the machine.

use super::bell::Wire;
use crate::cores;
use crate::dma::{DmaMemory, Domain};
use crate::interrupts::Interrupt;
use crate::mmio::RegisterWindow;
use crate::pci::device::{Device, DeviceError};
use crate::pci::ecam::Ecam;
use crate::println;
use alloc::sync::Arc;
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
    Function(Device<Ecam>, Option<Interrupt>),
    /// No bus, and nothing between the device and memory.
    Window(Option<Arc<Wire>>),
}

impl VirtioPlatform {
    pub(crate) fn new(
        device: Device<Ecam>,
        blocks: &Blocks,
        interrupt: Option<Interrupt>,
    ) -> Result<Self, DeviceError> {
        let window = |part| device.window(part).map(Registers);
        let common = window(blocks.common)?;
        Ok(Self {
            domain: domain(&device, &common)?,
            common,
            notify: window(blocks.notify.block())?,
            config: window(blocks.device)?,
            place: Place::Function(device, interrupt),
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
            Place::Function(_, Some(interrupt)) if interrupt.core() == cores::current() => {
                interrupt.raised().await;
            }
            Place::Window(Some(wire)) => wire.changed().await,
            _ => pending().await,
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
    }

    fn stop_dma(&self) -> bool {
        match &self.place {
            Place::Function(device, _) => device.disable_bus_master(),
            Place::Window(_) => mmio::stop(&self.common),
        }
    }
}
