//! What is known of a file, whichever file system it is in.

use super::{FileType, Metadata};
use alloc::vec::Vec;

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub file_type: FileType,
    /// Its rights, and what else is in the lower 12 bits of a mode.
    pub mode: u16,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// Its bytes.
    pub len: u64,
    /// When its content was changed for the last time, since 1970 began: whole seconds, and nanoseconds.
    pub modified: (i64, u32),
}

impl From<&Metadata> for Facts {
    fn from(metadata: &Metadata) -> Self {
        let modified = metadata.modified();
        Self {
            file_type: metadata.file_type(),
            mode: metadata.mode(),
            owner: metadata.uid(),
            group: metadata.gid(),
            len: metadata.len(),
            modified: (modified.seconds(), modified.nanoseconds()),
        }
    }
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub file_type: FileType,
}
