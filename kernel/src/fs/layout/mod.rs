//! Where the data of a file lies on an ext4 disk.
//!
//! The format has many features, and [`ext4_view`] knows them. It gives out copies of data, though,
//! and not the places that the data has on the disk. Those are all that is needed here: from a path
//! without symbolic links to the blocks of a file. The way goes through a few structures, a file of
//! this folder for each, named as in "ext4 Data Structures and Algorithms"
//! (`docs.kernel.org/filesystems/ext4`):
//!
//! [`superblock`] → [`inode`], found by its group's descriptor → [`extents`] → blocks; and where
//! the blocks are those of a directory, → [`directory`] → the number of the next inode.
//!
//! - Every number is checked before it is used; a structure that has a checksum is checked by it.
//! - Whatever the disk says, the work ends: the depth of a tree, the number of extents and the
//!   blocks of a directory are bounded.
//! - What is not understood is not guessed: the answer is `None`, and somebody else reads the file.

mod checksum;
mod directory;
mod error;
mod extents;
mod fields;
#[cfg(test)]
mod image;
mod inode;
mod mapped;
mod superblock;
#[cfg(test)]
mod tests;

pub use error::Corrupt;
pub(super) use error::ReadError;
pub(super) use mapped::MappedFile;

use alloc::boxed::Box;
use alloc::vec::Vec;
use extents::Extents;
use inode::{Inode, Kind};
use superblock::Superblock;

/// What the layout is read from: the bytes of a disk.
pub(super) trait Source {
    /// Reads the bytes from `start` on until `into` is full.
    fn read(
        &self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>>;
}

/// The inode of the root directory ("Special inodes").
const ROOT: u32 = 2;

/// A file system whose files can be found here.
#[derive(Debug)]
pub(super) struct Layout {
    superblock: Superblock,
}

impl Layout {
    /// Reads the superblock. `None`: the file system has a feature that is not understood here.
    pub(super) fn read(source: &dyn Source) -> Result<Option<Self>, ReadError> {
        let mut bytes = [0; superblock::LEN];
        source
            .read(superblock::START, &mut bytes)
            .map_err(ReadError::Device)?;
        Ok(Superblock::parse(&bytes)?.map(|superblock| Self { superblock }))
    }

    /// Finds a regular file. The path is absolute and has neither `.`, `..` nor symbolic links.
    /// `None`: the file, or a directory on the way, is stored in a way that is not understood here.
    pub(super) fn find(
        &self,
        source: &dyn Source,
        path: &[u8],
    ) -> Result<Option<MappedFile>, ReadError> {
        let mut inode = Inode::read(source, &self.superblock, ROOT)?;
        for name in path.split(|byte| *byte == b'/').filter(|n| !n.is_empty()) {
            if inode.kind != Kind::Directory {
                return Err(ReadError::NotFound);
            }
            let Some(extents) = Extents::read(source, &self.superblock, &inode)? else {
                return Ok(None);
            };
            let found = directory::look_up(source, &self.superblock, &inode, &extents, name)?;
            inode = Inode::read(source, &self.superblock, found)?;
        }
        if inode.kind != Kind::Regular {
            return Ok(None);
        }
        let extents = Extents::read(source, &self.superblock, &inode)?;
        Ok(extents.map(|extents| MappedFile::new(inode.len, self.superblock.block_size, extents)))
    }
}

/// Zeros on the heap, if it has room for them.
pub(super) fn zeros(len: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| ReadError::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(bytes)
}
