//! A disk as it is given out, and what is done to it.
//!
//! What a request is about are the blocks of its [`Cover`]. Where these have more than the bytes that
//! are meant, the rest is read first and written as it was, and nobody else writes there meanwhile.

use super::cover::Cover;
use super::limits::Counters;
use super::locks::{Locks, Use};
use super::request::{Abilities, Lasting};
use super::wire::{Errno, transmission};
use crate::counter::Counter;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::block::{BlockDevice, BlockError, Durability, Operation, Request, Space, fetch};
use kernel::dma::{Buffer, Memory, Owner};
use kernel::memory::frames::Frames;

/// Where exports are found.
pub trait Exports {
    /// All of them, the one without a name first.
    fn all(&self) -> Vec<Arc<Export>>;

    /// The one with this name.
    fn find(&self, name: &[u8]) -> Option<Arc<Export>> {
        let all = self.all();
        match name {
            b"" => all.into_iter().next(),
            name => all.into_iter().find(|e| e.name().as_bytes() == name),
        }
    }
}

impl Exports for Vec<Arc<Export>> {
    fn all(&self) -> Vec<Arc<Export>> {
        self.clone()
    }
}

/// A disk as it is given out, to all connections together.
pub struct Export {
    device: Arc<dyn BlockDevice>,
    writable: AtomicBool,
    locks: Locks,
    /// How often it was changed.
    pub changes: Counter,
    /// What was done, to all exports together.
    counters: Arc<Counters>,
}

/// Why a request has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub errno: Errno,
    /// For people.
    pub words: String,
}

impl Export {
    /// Gives out a disk.
    pub fn new(device: Arc<dyn BlockDevice>, writable: bool, counters: Arc<Counters>) -> Self {
        Self {
            device,
            writable: AtomicBool::new(writable),
            locks: Locks::new(),
            changes: Counter::new(),
            counters,
        }
    }

