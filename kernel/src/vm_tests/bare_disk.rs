//! A virtio disk driven by hand, one request at a time, so that it can be told any address.

use super::shared;
use crate::dma::{DmaMemory, Domain};
use crate::drivers::virtio;
use crate::machine::machine;
use crate::mmio::RegisterWindow;
use crate::pci::device::Device;
use crate::pci::ecam::Ecam;
use ::virtio::transport::Blocks;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use phyr::DmaRange;

const ENTRIES: u16 = 4;

/// Where things are in the page that is shared with the disk. Entries of the used ring are aligned.
const AVAIL: usize = 64;
const USED: usize = 132;
const HEADER: usize = 512;
const STATUS: usize = 528;

/// Registers of the common configuration (virtio 1.2, section 4.1.4.3).
const DRIVER_FEATURE_SELECT: usize = 0x08;
const DRIVER_FEATURE: usize = 0x0c;
const DEVICE_STATUS: usize = 0x14;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_ADDRESSES: usize = 0x20;

/// VERSION_1 and ACCESS_PLATFORM, in the upper word.
const FEATURES: u32 = 3;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The disk says this.
    Status(u8),
    /// The disk says that it needs a reset.
    NeedsReset,
}

/// A disk that asks the IOMMU.
pub(super) struct BareDisk {
    // Dropped before what it reaches.
    pub(super) device: Device<Ecam>,
    common: RegisterWindow,
    notify: RegisterWindow,
    pub(super) domain: Domain,
    memory: DmaMemory,
    sent: u16,
}

impl BareDisk {
    pub(super) fn start() -> Self {
        let mut functions = machine().functions().into_iter();
        let function = functions.find(virtio::is_disk).unwrap();
        let device = machine().owners.as_ref().unwrap().claim(&function).unwrap();
        let domain = device.domain().unwrap();
        let capabilities = device.vendor_capabilities();
        let capabilities = capabilities.iter().map(Vec::as_slice);
        let bar = |index| function.bar(index).map(|bar| bar.phyr);
        let blocks = Blocks::find(capabilities, bar).unwrap();
        let common = device.window(blocks.common).unwrap();
        let notify = device.window(blocks.notify.block()).unwrap();
        let memory = shared(&domain);
        common.write8(DEVICE_STATUS, 0);
        while common.read8(DEVICE_STATUS) != 0 {}
        common.write8(DEVICE_STATUS, 3);
        common.write32(DRIVER_FEATURE_SELECT, 1);
        common.write32(DRIVER_FEATURE, FEATURES);
        common.write8(DEVICE_STATUS, 0xb);
        assert_eq!(common.read8(DEVICE_STATUS), 0xb);
        common.write16(QUEUE_SIZE, ENTRIES);
        for (index, part) in [0, AVAIL, USED].into_iter().enumerate() {
            let address = memory.bus().addr().get() + part as u64;
            common.write32(QUEUE_ADDRESSES + 8 * index, address as u32);
            common.write32(QUEUE_ADDRESSES + 8 * index + 4, (address >> 32) as u32);
        }
        common.write16(QUEUE_ENABLE, 1);
        // SAFETY: the disk is told of the memory in this structure, which outlives it, and of what its
        // user tells it.
        unsafe { device.enable_bus_master() };
        common.write8(DEVICE_STATUS, 0xf);
        Self {
            device,
            common,
            notify,
            domain,
            memory,
            sent: 0,
        }
    }

    /// Reads from a sector on into memory at bus addresses, whosever they are.
    pub(super) fn read_to(&mut self, sector: u64, range: DmaRange) -> End {
        const NEXT: u64 = 1 << 32;
        const WRITE: u64 = 2 << 32;
        let memory = &self.memory;
        let shared = memory.bus().addr().get();
        let chain = [
            (shared + HEADER as u64, 16 | NEXT | 1 << 48),
            (range.addr().get(), range.len() | NEXT | WRITE | 2 << 48),
            (shared + STATUS as u64, 1 | WRITE),
        ];
        for (index, (address, rest)) in chain.into_iter().enumerate() {
            memory.store64(16 * index, address);
            memory.store64(16 * index + 8, rest);
        }
        memory.store64(HEADER, 0);
        memory.store64(HEADER + 8, sector);
        memory.store64(STATUS, 0xff);
        memory.store16(AVAIL + 4 + 2 * usize::from(self.sent % ENTRIES), 0);
        self.sent = self.sent.wrapping_add(1);
        fence(Ordering::Release);
        memory.store16(AVAIL + 2, self.sent);
        fence(Ordering::SeqCst);
        // The first queue of QEMU's devices is notified at the start of the block.
        self.notify.write16(0, 0);
        loop {
            if memory.load16(USED + 2) == self.sent {
                fence(Ordering::Acquire);
                return End::Status(memory.load64(STATUS) as u8);
            }
            if self.common.read8(DEVICE_STATUS) & 0x40 != 0 {
                return End::NeedsReset;
            }
        }
    }
}
