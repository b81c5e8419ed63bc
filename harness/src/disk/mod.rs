//! Disk images for virtual machines.
//!
//! An image is a plain file, made anew for each test, sparse where it holds nothing.
//! Everything on it is known beforehand, so that a test can say what it should read.

pub mod ext4;
pub mod partition;
pub mod stressed;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vm_test::pattern;

use crate::size;

/// What is on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The [pattern] of the disk's seed, from the first byte to the last.
    Pattern,
    /// Zeros. The file takes no room, however large the disk is.
    Empty,
    /// An ext4 file system with the [tree](ext4::populate) for tests.
    Ext4,
    /// A master boot record with the [two partitions](partition) for tests.
    Mbr,
    /// A GUID partition table with the same two partitions.
    Gpt,
    /// An ext4 file system whose [root inode](ext4::Damage::RootInode) is broken.
    Corrupt,
}

impl Content {
    /// From the word that describes it in a test's machine.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "pattern" => Self::Pattern,
            "empty" => Self::Empty,
            "ext4" => Self::Ext4,
            "mbr" => Self::Mbr,
            "gpt" => Self::Gpt,
            "corrupt" => Self::Corrupt,
            _ => return None,
        })
    }

    /// Bytes of a disk with this content, if nobody asks for another size.
    pub fn default_size(self) -> u64 {
        match self {
            Self::Pattern | Self::Empty => 16 << 20,
            Self::Ext4 | Self::Corrupt => 32 << 20,
            Self::Mbr | Self::Gpt => 64 << 20,
        }
    }
}

/// Makes a disk image at `path`.
///
/// # Errors
/// If the size is no multiple of `lba`, is too small for the content, or the file cannot be made.
pub fn create(path: &Path, content: Content, size: u64, lba: u32, seed: u64) -> Result<()> {
    ensure!(
        size.is_multiple_of(lba.into()),
        "a disk of {} has no whole number of {lba}-byte blocks",
        size::show(size)
    );
    match content {
        Content::Pattern => fill_pattern(&blank(path, size)?, 0, size, seed),
        Content::Empty => blank(path, size).map(drop),
        Content::Ext4 => ext4::create_for_tests(path, size, seed),
        Content::Mbr => partition::create_mbr(path, size, lba, seed),
        Content::Gpt => partition::create_gpt(path, size, lba, seed),
        Content::Corrupt => {
            ext4::create_for_tests(path, size, seed)?;
            ext4::damage(path, ext4::Damage::RootInode)
        }
    }
    .with_context(|| format!("cannot make the disk image `{}`", path.display()))
}

/// A new file of zeros that takes no room.
pub(crate) fn blank(path: &Path, size: u64) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.set_len(size)?;
    Ok(file)
}

/// Writes the pattern from its beginning to `len` bytes of the file.
pub(crate) fn fill_pattern(file: &File, at: u64, len: u64, seed: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(buffer.len() as u64);
        let piece = &mut buffer[..piece as usize];
        pattern::fill(seed, done, piece);
        file.write_all_at(piece, at + done)?;
        done += piece.len() as u64;
    }
    Ok(())
}

/// Copies a whole file to `at` in another.
pub(crate) fn copy_into(from: &Path, to: &File, at: u64) -> Result<()> {
    let bytes = std::fs::read(from)?;
    if to.metadata()?.len() < at + bytes.len() as u64 {
        bail!("`{}` does not fit behind byte {at}", from.display());
    }
    // Zeros are there already, and writing them would take room for nothing.
    for (index, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            to.write_all_at(block, at + 4096 * index as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_disk_says_of_each_byte_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        create(&path, Content::Pattern, 300 << 10, 4096, 5).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 300 << 10);
        assert_eq!(pattern::first_difference(5, 0, &bytes), None);
    }

    #[test]
    fn half_a_block_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let error = create(&path, Content::Empty, 4096 + 512, 4096, 0).unwrap_err();
        assert!(error.to_string().contains("4096-byte blocks"), "{error}");
    }
}
