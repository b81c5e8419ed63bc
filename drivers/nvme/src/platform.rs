//! What the driver needs from the platform that it runs on.
//!
//! The driver is plain logic. Everything that touches real hardware is behind three small
//! traits: a window of registers, memory that both sides see, and a few services. A kernel
//! implements them with MMIO and DMA memory; the tests implement them with a model of a
//! controller. Each item names the duty of the implementer and the duty of the caller.
//!
//! # Ordering
//!
//! The driver issues a release fence before each doorbell write, and an acquire fence
//! between the load that shows a new completion and the loads of the rest of it.
//!
//! - The implementer's duty: every load and store is one access of the width that its name
//!   says, is never left out, merged or repeated, and keeps program order against the other
//!   accesses here and against the fences. Volatile accesses do that for the compiler. On a
//!   processor that reorders more than x86, `write32` and `write64` of [`Registers`] must
//!   also hold back until earlier stores to shared memory are visible to the device.
//! - The caller's duty: no reference to shared memory is ever formed; there is only this
//!   interface.

use crate::quirks::Device;
use core::fmt;
use phyr::DmaRange;

/// The register window of one controller: its first memory BAR.
///
/// The caller passes offsets that are aligned to the width of the access and lie inside the
/// window. An implementation may panic otherwise.
pub trait Registers {
    /// Length of the window in bytes.
    fn len(&self) -> usize;

    /// True if the window has no registers at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the 32-bit register at `offset`.
    fn read32(&self, offset: usize) -> u32;

    /// Writes the 32-bit register at `offset`.
    ///
    /// The implementer's duty: stores to shared memory that were made before are visible to
    /// the device when the write arrives there.
    fn write32(&self, offset: usize, value: u32);

    /// Reads the 64-bit register at `offset`.
    ///
    /// Two 32-bit reads, the lower half first, are as good: no 64-bit register that the
    /// driver reads changes under it.
    fn read64(&self, offset: usize) -> u64;

    /// Writes the 64-bit register at `offset`.
    ///
    /// Two 32-bit writes, the lower half first, are as good. The ordering duty is that of
    /// [`write32`](Registers::write32).
    fn write64(&self, offset: usize, value: u64);
}

/// Memory that the driver and the device both read and write: queues, lists, identify data.
///
/// # Safety
///
/// The implementer's duty:
/// - the memory is one contiguous range on the bus, and [`bus`](SharedMemory::bus) says
///   which; the range does not move while the value lives;
/// - nothing else uses the memory before the value is dropped;
/// - values are little-endian in memory, as NVMe wants them.
///
/// The caller's duty:
/// - offsets are aligned to the width of the access and lie inside the memory; an
///   implementation may panic otherwise;
/// - the value is dropped only when the device can no longer reach it: the controller is
///   confirmed disabled, or [`Platform::stop_dma`] has returned `true`;
/// - whatever was read is not trusted, since the device may write at any time.
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait SharedMemory {
    /// Where the device finds the memory.
    fn bus(&self) -> DmaRange;

    /// Loads the 64-bit value at `offset`.
    fn load64(&self, offset: usize) -> u64;

    /// Stores a 64-bit value at `offset`.
    fn store64(&self, offset: usize, value: u64);

    /// Stores eight 64-bit values from `offset` on, which is a multiple of 64.
    fn store_line(&self, offset: usize, line: &[u64; 8]) {
        for (index, word) in line.iter().enumerate() {
            self.store64(offset + index * 8, *word);
        }
    }
}

/// One controller's place in the machine, with the services that its driver needs.
///
/// # Safety
///
/// The registers and the services are those of one controller, and of the same one. The driver
/// gives memory back on the word of [`stop_dma`](Platform::stop_dma), so that word must be kept:
/// a device that goes on writing after it writes over somebody else's memory.
#[expect(
    unsafe_code,
    reason = "declares a duty; the driver has no unsafe block"
)]
pub unsafe trait Platform {
    /// The controller's register window.
    type Registers: Registers;
    /// Memory shared with the controller.
    type Shared: SharedMemory;

    /// The controller's registers.
    fn registers(&self) -> &Self::Registers;

    /// Memory of at least `bytes` bytes, zeroed, aligned to 4 KiB, contiguous on the bus.
    ///
    /// The driver calls this while it sets up a controller or a queue, and for the data of
    /// admin commands; never for reading and writing.
    fn allocate(&self, bytes: usize) -> Result<Self::Shared, OutOfMemory>;

    /// Memory of the controller itself: `bytes` bytes from `offset` on of its base address register
    /// `bar`. The default says that the driver cannot have it, and then it does without.
    ///
    /// The implementer's duty: no access to it is wider than 8 bytes, and its
    /// [`bus`](SharedMemory::bus) is where the base address register has it on the bus. `None` for
    /// what is not inside of a memory base address register, whatever the numbers are: they are the
    /// device's.
    fn controller_memory(&self, bar: u8, offset: u64, bytes: usize) -> Option<Self::Shared> {
        let _ = (bar, offset, bytes);
        None
    }

    /// Microseconds since some moment in the past.
    ///
    /// The implementer's duty: the value never goes back, and goes on while the driver
    /// waits. Every wait of the driver ends by this clock.
    fn microseconds(&self) -> u64;

    /// Resolves when at least `microseconds` have passed.
    ///
    /// The implementer's duty: it does resolve, if somebody polls it. The driver holds one in
    /// each wait, so how exact it is decides how fast the driver sees an answer that comes
    /// without an interrupt; but all time limits go by [`microseconds`](Platform::microseconds).
    fn pause(&self, microseconds: u64) -> impl Future<Output = ()>;

    /// Resolves when the interrupt vector of the admin queue, vector 0, was raised since the
    /// last time that it resolved. The default never does: the admin queue is polled then.
    fn interrupted(&self) -> impl Future<Output = ()> {
        core::future::pending()
    }

    /// Which device it is, so that the driver knows its [quirks](crate::Quirks). The default does
    /// not say.
    fn device(&self) -> Option<Device> {
        None
    }

    /// Whether the device is still in the machine: on PCI, whether configuration space still
    /// shows its vendor. Registers alone cannot tell: a window that nobody answers may read as
    /// all ones or as zeros.
    fn is_present(&self) -> bool;

    /// Lets the device reach memory: on PCI, turns bus mastering on.
    ///
    /// The driver calls this when the controller is confirmed disabled, so that a device
    /// which firmware left running cannot write into memory that has a new owner. The
    /// implementer may find it on already.
    fn start_dma(&self);

    /// Keeps the device from memory: on PCI, turns bus mastering off. Does not wait.
    ///
    /// Returns whether that is certain. The implementer's duty: after `true`, no access of this
    /// device reaches memory any more, whatever the device does, until
    /// [`start_dma`](Platform::start_dma). A device that has left the machine counts as
    /// stopped. The driver calls this for a controller that does not confirm that it is
    /// disabled. After `true` it gives memory back to its owners; after `false` it never does.
    fn stop_dma(&self) -> bool;
}

/// The platform has no memory of the wanted size for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no contiguous memory left for the NVMe queues")
    }
}

impl core::error::Error for OutOfMemory {}
