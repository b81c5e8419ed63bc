//! What a driver needs from the platform that it runs on.
//!
//! The drivers are plain logic. Everything that touches real hardware is behind three small
//! traits: windows of registers, memory that both sides see, and a few services. A kernel
//! implements them with MMIO and DMA memory; the tests implement them with a model of a device.
//!
//! # Ordering
//!
//! The driver issues a fence wherever the order of two accesses counts: release before an index
//! that publishes entries, a full one between that and the look at whether to notify, acquire
//! between an index that was read and the entries behind it.
//!
//! - The implementer's duty: every load and store is one access of the width that its name says,
//!   is never left out, merged or repeated, and keeps program order against the other accesses
//!   here and against the fences. On a processor that reorders more than x86, `write16` and
//!   `write32` of [`Registers`] must also hold back until earlier stores to shared memory are visible.
//! - The caller's duty: no reference to shared memory is ever formed; there is only this
//!   interface.

use crate::transport::Transport;
use core::fmt;
use phyr::DmaRange;

/// A block of registers.
///
/// The caller passes offsets that are aligned to the width of the access and lie inside the
/// window. An implementation may panic otherwise. Values are little-endian in the device.
pub trait Registers {
    /// Length of the window in bytes.
    fn len(&self) -> usize;

    /// True if the window has no registers at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads 8 bits at `offset`.
    fn read8(&self, offset: usize) -> u8;

    /// Reads 16 bits at `offset`.
    fn read16(&self, offset: usize) -> u16;

    /// Reads 32 bits at `offset`.
    fn read32(&self, offset: usize) -> u32;

    /// Writes 8 bits at `offset`.
    fn write8(&self, offset: usize, value: u8);

    /// Writes 16 bits at `offset`.
    ///
    /// The implementer's duty: stores to shared memory that were made before are visible to the
    /// device when the write arrives there.
    fn write16(&self, offset: usize, value: u16);

    /// Writes 32 bits at `offset`. The duty is that of [`write16`](Self::write16).
    fn write32(&self, offset: usize, value: u32);
}

/// Memory that the driver and the device both read and write: rings, request headers.
///
/// # Safety
///
/// The implementer's duty:
/// - the memory is one contiguous range on the bus, and [`bus`](SharedMemory::bus) says which;
///   the range does not move while the value lives;
/// - nothing else uses the memory before the value is dropped;
/// - values are little-endian in memory, as virtio wants them.
///
/// The caller's duty:
/// - offsets are aligned to the width of the access and lie inside the memory; an implementation
///   may panic otherwise;
/// - while the device may reach it, a place is always accessed with the same width;
/// - the value is dropped only when the device can no longer reach it: it is confirmed reset, or
///   [`Platform::stop_dma`] has returned `true`;
/// - whatever was read is not trusted, since the device may write at any time.
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait SharedMemory {
    /// Where the device finds the memory.
    fn bus(&self) -> DmaRange;

    /// Loads 16 bits at `offset`.
    fn load16(&self, offset: usize) -> u16;

    /// Stores 16 bits at `offset`.
    fn store16(&self, offset: usize, value: u16);

    /// Loads 64 bits at `offset`.
    fn load64(&self, offset: usize) -> u64;

    /// Stores 64 bits at `offset`.
    fn store64(&self, offset: usize, value: u64);
}

/// One device's place in the machine, with the services that its driver needs.
///
/// # Safety
///
/// The registers and the services are those of one device, and of the same one. The driver gives
/// memory back on the word of [`stop_dma`](Platform::stop_dma), so that word must be kept: a device
/// that goes on writing after it writes over somebody else's memory.
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Platform {
    /// A block of the device's registers.
    type Registers: Registers;
    /// Memory shared with the device.
    type Shared: SharedMemory;

    /// Where the device has the registers that all devices have. It never changes.
    fn transport(&self) -> Transport {
        Transport::Pci
    }

    /// The common configuration: exactly the block that its capability names, or
    /// [`Window::common`](crate::transport::mmio::Window::common).
    fn common(&self) -> &Self::Registers;

    /// The block of registers that queues are notified by.
    fn notify(&self) -> &Self::Registers;

    /// The configuration of this kind of device.
    fn config(&self) -> &Self::Registers;

    /// Whether the addresses of memory mean something only to a device that asks the platform's IOMMU. Then the
    /// driver accepts no device that goes past it. The default is that there is none.
    fn has_bus_addresses(&self) -> bool {
        false
    }

    /// Memory of at least `bytes` bytes, zeroed, aligned to 4 KiB, contiguous on the bus.
    ///
    /// The driver calls this while it sets a queue up; never for reading and writing.
    fn allocate(&self, bytes: usize) -> Result<Self::Shared, OutOfMemory>;

    /// Microseconds since some moment in the past.
    ///
    /// The implementer's duty: the value never goes back, and goes on while the driver waits.
    fn microseconds(&self) -> u64;

    /// Resolves when at least `microseconds` have passed, if somebody polls it.
    fn pause(&self, microseconds: u64) -> impl Future<Output = ()>;

    /// Resolves when the interrupt for changes of the configuration was raised since the last time
    /// that it resolved. The default never does: the driver looks now and then.
    fn interrupted(&self) -> impl Future<Output = ()> {
        core::future::pending()
    }

    /// How often the device has called for somebody to look, by a line that tells of all its queues: the status that makes the
    /// line fall was read before this goes up. `None`, which is the default, if nobody is told: then vectors are all that
    /// interrupts, and who waits without one looks by the clock. Whether it is `None` never changes.
    fn calls(&self) -> Option<u32> {
        None
    }

    /// Resolves when [`calls`](Self::calls) says something else than `seen`.
    fn called(&self, seen: u32) -> impl Future<Output = ()> {
        let _ = seen;
        core::future::pending()
    }

    /// Whether the device is still in the machine: on PCI, whether configuration space still shows
    /// its vendor. A window that nobody answers may read as all ones or as zeros.
    fn is_present(&self) -> bool;

    /// Lets the device reach memory: on PCI, turns bus mastering on. The driver calls this when the
    /// device is confirmed reset.
    fn start_dma(&self);

    /// Keeps the device from memory: on PCI, turns bus mastering off; where nothing stands between the device and
    /// memory, resets it ([`stop`](crate::transport::mmio::stop)). Does not wait.
    ///
    /// Returns whether that is certain. The implementer's duty: after `true`, no access of this
    /// device reaches memory any more, whatever the device does, until
    /// [`start_dma`](Platform::start_dma). A device that has left the machine counts as stopped.
    fn stop_dma(&self) -> bool;
}

/// The platform has no memory of the wanted size for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no contiguous memory left for the virtqueues")
    }
}

impl core::error::Error for OutOfMemory {}
