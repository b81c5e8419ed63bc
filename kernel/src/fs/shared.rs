//! A folder of the host's as a file system.
//!
//! Nothing is kept: each question is asked of the host, and what was changed there a moment ago is seen. A file that is
//! open stays the same file, as on the host, also if another one gets its name.
//!
//! Who asks does not know who answers: it is the driver of a device, or a test.

use super::{Error, Facts, Listed, PathBuf};
use crate::block::{self, BlockError};
use crate::dma::{Memory, Owner};
use crate::memory::frames::Frames;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::Pin;
use virtio::share::Links;

/// An answer that is under way.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// A folder of the host's. Paths are bytes, of any encoding, from its root.
pub trait Folder {
    /// What it is called. Disks have other names.
    fn name(&self) -> &str;

    /// What is known of the file that a path leads to; or of the link itself, if one is at the end and is to be kept.
    fn facts<'a>(&'a self, path: &'a [u8], links: Links) -> Asked<'a, Facts>;

    /// Where a link leads.
    fn link<'a>(&'a self, path: &'a [u8]) -> Asked<'a, PathBuf>;

    /// What is in a folder at this moment.
    fn list<'a>(&'a self, path: &'a [u8]) -> Asked<'a, Vec<Listed>>;

    /// Opens the regular file that a path leads to.
    fn open<'a>(&'a self, path: &'a [u8]) -> Asked<'a, SharedFile>;
}

/// What became of a read: the memory, and how many bytes it has got; or why it has not, and the memory, unless a device
/// may still write there.
pub type Read = Result<(Memory, usize), (Error, Option<Memory>)>;

/// Bytes of an open file.
pub trait Bytes {
    /// Reads the bytes from `at` on into all of the memory. Fewer come only if the file ends there, whatever its length
    /// was before.
    fn read(&self, at: u64, memory: Memory) -> Pin<Box<dyn Future<Output = Read> + '_>>;
}

/// A file of a [`Folder`] that is open.
pub struct SharedFile {
    facts: Facts,
    bytes: Box<dyn Bytes>,
}

impl SharedFile {
    /// A file of which so much is known.
    pub fn new(facts: Facts, bytes: impl Bytes + 'static) -> Self {
        Self {
            facts,
            bytes: Box::new(bytes),
        }
    }

    /// What was known of it when it was opened.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Reads the bytes from `at` on into all of the memory, of any kind. Returns the memory, and how many bytes it has
    /// got: fewer than asked for only if the file ends there, whatever its length was before.
    ///
    /// # Errors
    /// Why not, and the memory, unless a device may still write there.
    pub async fn read(&self, at: u64, memory: impl Owner) -> Read {
        let read = self.bytes.read(at, memory.into_memory()).await?;
        block::count_direct(read.1 as u64);
        Ok(read)
    }

    /// Reads at most so many bytes from `at` on into memory of their own.
    ///
    /// # Errors
    /// Why not.
    pub async fn fetch(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        let frames = Frames::allocate((most as u64).next_multiple_of(4096));
        let memory = frames.map_err(|_| BlockError::OutOfMemory)?.into_memory();
        let memory = memory.part(0..most).map_err(|_| BlockError::Length)?;
        let read = self.read(at, memory).await;
        let (memory, filled) = read.map_err(|(error, _)| BlockError::device(&error))?;
        memory.part(0..filled).map_err(|_| BlockError::Length)
    }
}