    /// From now on it can be written, or not.
    pub fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
    }

    /// What it is called: as the disk.
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// The disk.
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// Bytes of a block of the disk.
    pub fn block_size(&self) -> u32 {
        self.device.geometry().block_size
    }

    /// What it can be asked for at this moment.
    pub fn abilities(&self, most: u32, structured: bool) -> Abilities {
        let geometry = self.device.geometry();
        let writable = self.writable.load(Ordering::Relaxed) && geometry.writable;
        Abilities {
            len: geometry.bytes(),
            writable,
            trim: writable && self.device.limits().discard.is_some(),
            most,
            structured,
            status: false,
        }
    }

    /// What a client is told of it.
    pub fn flags(&self, structured: bool) -> u16 {
        use transmission::*;
        let can = self.abilities(0, structured);
        let mut flags = HAS_FLAGS | FLUSH | MULTI_CONN;
        flags |= match can.writable {
            true => FUA | WRITE_ZEROES | FAST_ZERO,
            false => READ_ONLY,
        };
        if can.trim {
            flags |= TRIM;
        }
        if structured {
            flags |= DONT_FRAGMENT;
        }
        flags
    }

    /// Reads bytes, each piece by DMA into memory of its own.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Vec<Memory>, Failure> {
        let mut pieces = Vec::new();
        let (mut at, mut left) = (offset, u64::from(len));
        let mut most = left;
        while left > 0 {
            let len = most.min(left);
            match fetch(&*self.device, at, len as usize).await {
                Ok(memory) => {
                    pieces.push(memory);
                    (at, left) = (at + len, left - len);
                }
                // There is none in one piece; perhaps there is in several.
                Err(BlockError::OutOfMemory) if most > LEAST => most = (most / 2).max(LEAST),
                Err(error) => return Err(error.into()),
            }
        }
        self.counters.reads.add(1);
        self.counters.read_bytes.add(u64::from(len));
        Ok(pieces)
    }

    /// Memory for the blocks of a write, and which part of it the data goes to.
    pub fn memory_for(&self, offset: u64, len: u32) -> Result<(Memory, Cover), Failure> {
        let cover = Cover::new(offset, u64::from(len), self.block_size());
        let memory = blocks(cover.bytes())?;
        Ok((memory, cover))
    }

    /// Writes the blocks of a cover. The memory has the data in its place; what is before and behind it
    /// in its blocks is read first.
    pub async fn write(
        &self,
        mut memory: Memory,
        cover: Cover,
        lasting: Lasting,
    ) -> Result<(), Failure> {
        let _held = self.hold(&cover).await;
        if !cover.is_exact() {
            self.complete(&mut memory, &cover).await?;
        }
        let write = Operation::Write(Buffer::to_device(memory), Durability::Flushed);
        self.carry_out(cover.block, write).await?;
        self.last(lasting).await?;
        self.counters.writes.add(1);
        self.counters.written_bytes.add(cover.len);
        Ok(())
    }

    /// Makes bytes read as zeros.
    pub async fn zero(
        &self,
        offset: u64,
        len: u32,
        lasting: Lasting,
        space: Space,
        may_be_slow: bool,
    ) -> Result<(), Failure> {
        let limits = self.device.limits();
        if !may_be_slow && limits.write_zeroes.is_none() {
            return Err(Failure {
                errno: Errno::Unsupported,
                words: "the disk has zeros written like any data".into(),
            });
        }
        let cover = Cover::new(offset, u64::from(len), self.block_size());
        let _held = self.hold(&cover).await;
        let (first, count) = cover.inner();
        if cover.skip > 0 || count == 0 {
            self.zero_within(&cover, cover.block).await?;
        }
        let last = cover.block + cover.blocks - 1;
        if cover.behind() > 0 && last > cover.block {
            self.zero_within(&cover, last).await?;
        }
        if count > 0 {
            match limits.write_zeroes {
                Some(_) => {
                    let durability = Durability::Flushed;
                    let zero = Operation::WriteZeroes {
                        blocks: count,
                        space,
                        durability,
                    };
                    self.carry_out(first, zero).await?;
                }
                None => self.write_zeros(first, count).await?,
            }
        }
        self.last(lasting).await?;
        self.counters.zeroes.add(1);
        Ok(())
    }

    /// Gives up the blocks of which all bytes are meant. Others stay as they are.
    pub async fn trim(&self, offset: u64, len: u32, lasting: Lasting) -> Result<(), Failure> {
        let cover = Cover::new(offset, u64::from(len), self.block_size());
        let _held = self
            .locks
            .hold(cover.block..cover.block + cover.blocks, Use::Shared)
            .await;
        let (first, blocks) = cover.inner();
        if blocks > 0 {
            self.carry_out(first, Operation::Discard { blocks }).await?;
        }
        self.last(lasting).await?;
        self.counters.trims.add(1);
        Ok(())
    }

    /// Makes durable what was written and answered, on any connection.
    pub async fn flush(&self) -> Result<(), Failure> {
        self.device.flush().await?;
        self.counters.flushes.add(1);
        Ok(())
    }

    async fn hold(&self, cover: &Cover) -> super::locks::Held<'_> {
        let use_ = match cover.is_exact() {
            true => Use::Shared,
            false => Use::Alone,
        };
        self.locks
            .hold(cover.block..cover.block + cover.blocks, use_)
            .await
    }

    /// Reads what the blocks have before and behind the data.
    async fn complete(&self, memory: &mut Memory, cover: &Cover) -> Result<(), Failure> {
        let (skip, behind) = (cover.skip as usize, cover.behind() as usize);
        let start = cover.block * cover.size;
        if skip > 0 {
            let before = fetch(&*self.device, start, skip).await?;
            memory.bytes_mut()[..skip].copy_from_slice(before.bytes());
        }
        if behind > 0 {
            let end = cover.bytes() as usize;
            let at = start + (end - behind) as u64;
            let rest = fetch(&*self.device, at, behind).await?;
            memory.bytes_mut()[end - behind..].copy_from_slice(rest.bytes());
        }
        Ok(())
    }

    /// Zeros what is meant of one block.
    async fn zero_within(&self, cover: &Cover, block: u64) -> Result<(), Failure> {
        let memory = blocks(cover.size)?;
        let mut memory = self
            .device
            .read(block, memory)
            .await
            .map_err(BlockError::from)?;
        // Counted from the start of this block.
        let start = match block == cover.block {
            true => cover.skip,
            false => 0,
        };
        let end = match block + 1 == cover.block + cover.blocks {
            true => cover.size - cover.behind(),
            false => cover.size,
        };
        memory.bytes_mut()[start as usize..end as usize].fill(0);
        let write = Operation::Write(Buffer::to_device(memory), Durability::Flushed);
        self.carry_out(block, write).await
    }

    /// Writes zeros as data.
    async fn write_zeros(&self, mut block: u64, mut count: u64) -> Result<(), Failure> {
        const AT_ONCE: u64 = 256 << 10;
        let size = u64::from(self.block_size());
        let mut most = (AT_ONCE / size).clamp(1, count);
        let mut memory = loop {
            match Frames::zeroed((most * size).next_multiple_of(4096)) {
                Ok(frames) => break frames.into_memory(),
                Err(_) if most > 1 => most /= 2,
                Err(_) => return Err(BlockError::OutOfMemory.into()),
            }
        };
        while count > 0 {
            let now = count.min(most);
            let part = memory.part(0..(now * size) as usize);
            let part = part.map_err(|_| BlockError::Length)?;
            let written = self.device.write(block, part).await;
            memory = written.map_err(BlockError::from)?.whole();
            self.changes.add(1);
            (block, count) = (block + now, count - now);
        }
        Ok(())
    }

    async fn carry_out(&self, block: u64, operation: Operation) -> Result<(), Failure> {
        let completion = self.device.execute(Request { block, operation }).await;
        // Also if it failed: any part of it may have been done.
        self.changes.add(1);
        completion.result.map_err(Failure::from)
    }

    /// Makes last what was done. By a flush and not by a flag of the write: QEMU's NVMe controllers take the flag
    /// (FUA), and the data is where it would be without.
    async fn last(&self, lasting: Lasting) -> Result<(), Failure> {
        match lasting {
            Lasting::Now if self.device.limits().write_cache => Ok(self.device.flush().await?),
            _ => Ok(()),
        }
    }
}

/// The shortest piece that is worth a read of its own.
const LEAST: u64 = 64 << 10;

/// Memory of so many bytes, whatever is in it.
fn blocks(bytes: u64) -> Result<Memory, Failure> {
    let frames = Frames::allocate(bytes.next_multiple_of(4096));
    let memory = frames.map_err(|_| BlockError::OutOfMemory)?.into_memory();
    let memory = memory.part(0..bytes as usize);
    memory.map_err(|_| BlockError::Length.into())
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        let errno = match error {
            BlockError::OutOfRange => Errno::NoSpace,
            BlockError::ReadOnly => Errno::Permission,
            BlockError::OutOfMemory => Errno::Memory,
            BlockError::Unsupported => Errno::Unsupported,
            _ => Errno::Io,
        };
        let words = error.to_string();
        Self { errno, words }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        let words = match errno {
            Errno::Permission => "the export is read-only",
            Errno::NoSpace => "beyond the end of the export",
            Errno::Memory => "no memory for the request",
            Errno::Unsupported => "the disk cannot do that",
            Errno::Io => "the disk has failed",
            Errno::Invalid => "the request makes no sense, or is too long",
        };
        let words = words.into();
        Self { errno, words }
    }
}
