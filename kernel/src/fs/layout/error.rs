//! What can be wrong with a file system.

use alloc::boxed::Box;
use core::fmt;

/// Which structure of a file system is damaged, and how. A check of the file system on another
/// machine may repair it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corrupt {
    /// The superblock: what is wrong with it.
    Superblock(&'static str),
    /// The descriptor of this group.
    Descriptor(u32, &'static str),
    /// No inode has this number.
    InodeNumber(u32),
    /// The inode of this number.
    Inode(u32, &'static str),
    /// The part of an extent tree that lies in the inode of this number.
    ExtentRoot(u32, &'static str),
    /// The part of an extent tree that lies in this block.
    ExtentBlock(u64, &'static str),
    /// A block of a directory: the directory's inode, the block on the disk.
    DirectoryBlock(u32, u64, &'static str),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("corrupt filesystem: ")?;
        match self {
            Self::Superblock(what) => write!(f, "the superblock has {what}"),
            Self::Descriptor(group, what) => write!(f, "group descriptor {group} has {what}"),
            Self::InodeNumber(number) => write!(f, "there is no inode {number}"),
            Self::Inode(number, what) => write!(f, "inode {number} has {what}"),
            Self::ExtentRoot(number, what) => {
                write!(f, "the extent tree of inode {number} has {what}")
            }
            Self::ExtentBlock(block, what) => write!(f, "extent block {block} has {what}"),
            Self::DirectoryBlock(number, block, what) => {
                write!(f, "block {block} of directory inode {number} has {what}")
            }
        }
    }
}

impl core::error::Error for Corrupt {}

/// Why the place of a file's data is not known.
#[derive(Debug)]
pub(in crate::fs) enum ReadError {
    /// The disk cannot be read.
    Device(Box<dyn core::error::Error + Send + Sync>),
    /// The file system is damaged.
    Corrupt(Corrupt),
    /// There is no such file.
    NotFound,
    /// The heap is full.
    OutOfMemory,
}

impl From<Corrupt> for ReadError {
    fn from(what: Corrupt) -> Self {
        Self::Corrupt(what)
    }
}

/// Descriptions that several structures share.
pub(super) const WRONG_CHECKSUM: &str = "a wrong checksum";
