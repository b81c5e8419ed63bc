//! Devices whose registers are simply there, at an address that the machine names (section 4.2.2).
//!
//! # The problem
//!
//! A machine without PCI has nothing to enumerate. It only says: here may be a device, in so many bytes, and that is
//! its wire. A device may be missing there, or be of the version before the standard, whose registers lie
//! elsewhere. All that is known is what the first four registers say, so they are read before anything is written.
//!
//! # The idea
//!
//! [`identify`] reads them, and answers with a kind of device, with nothing, or with why not. From there on the device
//! is like one on PCI: the set-up is the same, and only the places of the registers differ.
//!
//! - All registers but the device's own configuration are 32 bits wide.
//! - There is one place of notifications for all queues, and what is written there is the queue's number.
//! - There are no vectors. One wire tells of everything, and stays up until it is acknowledged: [`acknowledge`].
//! - Nothing but the device itself keeps it from memory: [`stop`] resets it, and asks whether that is done.

use super::common::{Face, Introduced, Rings, halves};
use super::{DeviceKind, Notify};
use crate::error::Failure;
use crate::platform::Registers;
use core::fmt;
use phyr::Phyr;

/// Offsets of the registers.
mod register {
    pub(super) const MAGIC: usize = 0x000;
    pub(super) const VERSION: usize = 0x004;
    pub(super) const DEVICE_ID: usize = 0x008;
    pub(super) const DEVICE_FEATURES: usize = 0x010;
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x014;
    pub(super) const DRIVER_FEATURES: usize = 0x020;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x024;
    pub(super) const QUEUE_SELECT: usize = 0x030;
    pub(super) const QUEUE_SIZE_MAX: usize = 0x034;
    pub(super) const QUEUE_SIZE: usize = 0x038;
    pub(super) const QUEUE_READY: usize = 0x044;
    pub(super) const QUEUE_NOTIFY: u64 = 0x050;
    pub(super) const INTERRUPT_STATUS: u64 = 0x060;
    pub(super) const STATUS: usize = 0x070;
    pub(super) const QUEUE_DESC: usize = 0x080;
    pub(super) const QUEUE_DRIVER: usize = 0x090;
    pub(super) const QUEUE_DEVICE: usize = 0x0a0;
    pub(super) const CONFIG_GENERATION: usize = 0x0fc;
    pub(super) const CONFIG: u64 = 0x100;
}

/// The two registers of the wire, in the part of the window that [`Window::wire`] names.
mod wire {
    /// What the device interrupts for.
    pub(super) const STATUS: usize = 0;
    /// What of it was taken notice of.
    pub(super) const ACKNOWLEDGE: usize = 4;
    /// Bytes of both.
    pub(super) const BYTES: u64 = 8;
}

/// "virt", in the order of bytes in memory.
const MAGIC: u32 = u32::from_le_bytes(*b"virt");

/// The version of the registers that the standard has.
const VERSION: u32 = 2;

/// Queues that are counted: more than any device of this crate uses.
const MOST_QUEUES: u16 = 256;

/// Why there is no device that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioError {
    /// The window is too short, or begins where registers cannot.
    Window(Phyr),
    /// What is there is no virtio device: the first register says something else.
    Magic(u32),
    /// The device is of the version before the standard.
    Legacy,
    /// Registers of this version are not known.
    Version(u32),
}

impl fmt::Display for MmioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => write!(f, "registers of a virtio device do not fit {window}"),
            Self::Magic(word) => write!(f, "it is no virtio device: it begins with {word:#010x}"),
            Self::Legacy => f.write_str(
                "a legacy device (QEMU's option for modern ones is -global virtio-mmio.force-legacy=off)",
            ),
            Self::Version(version) => write!(f, "registers of version {version} are not known"),
        }
    }
}

impl core::error::Error for MmioError {}

/// Where the registers of a device are, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(Phyr);

impl Window {
    /// What the machine says of a device.
    ///
    /// # Errors
    /// If no registers fit there.
    pub fn new(window: Phyr) -> Result<Self, MmioError> {
        let is_aligned = window.addr().is_aligned(8);
        match is_aligned && window.len() > register::CONFIG && window.len() <= 1 << 20 {
            true => Ok(Self(window)),
            false => Err(MmioError::Window(window)),
        }
    }

    fn part(&self, offset: u64, len: u64) -> Phyr {
        let part = self.0.sub(offset, len);
        part.expect("a window is longer than all registers")
    }

    /// The block that is the same for all devices: [`Platform::common`](crate::Platform::common).
    pub fn common(&self) -> Phyr {
        self.part(0, register::CONFIG)
    }

    /// The configuration of this kind of device: [`Platform::config`](crate::Platform::config).
    pub fn config(&self) -> Phyr {
        self.part(register::CONFIG, self.0.len() - register::CONFIG)
    }

    /// Where queues are notified, all in the same place: [`Platform::notify`](crate::Platform::notify).
    pub fn notify(&self) -> Notify {
        Notify::in_one_place(self.part(register::QUEUE_NOTIFY, 4))
    }

