//! The common configuration (section 4.1.4.3): status, features, queues.
//!
//! Nothing here is on the way of a request. A queue's place of notifications is looked up when
//! the queue is set up, because it costs a register read, and remembered.

use super::features::{Accepted, FeatureError, Negotiation};
use super::status::{StatusError, Step};
use super::{Notify, device::NO_VECTOR};
use crate::error::{Failure, Waiting};
use crate::platform::{Platform, Registers};
use crate::watch::Watch;
use phyr::DmaAddr;
use virtio_spec::{F, FeatureBits, le128};

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

/// Words of features that are looked at: those of versions up to 1.3.
const FEATURE_WORDS: u32 = 2;

/// Microseconds that a reset may take.
const RESET_MICROSECONDS: u64 = 5_000_000;

/// Where a queue is, as the device is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings {
    pub(crate) queue: u16,
    pub(crate) entries: u16,
    pub(crate) vector: Option<u16>,
    pub(crate) descriptors: DmaAddr,
    /// What the driver writes: the ring of what is available, or when it wants to be told.
    pub(crate) driver: DmaAddr,
    /// What the device writes: the ring of what was used, or when it wants to be told.
    pub(crate) device: DmaAddr,
}

/// What became of a queue's set-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduced {
    /// Offset in the notification block where this queue is notified.
    pub(crate) notify_at: usize,
    /// The device has taken the interrupt vector.
    pub(crate) has_vector: bool,
}

/// The common configuration of a device.
pub(crate) struct Common<'a, P>(pub(crate) &'a P);

