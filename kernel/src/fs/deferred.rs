//! A file system for tasks.
//!
//! # The problem
//!
//! What finds files asks for bytes of the disk and expects to have them when the call returns. A task
//! cannot give them: to wait for a disk it must return itself.
//!
//! # The idea
//!
//! So it answers from what it [knows](Known) alone. A question about the file system that needs bytes
//! which are not known fails, and what was missing is noted. The task reads that, waits as tasks do, and
//! asks the same question again, until nothing is missing. Questions change nothing, so asking twice
//! is as good as asking once; and since they run from start to end without waiting, many tasks may
//! ask the same file system.
//!
//! - What is known is bounded; what was not used for longest is forgotten first.
//! - A question that needs more than that at once would be asked for ever. It fails after as many
//!   reads as there is room for, twice.
//! - Only what leads to files is read in this way. The data of a [`File`](super::File) is where its
//!   [pieces](super::File::piece_at) are, and goes by DMA to where it is wanted.

use super::{Ext4Error, FileSystem, Reader};
use crate::block::{BlockDevice, BlockError, load};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;

/// What is read at once: as much as `ext4-view` likes to.
const CHUNK: u64 = 32 << 10;

/// Most chunks that are known: 4 MiB.
const MOST: usize = 128;

/// What is known of a disk.
pub(super) struct Known {
    device: Arc<dyn BlockDevice>,
    chunks: RefCell<BTreeMap<u64, Chunk>>,
    /// The chunk that a question has asked for in vain.
    missing: Cell<Option<u64>>,
    /// Counts uses.
    clock: Cell<u64>,
}

struct Chunk {
    bytes: Vec<u8>,
    used: u64,
}

/// Why a question has no answer yet.
#[derive(Debug)]
struct NotKnown;

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk has to be read first")
    }
}

impl core::error::Error for NotKnown {}

/// Why a read from what is known fails.
#[derive(Debug)]
pub(super) enum Ignorance {
    /// It is not known yet.
    NotKnown,
    /// It is nowhere on the disk.
    OutOfRange,
}

impl From<Ignorance> for alloc::boxed::Box<dyn core::error::Error + Send + Sync> {
    fn from(what: Ignorance) -> Self {
        match what {
            Ignorance::NotKnown => NotKnown.into(),
            Ignorance::OutOfRange => BlockError::OutOfRange.into(),
        }
    }
}

impl Known {
    pub(super) fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// Fills `into` with the bytes from `start` on, if they are known.
    pub(super) fn read(&self, start: u64, into: &mut [u8]) -> Result<(), Ignorance> {
        let end = start.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.device.geometry().bytes()) {
            return Err(Ignorance::OutOfRange);
        }
        let mut chunks = self.chunks.borrow_mut();
        let mut done = 0;
        while done < into.len() {
            let here = start + done as u64;
            let number = here / CHUNK;
            let Some(chunk) = chunks.get_mut(&number) else {
                self.missing.set(Some(number));
                return Err(Ignorance::NotKnown);
            };
            chunk.used = self.tick();
            let from = chunk.bytes.get((here % CHUNK) as usize..);
            // A chunk at the end of a disk that has grown since is shorter than it could be.
            let Some(from) = from.filter(|from| !from.is_empty()) else {
                self.missing.set(Some(number));
                return Err(Ignorance::NotKnown);
            };
            let len = from.len().min(into.len() - done);
            into[done..done + len].copy_from_slice(&from[..len]);
            done += len;
        }
        Ok(())
    }

    fn tick(&self) -> u64 {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        now
    }

    /// Reads a chunk from the disk.
    async fn learn(&self, number: u64) -> Result<(), BlockError> {
        let start = number * CHUNK;
        let left = self.device.geometry().bytes().saturating_sub(start);
        let mut bytes = Vec::new();
        let len = left.min(CHUNK) as usize;
        bytes
            .try_reserve_exact(len)
            .map_err(|_| BlockError::OutOfMemory)?;
        bytes.resize(len, 0);
        load(&*self.device, start, &mut bytes).await?;
        let mut chunks = self.chunks.borrow_mut();
        if chunks.len() >= MOST {
            let oldest = chunks.iter().min_by_key(|(_, chunk)| chunk.used);
            if let Some(number) = oldest.map(|(number, _)| *number) {
                chunks.remove(&number);
            }
        }
        let used = self.tick();
        chunks.insert(number, Chunk { bytes, used });
        Ok(())
    }

    /// Asks, and reads what is missing for an answer, until there is one.
    async fn ask<T>(
        &self,
        mut question: impl FnMut() -> Result<T, Ext4Error>,
    ) -> Result<T, Ext4Error> {
        for _ in 0..2 * MOST {
            self.missing.set(None);
            let answer = question();
            let Some(number) = self.missing.take() else {
                return answer;
            };
            self.learn(number)
                .await
                .map_err(|error| Ext4Error::Io(error.into()))?;
        }
        Err(Ext4Error::Io(
            "it takes more of the disk at once than there is memory for".into(),
        ))
    }
}

/// A mounted file system, to be asked by tasks of one core.
pub struct Deferred {
    known: Rc<Known>,
    files: FileSystem,
}

impl Deferred {
    /// Reads the superblock and what else is needed to find files.
    pub async fn mount(device: Arc<dyn BlockDevice>) -> Result<Self, Ext4Error> {
        let known = Rc::new(Known {
            device,
            chunks: RefCell::default(),
            missing: Cell::new(None),
            clock: Cell::new(0),
        });
        let reader = Reader::Deferred(known.clone());
        let files = known.ask(|| FileSystem::read(reader.clone())).await?;
        Ok(Self { known, files })
    }

    /// The device that it lies on.
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.known.device
    }

    /// Asks a question, which may be asked several times before it has an answer. It must not hide
    /// the errors that it comes across.
    pub async fn ask<T>(
        &self,
        mut question: impl FnMut(&FileSystem) -> Result<T, Ext4Error>,
    ) -> Result<T, Ext4Error> {
        self.known.ask(|| question(&self.files)).await
    }
}
