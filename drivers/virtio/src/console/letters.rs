//! Memory for messages, cut into letters. A letter is its request's until the device is done with it, whatever becomes of
//! the console, and free again when it is dropped.

use super::message::HEAD;
use crate::platform::SharedMemory;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange};

/// Bytes of a letter. A name that does not fit is none.
pub(super) const BYTES: usize = 256;

/// Most letters.
pub(super) const MOST: usize = 40;

/// All letters.
pub(super) struct Letters<M> {
    memory: M,
    /// A bit for each that is free.
    free: AtomicU64,
}

/// A letter that somebody has.
pub(super) struct Letter<M> {
    all: Arc<Letters<M>>,
    number: usize,
}

impl<M: SharedMemory> Letters<M> {
    /// Letters in memory of at least [`MOST`] times [`BYTES`].
    pub(super) fn new(memory: M) -> Arc<Self> {
        Arc::new(Self {
            memory,
            free: AtomicU64::new((1 << MOST) - 1),
        })
    }

    /// A letter, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Letter<M>> {
        let lowest = |free: u64| (free != 0).then_some(free & free.wrapping_sub(1));
        let taken = self
            .free
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, lowest);
        Some(Letter {
            all: self.clone(),
            number: taken.ok()?.trailing_zeros() as usize,
        })
    }
}

impl<M: SharedMemory> Letter<M> {
    /// Writes a message. It stays until the device has read it.
    pub(super) fn write(&self, message: u64) {
        self.all.memory.store64(self.number * BYTES, message);
    }

    /// The bytes, as they are at this moment: the device may change them.
    pub(super) fn read(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let start = self.number * BYTES;
        for (offset, word) in (start..).step_by(8).zip(bytes.as_chunks_mut().0) {
            *word = self.all.memory.load64(offset).to_le_bytes();
        }
        bytes
    }

    /// Where a message that was written is for the device.
    pub(super) fn written(&self) -> DmaRange {
        self.range(HEAD)
    }

    /// Where a message may be written to.
    pub(super) fn room(&self) -> DmaRange {
        self.range(BYTES)
    }

    fn range(&self, bytes: usize) -> DmaRange {
        let start = self.all.memory.bus().addr().get() + (self.number * BYTES) as u64;
        DmaRange::new(DmaAddr::new(start), bytes as u64).expect("a part of a range")
    }
}

impl<M> Drop for Letter<M> {
    fn drop(&mut self) {
        self.all.free.fetch_or(1 << self.number, Ordering::Release);
    }
}