    /// The registers for [`acknowledge`]: who is interrupted reads and writes them beside the driver.
    pub fn wire(&self) -> Phyr {
        self.part(register::INTERRUPT_STATUS, wire::BYTES)
    }
}

/// Which kind of device has this common block; `None` if there is none.
///
/// Nothing is written: whatever is there is not disturbed.
///
/// # Errors
/// If something is there that cannot be used.
pub fn identify(common: &impl Registers) -> Result<Option<DeviceKind>, MmioError> {
    let magic = common.read32(register::MAGIC);
    if magic != MAGIC {
        return Err(MmioError::Magic(magic));
    }
    // An empty place is no error, whatever its version.
    let kind = common.read32(register::DEVICE_ID);
    if kind == 0 {
        return Ok(None);
    }
    match common.read32(register::VERSION) {
        // Kinds of more bits are none of those that are known.
        VERSION => Ok(Some(DeviceKind(u16::try_from(kind).unwrap_or(u16::MAX)))),
        1 => Err(MmioError::Legacy),
        version => Err(MmioError::Version(version)),
    }
}

/// Whether a device is still there.
pub fn is_present(common: &impl Registers) -> bool {
    common.read32(register::MAGIC) == MAGIC && common.read32(register::DEVICE_ID) != 0
}

/// Resets a device without waiting for it. Returns whether that is done: it then has let go of all memory
/// (section 2.4).
pub fn stop(common: &impl Registers) -> bool {
    let face = Mmio(common);
    face.set_status(0);
    face.status() == 0
}

/// Lets the wire fall, and returns what the device has interrupted for: 1 is a queue, 2 its configuration.
///
/// The queues are to be looked at *after* this. What the device does before, the look sees; what it does afterwards
/// raises the wire again.
pub fn acknowledge(registers: &impl Registers) -> u32 {
    let status = registers.read32(wire::STATUS);
    if status != 0 {
        registers.write32(wire::ACKNOWLEDGE, status);
    }
    status
}

/// The block that is the same for all devices.
pub(super) struct Mmio<'a, R>(pub(super) &'a R);

impl<R: Registers> Face for Mmio<'_, R> {
    fn status(&self) -> u8 {
        // Where nobody answers, all bits are set. A status of more than 8 bits is nobody's either.
        u8::try_from(self.0.read32(register::STATUS)).unwrap_or(u8::MAX)
    }

    fn set_status(&self, status: u8) {
        self.0.write32(register::STATUS, status.into());
    }

    fn generation(&self) -> u32 {
        self.0.read32(register::CONFIG_GENERATION)
    }

    /// Nothing says how many there are. But one that is not there has no entries.
    fn queues(&self) -> u16 {
        let is_missing = |queue: &u16| self.queue_size(*queue) == 0;
        (0..MOST_QUEUES).find(is_missing).unwrap_or(MOST_QUEUES)
    }

    fn offered(&self, word: u32) -> u32 {
        self.0.write32(register::DEVICE_FEATURES_SELECT, word);
        self.0.read32(register::DEVICE_FEATURES)
    }

    fn accept(&self, word: u32, features: u32) {
        self.0.write32(register::DRIVER_FEATURES_SELECT, word);
        self.0.write32(register::DRIVER_FEATURES, features);
    }

    fn set_config_vector(&self, _vector: Option<u16>) {}

    fn queue_size(&self, queue: u16) -> u16 {
        self.0.write32(register::QUEUE_SELECT, queue.into());
        let size = self.0.read32(register::QUEUE_SIZE_MAX);
        u16::try_from(size).unwrap_or(u16::MAX)
    }

    fn introduce(&self, rings: &Rings, notify: &Notify) -> Result<Introduced, Failure> {
        let queue = rings.queue;
        self.0.write32(register::QUEUE_SELECT, queue.into());
        // After a reset none is: one that is would use rings that nobody has told it of.
        if self.0.read32(register::QUEUE_READY) != 0 {
            return Err(Failure::QueueReady { queue });
        }
        self.0.write32(register::QUEUE_SIZE, rings.entries.into());
        for (at, address) in [
            (register::QUEUE_DESC, rings.descriptors),
            (register::QUEUE_DRIVER, rings.driver),
            (register::QUEUE_DEVICE, rings.device),
        ] {
            let [low, high] = halves(address);
            self.0.write32(at, low);
            self.0.write32(at + 4, high);
        }
        let notify_at = notify.offset(0).map_err(Failure::Capability)?;
        self.0.write32(register::QUEUE_READY, 1);
        Ok(Introduced {
            notify_at,
            // The wire tells of every queue. Who wants no interrupts says so in the ring.
            has_vector: rings.vector.is_some(),
        })
    }

    /// The register came with version 1.2 of the standard, and the window's version does not tell: QEMU offers
    /// RING_RESET here, and has nothing that does it.
    fn can_reset_queues(&self) -> bool {
        false
    }

    fn reset_queue(&self, _queue: u16) {}

    fn is_queue_reset(&self) -> bool {
        false
    }
}
