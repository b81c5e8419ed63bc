//! What all devices have: status, features, queues.
//!
//! Here is what is done with the registers, and in which order. Where they are is for [`Face`] to say, which
//! each transport has one of.
//!
//! Nothing here is on the way of a request. A queue's place of notifications is looked up when
//! the queue is set up, because it costs a register read, and remembered.

use super::features::{Accepted, FeatureError, Negotiation};
use super::status::{StatusError, Step};
use super::{Notify, Transport, mmio::Mmio, pci::Pci};
use crate::error::{Failure, Waiting};
use crate::platform::Platform;
use crate::watch::Watch;
use phyr::DmaAddr;
use virtio_spec::{F, FeatureBits, le128};

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

/// The registers that both transports have, each in places of its own.
pub(super) trait Face {
    /// The device status.
    fn status(&self) -> u8;
    /// Writes it.
    fn set_status(&self, status: u8);
    /// Counts changes of the device's own configuration.
    fn generation(&self) -> u32;
    /// Queues that the device has.
    fn queues(&self) -> u16;
    /// A word of the features that the device offers.
    fn offered(&self, word: u32) -> u32;
    /// Writes a word of those that the driver takes.
    fn accept(&self, word: u32, features: u32);
    /// Gives the interrupt for changes of the configuration a vector, where there are any.
    fn set_config_vector(&self, vector: Option<u16>);
    /// Most entries of a queue; 0 if there is no such queue.
    fn queue_size(&self, queue: u16) -> u16;
    /// Tells the device of a queue that is large enough.
    fn introduce(&self, rings: &Rings, notify: &Notify) -> Result<Introduced, Failure>;
    /// Whether there are registers for the reset of a queue, if the device offers that.
    fn can_reset_queues(&self) -> bool;
    /// Begins to reset a queue.
    fn reset_queue(&self, queue: u16);
    /// Whether the reset that was begun last is over.
    fn is_queue_reset(&self) -> bool;
}

/// The lower and the upper half of an address.
pub(super) fn halves(address: DmaAddr) -> [u32; 2] {
    [address.get() as u32, (address.get() >> 32) as u32]
}

/// The common configuration of a device.
pub(crate) struct Common<'a, P>(pub(crate) &'a P);

impl<P: Platform> Common<'_, P> {
    fn with<T>(&self, action: impl FnOnce(&dyn Face) -> T) -> T {
        match self.0.transport() {
            Transport::Pci => action(&Pci {
                registers: self.0.common(),
                has_line: self.0.calls().is_some(),
            }),
            Transport::Mmio => action(&Mmio(self.0.common())),
        }
    }

    fn set_status(&self, status: u8) {
        self.with(|face| face.set_status(status));
    }

    /// The device status.
    pub(crate) fn status(&self) -> u8 {
        self.with(|face| face.status())
    }

    /// Counts changes of the device's own configuration.
    pub(crate) fn generation(&self) -> u32 {
        self.with(|face| face.generation())
    }

    /// Queues that the device has.
    pub(crate) fn queues(&self) -> u16 {
        self.with(|face| face.queues())
    }

    /// Does a step of the set-up, and looks whether the device has taken it.
    pub(crate) fn step(&self, step: Step) -> Result<(), Failure> {
        self.set_status(step.status().bits());
        step.check(self.status()).map_err(|error| match error {
            StatusError::Gone if !self.0.is_present() => Failure::Gone,
            error => Failure::Status(error),
        })
    }

    /// Resets the device. It is done when the status reads 0, and the device has let go of all
    /// memory by then (section 2.1.2).
    pub(crate) async fn reset(&self) -> Result<(), Failure> {
        self.set_status(0);
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
        self.with(|face| face.reset_queue(queue));
        let mut watch = Watch::new(self.0, RESET_MICROSECONDS);
        loop {
            let is_reset = self.with(|face| face.is_queue_reset());
            if !self.0.is_present() {
                return Err(Failure::Gone);
            }
            if is_reset {
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
        let mut offered = 0_u128;
        for select in 0..FEATURE_WORDS {
            let word = self.with(|face| face.offered(select));
            offered |= u128::from(word) << (32 * select);
        }
        B::from_bits_retain(le128::from_ne(offered))
    }

    /// Agrees on features.
    pub(crate) fn negotiate<B: FeatureBits + Copy>(
        &self,
        wishes: &Negotiation<B>,
    ) -> Result<Accepted<B>, Failure> {
        let offered = self.offered();
        let wishes = match self.0.has_bus_addresses() {
            true => wishes.requiring(F::ACCESS_PLATFORM),
            false => *wishes,
        };
        let wishes = match self.with(|face| face.can_reset_queues()) {
            true => wishes,
            false => wishes.without(F::RING_RESET.bits().to_ne()),
        };
        let chosen = wishes.choose(offered).map_err(Failure::Features)?;
        for select in 0..FEATURE_WORDS {
            self.with(|face| face.accept(select, chosen.word(select)));
        }
        self.set_status(Step::FeaturesOk.status().bits());
        chosen.confirm(self.status()).map_err(|error| match error {
            FeatureError::Status(StatusError::Gone) if !self.0.is_present() => Failure::Gone,
            error => Failure::Features(error),
        })
    }

    /// Gives the interrupt for changes of the configuration a vector. Whether the device takes it
    /// makes no difference: it is looked at now and then.
    pub(crate) fn set_config_vector(&self, vector: Option<u16>) {
        self.with(|face| face.set_config_vector(vector));
    }

    /// Most entries of a queue; 0 if there is no such queue.
    pub(crate) fn queue_size(&self, queue: u16) -> u16 {
        self.with(|face| face.queue_size(queue))
    }

    /// Tells the device of a queue.
    pub(crate) fn introduce(&self, rings: &Rings, notify: &Notify) -> Result<Introduced, Failure> {
        let queue = rings.queue;
        let size = self.queue_size(queue);
        if size < rings.entries {
            return Err(Failure::QueueSize { queue, size });
        }
        self.with(|face| face.introduce(rings, notify))
    }
}
