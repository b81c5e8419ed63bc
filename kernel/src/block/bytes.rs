//! Bytes from a device of blocks.
//!
//! A file system asks for bytes at any address. Whole blocks go by DMA straight into the
//! destination; only what is cut by the request's ends, or lies where the device cannot reach, is
//! read into other memory and copied. [`counters`] says how much went either way.

use super::blocking::wait;
use super::{BlockDevice, BlockError};
use crate::dma::{Memory, Owner};
use crate::memory::frames::Frames;
use core::sync::atomic::{AtomicU64, Ordering};

/// How much is copied at once, at least one block.
const BOUNCE: u64 = 64 << 10;

static DIRECT: AtomicU64 = AtomicU64::new(0);
static COPIED: AtomicU64 = AtomicU64::new(0);

/// Bytes that [`read_at`], [`load`] and [`fetch`] have delivered since boot, and shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// By DMA into their destination.
    pub direct: u64,
    /// By way of other memory.
    pub copied: u64,
}

/// How much was read either way since boot.
pub fn counters() -> Counters {
    Counters {
        direct: DIRECT.load(Ordering::Relaxed),
        copied: COPIED.load(Ordering::Relaxed),
    }
}

/// So many bytes have come by DMA into their destination in another way.
pub(crate) fn count_direct(bytes: u64) {
    DIRECT.fetch_add(bytes, Ordering::Relaxed);
}

/// The parts of a read: a cut block, whole blocks, a cut block. Lengths in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    head: usize,
    whole: usize,
    tail: usize,
}

fn parts(position: u64, wanted: usize, block_size: u64) -> Parts {
    let to_boundary = (position.next_multiple_of(block_size) - position) as usize;
    let head = to_boundary.min(wanted);
    let tail = (wanted - head) % block_size as usize;
    Parts {
        head,
        whole: wanted - head - tail,
        tail,
    }
}

/// Reads the bytes from `start` on until `into` is full.
pub fn read_at(device: &dyn BlockDevice, start: u64, into: &mut [u8]) -> Result<(), BlockError> {
    let geometry = device.geometry();
    let block_size = u64::from(geometry.block_size);
    let end = start
        .checked_add(into.len() as u64)
        .ok_or(BlockError::OutOfRange)?;
    if end > geometry.bytes() {
        return Err(BlockError::OutOfRange);
    }
    let Parts { head, whole, .. } = parts(start, into.len(), block_size);
    let (head_bytes, rest) = into.split_at_mut(head);
    let (whole_bytes, tail_bytes) = rest.split_at_mut(whole);
    wait(copied(device, start, head_bytes))?;
    let first_whole = start + head as u64;
    if whole > 0 {
        match device.read_now(first_whole / block_size, whole_bytes) {
            Ok(()) => {
                DIRECT.fetch_add(whole as u64, Ordering::Relaxed);
            }
            Err(BlockError::NeedsBounce) => wait(copied(device, first_whole, whole_bytes))?,
            Err(error) => return Err(error),
        }
    }
    wait(copied(device, first_whole + whole as u64, tail_bytes))
}

/// Reads the bytes from `start` on until `into` is full, in a task. All of it is copied, because a
/// task cannot lend memory. So this is for little: tables, headers, a magic number.
pub async fn load(device: &dyn BlockDevice, start: u64, into: &mut [u8]) -> Result<(), BlockError> {
    let end = start.checked_add(into.len() as u64);
    match end {
        Some(end) if end <= device.geometry().bytes() => copied(device, start, into).await,
        _ => Err(BlockError::OutOfRange),
    }
}

/// Reads `len` bytes from `start` on, in a task, by DMA into memory of their own. They are the part of it
/// that is meant; before and behind them may be what else their blocks have.
// Not memory: bytes of a disk.
pub async fn fetch(device: &dyn BlockDevice, start: u64, len: usize) -> Result<Memory, BlockError> {
    let geometry = device.geometry();
    let block_size = u64::from(geometry.block_size);
    let end = start.checked_add(len as u64);
    let end = end.filter(|end| *end <= geometry.bytes());
    let end = end.ok_or(BlockError::OutOfRange)?;
    let skip = (start % block_size) as usize;
    let blocks = (end.next_multiple_of(block_size) - start) as usize + skip;
    let frames = Frames::allocate((blocks as u64).next_multiple_of(4096));
    let memory = frames.map_err(|_| BlockError::OutOfMemory)?.into_memory();
    let memory = memory.part(0..blocks).map_err(|_| BlockError::Length)?;
    let memory = device.read(start / block_size, memory).await?;
    DIRECT.fetch_add(len as u64, Ordering::Relaxed);
    memory
        .part(skip..skip + len)
        .map_err(|_| BlockError::Length)
}

/// Reads by way of other memory.
async fn copied(
    device: &dyn BlockDevice,
    mut start: u64,
    mut into: &mut [u8],
) -> Result<(), BlockError> {
    if into.is_empty() {
        return Ok(());
    }
    let block_size = u64::from(device.geometry().block_size);
    let len = BOUNCE.max(block_size).next_multiple_of(4096);
    let frames = Frames::allocate(len).map_err(|_| BlockError::OutOfMemory)?;
    let mut memory = frames.into_memory();
    while !into.is_empty() {
        let skip = (start % block_size) as usize;
        let wanted = (skip + into.len())
            .next_multiple_of(block_size as usize)
            .min(len as usize);
        let blocks = memory.part(0..wanted - wanted % block_size as usize);
        let blocks = blocks.map_err(|_| BlockError::Length)?;
        let blocks = device.read(start / block_size, blocks).await?;
        let taken = (blocks.len() - skip).min(into.len());
        let (now, later) = into.split_at_mut(taken);
        now.copy_from_slice(&blocks.bytes()[skip..skip + taken]);
        COPIED.fetch_add(taken as u64, Ordering::Relaxed);
        start += taken as u64;
        into = later;
        memory = blocks.whole();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_every_small_read_are_right() {
        for block in [4u64, 8] {
            for start in 0..24 {
                for len in 0..24 {
                    let Parts { head, whole, tail } = parts(start, len, block);
                    assert_eq!(head + whole + tail, len);
                    let block = block as usize;
                    assert!(head < block && tail < block && whole % block == 0);
                    let first_whole = start as usize + head;
                    assert!(
                        whole == 0 || first_whole.is_multiple_of(block),
                        "{start} {len}"
                    );
                    assert!(
                        tail == 0 || (first_whole + whole).is_multiple_of(block),
                        "{start} {len}"
                    );
                }
            }
        }
    }
}
