//! The kernel's block devices as disks to be stressed.

use super::memory::Framed;
use crate::disk::Disk;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::future::Future;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use embassy_futures::yield_now;
use embassy_time::{Duration, Timer};
use kernel::block::{BlockDevice, BlockError, Completion, Durability, Operation, Request, Space};
use kernel::dma::Buffer;

/// A device, and how much of it may be overwritten.
#[derive(Clone)]
pub struct Area {
    /// The device.
    pub device: Arc<dyn BlockDevice>,
    /// Blocks from the start of the device on.
    pub blocks: u64,
    gone: Arc<AtomicBool>,
}

impl Area {
    /// So many blocks of a device.
    pub fn new(device: Arc<dyn BlockDevice>, blocks: u64) -> Self {
        let gone = Arc::default();
        Self {
            device,
            blocks,
            gone,
        }
    }

    /// An error in words. That of a removed device is remembered.
    fn explain(&self, error: BlockError) -> String {
        if error == BlockError::Removed {
            self.gone.store(true, Ordering::Relaxed);
        }
        error.to_string()
    }
}

/// A transfer between a device and framed memory. Dropping it leaves the memory to the device.
async fn transfer(
    area: &Area,
    block: u64,
    mut framed: Framed,
    operation: impl FnOnce(kernel::dma::Memory) -> Operation,
) -> (Framed, Result<(), String>) {
    let Some(memory) = framed.lend() else {
        return (framed, Err("the device has kept the memory".into()));
    };
    let request = Request {
        block,
        operation: operation(memory),
    };
    let Completion { memory, result } = area.device.execute(request).await;
    framed.take_back(memory);
    (framed, result.map_err(|error| area.explain(error)))
}

impl Disk for Area {
    type Memory = Framed;
    type Error = String;

    fn block_size(&self) -> u32 {
        self.device.geometry().block_size
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn memory(&self, bytes: usize, offset: u16, pieces: u8) -> Result<Framed, String> {
        Framed::new(bytes, offset.into(), pieces.into())
    }

    fn read(&self, block: u64, into: Framed) -> impl Future<Output = (Framed, Result<(), String>)> {
        transfer(self, block, into, |memory| {
            Operation::Read(Buffer::from_device(memory))
        })
    }

    fn write(
        &self,
        block: u64,
        from: Framed,
        durable: bool,
    ) -> impl Future<Output = (Framed, Result<(), String>)> {
        let durability = if durable && self.device.limits().durable_writes {
            Durability::Now
        } else {
            Durability::Flushed
        };
        transfer(self, block, from, move |memory| {
            Operation::Write(Buffer::to_device(memory), durability)
        })
    }

    async fn zero(&self, blocks: Range<u64>) -> Result<(), String> {
        let count = blocks.end - blocks.start;
        let done = self.device.write_zeroes(blocks.start, count, Space::Keep);
        done.await.map_err(|error| self.explain(error))
    }

    async fn trim(&self, blocks: Range<u64>) -> Result<(), String> {
        let count = blocks.end - blocks.start;
        let done = self.device.discard(blocks.start, count);
        done.await.map_err(|error| self.explain(error))
    }

    async fn flush(&self) -> Result<(), String> {
        let done = self.device.flush();
        done.await.map_err(|error| self.explain(error))
    }

    async fn settle(&self) {
        while self.device.outstanding() > 0 {
            Timer::after(Duration::from_millis(1)).await;
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    async fn turn(&self) {
        yield_now().await;
    }
}
