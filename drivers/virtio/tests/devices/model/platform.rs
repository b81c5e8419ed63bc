//! The machine, as the driver sees it.

use super::device::Device;
use super::mmio;
use super::ram::Ram;
use phyr::{DmaAddr, DmaRange};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use virtio::transport::Transport;
use virtio::{OutOfMemory, Platform, Registers, SharedMemory};

/// A block of registers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Common,
    Notify,
    Config,
}

pub(crate) struct Window {
    device: Rc<RefCell<Device>>,
    block: Block,
}

/// Bytes between the places of two queues' notifications.
pub(crate) const MULTIPLIER: usize = 4;

impl Window {
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset.is_multiple_of(N) && offset + N <= self.len());
        let mut device = self.device.borrow_mut();
        match self.block {
            Block::Common if crate::TRANSPORT == Transport::Mmio => {
                assert_eq!(N, 4, "registers of another width");
                let word = mmio::read(&mut device, offset).to_le_bytes();
                word[..N].try_into().expect("enough")
            }
            Block::Common => {
                let word = device.read(offset).to_le_bytes();
                word[..N].try_into().expect("enough")
            }
            Block::Config if device.is_present => {
                device.register_reads += 1;
                let bytes = device.config[offset..][..N].try_into();
                let meanwhile = device.meanwhile.take_if(|(at, _)| *at == offset);
                drop(device);
                if let Some((_, happens)) = meanwhile {
                    happens();
                }
                bytes.expect("enough")
            }
            Block::Config => [device.nothing; N],
            Block::Notify => panic!("notifications are not read"),
        }
    }

    fn write(&self, offset: usize, bytes: usize, value: u32) {
        assert!(offset.is_multiple_of(bytes) && offset + bytes <= self.len());
        let mut device = self.device.borrow_mut();
        match self.block {
            Block::Common if crate::TRANSPORT == Transport::Mmio => {
                assert_eq!(bytes, 4, "registers of another width");
                mmio::write(&mut device, offset, value);
            }
            Block::Common => device.write(offset, value),
            Block::Notify if crate::TRANSPORT == Transport::Mmio => {
                assert_eq!((bytes, offset), (4, 0));
                device.notify(value as usize);
            }
            Block::Notify => {
                assert_eq!((bytes, offset), (2, value as usize * MULTIPLIER));
                device.notify(value as usize);
            }
            Block::Config => device.write_config(offset, bytes, value),
        }
    }
}

impl Registers for Window {
    fn len(&self) -> usize {
        match self.block {
            Block::Common if crate::TRANSPORT == Transport::Mmio => 0x100,
            Block::Notify if crate::TRANSPORT == Transport::Mmio => 4,
            Block::Common => self.device.borrow().registers,
            Block::Notify => 64,
            Block::Config => self.device.borrow().config.len(),
        }
    }
    fn read8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.bytes(offset))
    }
    fn read16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }
    fn read32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }
    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, 1, value.into());
    }
    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, 2, value.into());
    }
    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, 4, value);
    }
}

/// Memory that driver and device share.
pub(crate) struct Shared {
    ram: Rc<Ram>,
    start: u64,
    bytes: u64,
}

impl Shared {
    fn place(&self, offset: usize, size: usize) -> u64 {
        assert!(offset.is_multiple_of(size) && (offset + size) as u64 <= self.bytes);
        self.start + offset as u64
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ram.free(self.start);
    }
}

// SAFETY: the memory is the value's own. No device is real.
unsafe impl SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        DmaRange::new(DmaAddr::new(self.start), self.bytes).expect("a range")
    }
    fn load16(&self, offset: usize) -> u16 {
        let mut bytes = [0; 2];
        self.ram.read(self.place(offset, 2), &mut bytes);
        u16::from_le_bytes(bytes)
    }
    fn store16(&self, offset: usize, value: u16) {
        let place = self.place(offset, 2);
        self.ram.driver_writes(place, &value.to_le_bytes());
    }
    fn load64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.ram.read(self.place(offset, 8), &mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn store64(&self, offset: usize, value: u64) {
        self.ram.write(self.place(offset, 8), &value.to_le_bytes());
    }
}

/// The machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine(Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) device: Rc<RefCell<Device>>,
    pub(crate) ram: Rc<Ram>,
    common: Window,
    notify: Window,
    config: Window,
    /// Addresses of memory are an IOMMU's.
    pub(crate) has_iommu: Cell<bool>,
    pub(crate) clock: Cell<u64>,
    pub(crate) timers: RefCell<Vec<(u64, Waker)>>,
    /// Who waits for a call of the device, and for which.
    pub(crate) callers: RefCell<Vec<(u32, Waker)>>,
}

impl std::ops::Deref for Machine {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Machine {
    pub(crate) fn new(device: impl FnOnce(&Rc<Ram>) -> Device) -> Self {
        let ram = Rc::new(Ram::new());
        let device = Rc::new(RefCell::new(device(&ram)));
        let window = |block| Window {
            device: device.clone(),
            block,
        };
        Self(Rc::new(Inner {
            common: window(Block::Common),
            notify: window(Block::Notify),
            config: window(Block::Config),
            device,
            ram,
            has_iommu: Cell::new(false),
            clock: Cell::new(0),
            timers: RefCell::default(),
            callers: RefCell::default(),
        }))
    }
}

// SAFETY: no device is real; what this one is told it does in `Ram`, which counts what is wild.
unsafe impl Platform for Machine {
    type Registers = Window;
    type Shared = Shared;

    fn transport(&self) -> Transport {
        crate::TRANSPORT
    }
    fn common(&self) -> &Window {
        &self.common
    }
    fn notify(&self) -> &Window {
        &self.notify
    }
    fn config(&self) -> &Window {
        &self.config
    }
    fn has_bus_addresses(&self) -> bool {
        self.has_iommu.get()
    }
    fn allocate(&self, bytes: usize) -> Result<Shared, OutOfMemory> {
        Ok(Shared {
            ram: self.ram.clone(),
            start: self.ram.allocate(bytes as u64, 4096),
            bytes: bytes as u64,
        })
    }
    fn microseconds(&self) -> u64 {
        self.clock.get()
    }
    async fn pause(&self, microseconds: u64) {
        let end = self.clock.get() + microseconds;
        poll_fn(|cx| match self.clock.get() >= end {
            true => Poll::Ready(()),
            false => {
                self.timers.borrow_mut().push((end, cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }
    async fn interrupted(&self) {
        poll_fn(|cx| {
            let mut device = self.device.borrow_mut();
            if std::mem::take(&mut device.raised[0]) {
                return Poll::Ready(());
            }
            // Looked at again when time passes, which is soon enough.
            let soon = self.clock.get() + 1000;
            self.timers.borrow_mut().push((soon, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
    fn calls(&self) -> Option<u32> {
        self.device.borrow().calls
    }
    async fn called(&self, seen: u32) {
        poll_fn(|cx| match self.calls() == Some(seen) {
            false => Poll::Ready(()),
            true => {
                self.callers.borrow_mut().push((seen, cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }
    fn is_present(&self) -> bool {
        self.device.borrow().is_present
    }
    fn start_dma(&self) {
        let mut device = self.device.borrow_mut();
        let is_reset = device.status & 4 == 0 && device.lingering.is_empty();
        assert!(is_reset, "the device is not confirmed reset");
        device.can_dma = true;
    }
    fn stop_dma(&self) -> bool {
        let mut device = self.device.borrow_mut();
        device.can_dma &= device.is_unstoppable;
        !device.can_dma
    }
}
