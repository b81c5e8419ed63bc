//! File systems: ext4, read through block requests, and folders of the host's.
//!
//! The `ext4-view` crate knows the format: it checks a file system, follows paths, lists
//! directories. It hands on copies of data, though. So where a file's data lies on the disk is found
//! out here too, in `layout`, and a [`File`] reads it with one request for each piece that is
//! contiguous on the disk, by DMA into the reader's memory. What `layout` does not understand,
//! `ext4-view` reads.
//!
//! Both call functions that wait for the disk, which tasks cannot. For these there is [`Deferred`].
//!
//! A folder of the host's is [`Folder`], and needs none of this: what is asked of it is asked of the host. [`Files`] is one
//! or the other.

mod deferred;
mod facts;
mod file;
mod files;
mod layout;
mod shared;

pub use deferred::Deferred;
pub use facts::{Facts, Listed};
pub use file::{File, Piece};
pub use files::Files;
pub use layout::Corrupt;
pub use shared::{Asked, Bytes, Folder, Read, SharedFile};

use crate::block::{BlockDevice, load, read_at};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use deferred::Known;
use layout::{Layout, ReadError, Source};

use ext4_view::{Ext4, Ext4Error, Ext4Read};

pub use ext4_view::{DirEntry, Ext4Error as Error, FileType, Metadata, Path, PathBuf};
pub use virtio::share::Links;

/// Where the superblock lies, and where in it the magic number (ext4 disk layout, "The Super Block").
const SUPERBLOCK: u64 = 1024;
const MAGIC_OFFSET: u64 = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];

/// Lets `ext4-view` and [`layout`] read a device.
#[derive(Clone)]
enum Reader {
    /// Waits for the device.
    Waiting(Arc<dyn BlockDevice>),
    /// Knows only what was read before.
    Deferred(Rc<Known>),
}

impl Reader {
    fn device(&self) -> &Arc<dyn BlockDevice> {
        match self {
            Self::Waiting(device) => device,
            Self::Deferred(known) => known.device(),
        }
    }
}

impl Ext4Read for Reader {
    fn read(
        &mut self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        Source::read(self, start, into)
    }
}

/// Whether a device claims to have an ext2, ext3 or ext4 file system.
pub async fn is_ext4(device: &dyn BlockDevice) -> bool {
    let mut magic = [0; 2];
    let read = load(device, SUPERBLOCK + MAGIC_OFFSET, &mut magic).await;
    read.is_ok() && magic == MAGIC
}

impl Source for Reader {
    fn read(
        &self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        match self {
            Self::Waiting(device) => read_at(&**device, start, into).map_err(Into::into),
            Self::Deferred(known) => known.read(start, into).map_err(Into::into),
        }
    }
}

impl From<ReadError> for Ext4Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Device(error) => Self::Io(error),
            ReadError::Corrupt(what) => Self::Io(what.into()),
            ReadError::NotFound => Self::NotFound,
            ReadError::OutOfMemory => Self::Io("no memory to read a file".into()),
        }
    }
}

/// A mounted file system.
pub struct FileSystem {
    reader: Reader,
    ext4: Ext4,
    /// What finds data on the disk, if it understands this file system.
    layout: Option<Layout>,
}

impl FileSystem {
    /// Reads the superblock and what else is needed to find files.
    pub fn mount(device: Arc<dyn BlockDevice>) -> Result<Self, Ext4Error> {
        Self::read(Reader::Waiting(device))
    }

    fn read(reader: Reader) -> Result<Self, Ext4Error> {
        let ext4 = Ext4::load(Box::new(reader.clone()))?;
        let layout = Layout::read(&reader)?;
        Ok(Self {
            reader,
            ext4,
            layout,
        })
    }

    /// The device that it lies on.
    pub fn device(&self) -> &dyn BlockDevice {
        &**self.reader.device()
    }

    /// The format, to ask about files.
    pub fn ext4(&self) -> &Ext4 {
        &self.ext4
    }

    /// Opens the regular file that a path leads to. A path is bytes, of any encoding.
    pub fn open(&self, path: impl AsRef<[u8]>) -> Result<File, Ext4Error> {
        let path = Path::try_from(path.as_ref()).map_err(|_| Ext4Error::MalformedPath)?;
        // This says what is wrong with the path, if anything is.
        let viewed = self.view(path)?;
        if let Some(layout) = &self.layout {
            let path = self.ext4.canonicalize(path)?;
            if let Some(mapped) = layout.find(&self.reader, path.as_ref())? {
                return Ok(viewed.mapped(self.reader.clone(), mapped));
            }
        }
        Ok(viewed)
    }

    /// Opens a file for `ext4-view` to read, wherever its data lies.
    pub(crate) fn view(&self, path: Path<'_>) -> Result<File, Ext4Error> {
        self.ext4.open(path).map(File::viewed)
    }

    /// Reads a file piece by piece; `visit` gets each piece in order, and ends the reading by an error.
    pub fn read_pieces<E: From<Ext4Error>>(
        &self,
        path: impl AsRef<[u8]>,
        visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.open(path)?.read_pieces(visit)
    }
}
