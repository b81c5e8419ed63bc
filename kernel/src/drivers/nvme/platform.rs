//! What the driver crate asks of the machine.

use super::bell::AdminBell;
use super::shared::Shared;
use crate::dma::{DmaMemory, Domain};
use crate::mmio::RegisterWindow;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use core::future::pending;
use embassy_time::{Duration, Timer};
use phyr::DmaAddr;

/// One controller's place in the machine.
pub struct NvmePlatform {
    // Dropped first: bus mastering goes off before anything the device could reach is freed.
    device: Device<Ecam>,
    registers: Registers,
    domain: Domain,
    /// The admin queue's.
    bell: Option<AdminBell>,
}

impl NvmePlatform {
    pub(super) fn new(
        device: Device<Ecam>,
        registers: RegisterWindow,
        domain: Domain,
        bell: Option<AdminBell>,
    ) -> Self {
        Self {
            device,
            registers: Registers(registers),
            domain,
            bell,
        }
    }
}

/// The controller's registers.
pub struct Registers(RegisterWindow);

impl nvme::Registers for Registers {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.0.read32(offset)
    }

    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }

    fn read64(&self, offset: usize) -> u64 {
        self.0.read64(offset)
    }

    fn write64(&self, offset: usize, value: u64) {
        self.0.write64(offset, value);
    }
}

// SAFETY: the registers are those of the device's own base address register, and a device without
// bus mastering reaches no memory (PCI Local Bus specification 3.0, section 6.2.2).
unsafe impl nvme::Platform for NvmePlatform {
    type Registers = Registers;
    type Shared = Shared;

    fn registers(&self) -> &Registers {
        &self.registers
    }

    fn allocate(&self, bytes: usize) -> Result<Shared, nvme::OutOfMemory> {
        DmaMemory::allocate(bytes as u64, &self.domain, DmaAddr::new(u64::MAX))
            .map(Shared::in_ram)
            .map_err(|_| nvme::OutOfMemory)
    }

    fn controller_memory(&self, bar: u8, offset: u64, bytes: usize) -> Option<Shared> {
        let bar = self.device.function().bar(bar)?;
        let part = bar.phyr.sub(offset, bytes as u64)?;
        let window = self.device.window(part).ok()?;
        Some(Shared::in_the_controller(window, part))
    }

    fn microseconds(&self) -> u64 {
        crate::time::microseconds()
    }

    async fn pause(&self, microseconds: u64) {
        Timer::after(Duration::from_micros(microseconds)).await;
    }

    async fn interrupted(&self) {
        match &self.bell {
            Some(bell) => bell.raised().await,
            None => pending().await,
        }
    }

    fn device(&self) -> Option<nvme::Device> {
        let function = self.device.function();
        Some(nvme::Device {
            vendor: function.vendor,
            device: function.device,
        })
    }

    fn is_present(&self) -> bool {
        self.device.is_present()
    }

    fn start_dma(&self) {
        // SAFETY: the driver starts DMA when the controller is confirmed disabled. From then on it
        // tells it only of `DmaMemory` and of the ranges of requests, which it owns until the device
        // is done with them.
        unsafe { self.device.enable_bus_master() };
    }

    fn stop_dma(&self) -> bool {
        self.device.disable_bus_master()
    }
}