impl<P: Platform> Common<'_, P> {
    fn registers(&self) -> &P::Registers {
        self.0.common()
    }

    /// The device status.
    pub(crate) fn status(&self) -> u8 {
        self.registers().read8(register::DEVICE_STATUS)
    }

    /// Counts changes of the device's own configuration.
    pub(crate) fn generation(&self) -> u8 {
        self.registers().read8(register::CONFIG_GENERATION)
    }

    /// Queues that the device has.
    pub(crate) fn queues(&self) -> u16 {
        self.registers().read16(register::NUM_QUEUES)
    }

    /// Does a step of the set-up, and looks whether the device has taken it.
    pub(crate) fn step(&self, step: Step) -> Result<(), Failure> {
        let status = step.status().bits();
        self.registers().write8(register::DEVICE_STATUS, status);
        step.check(self.status()).map_err(|error| match error {
            StatusError::Gone if !self.0.is_present() => Failure::Gone,
            error => Failure::Status(error),
        })
    }

    /// Resets the device. It is done when the status reads 0, and the device has let go of all
    /// memory by then (section 2.1.2).
    pub(crate) async fn reset(&self) -> Result<(), Failure> {
        self.registers().write8(register::DEVICE_STATUS, 0);
        let mut watch = Watch::new(self.0, RESET_MICROSECONDS);
        loop {
            let status = self.status();
            // Where nobody answers, zeros may be read as well as ones.
            if (status == 0 || status == u8::MAX) && !self.0.is_present() {
                return Err(Failure::Gone);
            }
            if Step::Reset.check(status).is_ok() {
                return Ok(());
            }
            if watch.turn(self.0).await.is_err() {
                return Err(Failure::Timeout(Waiting::Reset));
            }
        }
    }

    /// Resets a queue of a device that has agreed on RING_RESET. It is done when the register reads 0, and the
    /// device has let go of the queue's memory by then (section 4.1.4.3.2).
    pub(crate) async fn reset_queue(&self, queue: u16) -> Result<(), Failure> {
        let registers = self.registers();
        registers.write16(register::QUEUE_SELECT, queue);
        registers.write16(register::QUEUE_RESET, 1);
        let mut watch = Watch::new(self.0, RESET_MICROSECONDS);
        loop {
            let resetting = registers.read16(register::QUEUE_RESET);
            let enabled = registers.read16(register::QUEUE_ENABLE);
            if !self.0.is_present() {
                return Err(Failure::Gone);
            }
            if (resetting, enabled) == (0, 0) {
                return Ok(());
            }
            if watch.turn(self.0).await.is_err() {
                return Err(Failure::Timeout(Waiting::Reset));
            }
        }
    }

    /// Why a device that was let go is of no use any more, if it says so, or says nothing.
    pub(crate) fn ailment(&self) -> Option<Failure> {
        Step::DriverOk.check(self.status()).err()?;
        Some(match self.0.is_present() {
            true => Failure::NeedsReset,
            false => Failure::Gone,
        })
    }

    /// Resets the device without waiting for it, and keeps it from memory. Returns whether it is certain that it
    /// does not use memory any more.
    pub(crate) fn stop(&self) -> bool {
        let is_reset = self.step(Step::Reset).is_ok();
        // A confirmed reset is enough. This is for a device that breaks its word.
        let is_cut_off = self.0.stop_dma();
        is_reset || is_cut_off
    }

    /// What the device offers.
    pub(crate) fn offered<B: FeatureBits>(&self) -> B {
        let registers = self.registers();
        let mut offered = 0_u128;
        for select in 0..FEATURE_WORDS {
            registers.write32(register::DEVICE_FEATURE_SELECT, select);
            let word = registers.read32(register::DEVICE_FEATURE);
            offered |= u128::from(word) << (32 * select);
        }
        B::from_bits_retain(le128::from_ne(offered))
    }

    /// Agrees on features.
    pub(crate) fn negotiate<B: FeatureBits + Copy>(
        &self,
        wishes: &Negotiation<B>,
    ) -> Result<Accepted<B>, Failure> {
        let registers = self.registers();
        let offered = self.offered();
        let wishes = match self.0.has_bus_addresses() {
            true => wishes.requiring(F::ACCESS_PLATFORM),
            false => *wishes,
        };
        // Version 1.1 has no register for it.
        let wishes = match registers.len() < register::QUEUE_RESET + 2 {
            true => wishes.without(F::RING_RESET.bits().to_ne()),
            false => wishes,
        };
        let chosen = wishes.choose(offered).map_err(Failure::Features)?;
        for select in 0..FEATURE_WORDS {
            registers.write32(register::DRIVER_FEATURE_SELECT, select);
            registers.write32(register::DRIVER_FEATURE, chosen.word(select));
        }
        let step = Step::FeaturesOk.status().bits();
        registers.write8(register::DEVICE_STATUS, step);
        chosen.confirm(self.status()).map_err(|error| match error {
            FeatureError::Status(StatusError::Gone) if !self.0.is_present() => Failure::Gone,
            error => Failure::Features(error),
        })
    }

    /// Gives the interrupt for changes of the configuration a vector. Whether the device takes it
    /// makes no difference: it is looked at now and then.
    pub(crate) fn set_config_vector(&self, vector: Option<u16>) {
        let vector = vector.unwrap_or(NO_VECTOR);
        self.registers()
            .write16(register::CONFIG_MSIX_VECTOR, vector);
    }

    /// Most entries of a queue; 0 if there is no such queue.
    pub(crate) fn queue_size(&self, queue: u16) -> u16 {
        self.registers().write16(register::QUEUE_SELECT, queue);
        self.registers().read16(register::QUEUE_SIZE)
    }

    /// Tells the device of a queue.
    pub(crate) fn introduce(&self, rings: &Rings, notify: &Notify) -> Result<Introduced, Failure> {
        let queue = rings.queue;
        let size = self.queue_size(queue);
        if size < rings.entries {
            return Err(Failure::QueueSize { queue, size });
        }
        let registers = self.registers();
        registers.write16(register::QUEUE_SIZE, rings.entries);
        let vector = rings.vector.unwrap_or(NO_VECTOR);
        registers.write16(register::QUEUE_MSIX_VECTOR, vector);
        // A device that has no room for the vector says so by reading as none.
        let taken = registers.read16(register::QUEUE_MSIX_VECTOR);
        for (at, address) in [
            (register::QUEUE_DESC, rings.descriptors),
            (register::QUEUE_DRIVER, rings.driver),
            (register::QUEUE_DEVICE, rings.device),
        ] {
            registers.write32(at, address.get() as u32);
            registers.write32(at + 4, (address.get() >> 32) as u32);
        }
        let offset = registers.read16(register::QUEUE_NOTIFY_OFF);
        let notify_at = notify.offset(offset).map_err(Failure::Capability)?;
        registers.write16(register::QUEUE_ENABLE, 1);
        Ok(Introduced {
            notify_at,
            has_vector: taken == vector && vector != NO_VECTOR,
        })
    }
}
