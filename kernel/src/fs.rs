//! File systems: ext4, read through block requests.
//!
//! The `ext4-view` crate knows the format; this module gives it a device to read. It reads whole
//! blocks of file data into the caller's buffer, so those go there by DMA and are never copied.

use crate::block::{BlockDevice, read_at};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

pub use ext4_view::{Ext4Error as Error, FileType, PathBuf};

/// Where the superblock lies, and where in it the magic number (ext4 disk layout, "The Super Block").
const SUPERBLOCK: u64 = 1024;
const MAGIC_OFFSET: u64 = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];

/// Lets `ext4-view` read a device.
struct Reader(Arc<dyn BlockDevice>);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        read_at(&*self.0, start, into).map_err(Into::into)
    }
}

/// Whether a device claims to have an ext2, ext3 or ext4 file system.
pub fn is_ext4(device: &dyn BlockDevice) -> bool {
    let mut magic = [0; 2];
    read_at(device, SUPERBLOCK + MAGIC_OFFSET, &mut magic).is_ok() && magic == MAGIC
}

/// A mounted file system.
pub struct FileSystem {
    device: Arc<dyn BlockDevice>,
    ext4: Ext4,
}

impl FileSystem {
    /// Reads the superblock and what else is needed to find files.
    pub fn mount(device: Arc<dyn BlockDevice>) -> Result<Self, Ext4Error> {
        let ext4 = Ext4::load(Box::new(Reader(device.clone())))?;
        Ok(Self { device, ext4 })
    }

    /// The device that it lies on.
    pub fn device(&self) -> &dyn BlockDevice {
        &*self.device
    }

    /// The format, to ask about files.
    pub fn ext4(&self) -> &Ext4 {
        &self.ext4
    }

    /// Reads a file piece by piece; `visit` gets each piece in order, and ends the reading by an error.
    pub fn read_pieces<E: From<Ext4Error>>(
        &self,
        path: &str,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        /// Several file-system blocks, so that `visit` is not called for each.
        const PIECE: usize = 64 << 10;
        let mut file = self.ext4.open(path)?;
        // Any allocation is aligned enough for a device; each block goes straight into it.
        let mut buffer = vec![0; PIECE];
        let mut total = 0;
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read_bytes(&mut buffer[filled..])? {
                    0 => break,
                    bytes => filled += bytes,
                }
            }
            if filled == 0 {
                return Ok(total);
            }
            visit(&buffer[..filled])?;
            total += filled as u64;
        }
    }
}
