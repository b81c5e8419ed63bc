//! The common configuration of a PCI device (section 4.1.4.3).

use super::common::{Face, Introduced, Rings, halves};
use super::{Notify, device::NO_VECTOR};
use crate::error::Failure;
use crate::platform::Registers;

/// Offsets of the registers.
mod register {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub(super) const DEVICE_FEATURE: usize = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub(super) const DRIVER_FEATURE: usize = 0x0c;
    pub(super) const CONFIG_MSIX_VECTOR: usize = 0x10;
    pub(super) const NUM_QUEUES: usize = 0x12;
    pub(super) const DEVICE_STATUS: usize = 0x14;
    pub(super) const CONFIG_GENERATION: usize = 0x15;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_MSIX_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 0x1e;
    pub(super) const QUEUE_DESC: usize = 0x20;
    pub(super) const QUEUE_DRIVER: usize = 0x28;
    pub(super) const QUEUE_DEVICE: usize = 0x30;
    /// There with RING_RESET only.
    pub(super) const QUEUE_RESET: usize = 0x3a;
}

/// The common configuration.
pub(super) struct Pci<'a, R> {
    pub(super) registers: &'a R,
    /// The device interrupts by a line, and has no vectors.
    pub(super) has_line: bool,
}

impl<R: Registers> Face for Pci<'_, R> {
    fn status(&self) -> u8 {
        self.registers.read8(register::DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        self.registers.write8(register::DEVICE_STATUS, status);
    }

    fn generation(&self) -> u32 {
        self.registers.read8(register::CONFIG_GENERATION).into()
    }

    fn queues(&self) -> u16 {
        self.registers.read16(register::NUM_QUEUES)
    }

    fn offered(&self, word: u32) -> u32 {
        self.registers
            .write32(register::DEVICE_FEATURE_SELECT, word);
        self.registers.read32(register::DEVICE_FEATURE)
    }

    fn accept(&self, word: u32, features: u32) {
        self.registers
            .write32(register::DRIVER_FEATURE_SELECT, word);
        self.registers.write32(register::DRIVER_FEATURE, features);
    }

    fn set_config_vector(&self, vector: Option<u16>) {
        let vector = vector.unwrap_or(NO_VECTOR);
        self.registers.write16(register::CONFIG_MSIX_VECTOR, vector);
    }

    fn queue_size(&self, queue: u16) -> u16 {
        self.registers.write16(register::QUEUE_SELECT, queue);
        self.registers.read16(register::QUEUE_SIZE)
    }

    fn introduce(&self, rings: &Rings, notify: &Notify) -> Result<Introduced, Failure> {
        self.registers.write16(register::QUEUE_SELECT, rings.queue);
        self.registers.write16(register::QUEUE_SIZE, rings.entries);
        let vector = rings.vector.filter(|_| !self.has_line);
        let vector = vector.unwrap_or(NO_VECTOR);
        self.registers.write16(register::QUEUE_MSIX_VECTOR, vector);
        // A device that has no room for the vector says so by reading as none.
        let taken = self.registers.read16(register::QUEUE_MSIX_VECTOR);
        for (at, address) in [
            (register::QUEUE_DESC, rings.descriptors),
            (register::QUEUE_DRIVER, rings.driver),
            (register::QUEUE_DEVICE, rings.device),
        ] {
            let [low, high] = halves(address);
            self.registers.write32(at, low);
            self.registers.write32(at + 4, high);
        }
        let offset = self.registers.read16(register::QUEUE_NOTIFY_OFF);
        let notify_at = notify.offset(offset).map_err(Failure::Capability)?;
        self.registers.write16(register::QUEUE_ENABLE, 1);
        Ok(Introduced {
            notify_at,
            has_vector: match self.has_line {
                // It tells of every queue. Who wants no interrupts says so in the ring.
                true => rings.vector.is_some(),
                false => taken == vector && vector != NO_VECTOR,
            },
        })
    }

    /// Version 1.1 has no register for it.
    fn can_reset_queues(&self) -> bool {
        self.registers.len() >= register::QUEUE_RESET + 2
    }

    fn reset_queue(&self, queue: u16) {
        self.registers.write16(register::QUEUE_SELECT, queue);
        self.registers.write16(register::QUEUE_RESET, 1);
    }

    fn is_queue_reset(&self) -> bool {
        let resetting = self.registers.read16(register::QUEUE_RESET);
        let enabled = self.registers.read16(register::QUEUE_ENABLE);
        (resetting, enabled) == (0, 0)
    }
}
