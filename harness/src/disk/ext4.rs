//! ext4 images, made by `mke2fs -d`: no root, no mount, and nobody of this project wrote it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use vm_test::pattern;

use crate::tools::Tool;

/// Bytes of `/pattern.bin`: some blocks and a part of one.
pub const PATTERN_LEN: u64 = (1 << 20) + 123;

/// Makes an image of `size` bytes that holds a copy of the folder.
///
/// # Errors
/// If mke2fs is missing or fails, for example because the folder does not fit.
pub fn create(image: &Path, folder: &Path, size: u64) -> Result<()> {
    drop(super::blank(image, size)?);
    let output = Tool::Mke2fs
        .command()?
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-L",
            "phyros",
            "-E",
            "root_owner=0:0",
        ])
        .arg("-d")
        .arg(folder)
        .arg(image)
        .stdin(Stdio::null())
        .output()
        .context("mke2fs could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "mke2fs cannot make an ext4 file system of `{}`: {}",
        folder.display(),
        said.trim()
    );
    Ok(())
}

/// Makes an image that is large enough for a copy of the folder, with room to spare.
pub fn create_to_fit(image: &Path, folder: &Path) -> Result<()> {
    let (bytes, files) = measure(folder)?;
    // A block for each file's last piece, an inode for each, and the journal.
    let size = bytes + bytes / 8 + files * (4096 + 512) + (32 << 20);
    create(image, folder, size.next_multiple_of(1 << 20))
}

/// Bytes and number of everything in a folder.
fn measure(folder: &Path) -> Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    for entry in
        fs::read_dir(folder).with_context(|| format!("no folder `{}`", folder.display()))?
    {
        let entry = entry?;
        let about = entry.metadata()?; // of a link itself
        files += 1;
        if about.is_dir() {
            let inside = measure(&entry.path())?;
            (bytes, files) = (bytes + inside.0, files + inside.1);
        } else {
            bytes += about.len();
        }
    }
    Ok((bytes, files))
}

/// Makes an image with the tree for tests.
pub(super) fn create_for_tests(image: &Path, size: u64, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    populate(folder.path(), seed)?;
    create(image, folder.path(), size)
}

/// The tree that ext4 disks of in-VM tests hold:
///
/// | path | content |
/// |---|---|
/// | `/hello.txt` | `Hello from ext4.` and a line feed |
/// | `/empty` | nothing |
/// | `/pattern.bin` | [`PATTERN_LEN`] bytes of the [pattern] of the disk's seed |
/// | `/sparse.bin` | 4096 bytes of it, a hole of 1 MiB, then 4096 bytes of it from 4096 on |
/// | `/link` | a symbolic link to `hello.txt` |
/// | `/dir/deeper/leaf.txt` | `leaf` and a line feed |
/// | `/many/file-000` … `file-299` | each its own number, for example `007` |
pub fn populate(folder: &Path, seed: u64) -> Result<()> {
    fs::write(folder.join("hello.txt"), "Hello from ext4.\n")?;
    fs::write(folder.join("empty"), "")?;
    let mut bytes = vec![0; PATTERN_LEN as usize];
    pattern::fill(seed, 0, &mut bytes);
    fs::write(folder.join("pattern.bin"), &bytes)?;
    let sparse = File::create(folder.join("sparse.bin"))?;
    sparse.write_all_at(&bytes[..4096], 0)?;
    sparse.write_all_at(&bytes[4096..8192], 4096 + (1 << 20))?;
    symlink("hello.txt", folder.join("link"))?;
    fs::create_dir_all(folder.join("dir/deeper"))?;
    fs::write(folder.join("dir/deeper/leaf.txt"), "leaf\n")?;
    fs::create_dir(folder.join("many"))?;
    for number in 0..300 {
        fs::write(
            folder.join(format!("many/file-{number:03}")),
            format!("{number:03}"),
        )?;
    }
    Ok(())
}

/// A way to break a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Bytes of the superblock are changed; its magic number is not.
    Superblock,
    /// The first group's descriptor is overwritten with ones.
    GroupDescriptor,
    /// The root directory's inode is overwritten with ones.
    RootInode,
    /// The root directory's first block is overwritten with ones.
    RootDirectory,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Superblock,
        Self::GroupDescriptor,
        Self::RootInode,
        Self::RootDirectory,
    ];
}

const SUPERBLOCK: u64 = 1024;
const BLOCK: u64 = 4096;

/// Breaks the file system in an image that was made by [`create`].
pub fn damage(image: &Path, damage: Damage) -> Result<()> {
    let file = File::options().read(true).write(true).open(image)?;
    let number = |at: u64| -> Result<u64> {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at)?;
        Ok(u32::from_le_bytes(bytes).into())
    };
    let inode_size = number(SUPERBLOCK + 88)? & 0xffff;
    let descriptor = BLOCK; // block 0 holds the superblock
    let root = number(descriptor + 8)? * BLOCK + inode_size; // inode 2 is the second
    let (at, len) = match damage {
        // The number of inodes per group, and what follows.
        Damage::Superblock => (SUPERBLOCK + 40, 8),
        Damage::GroupDescriptor => (descriptor, 32),
        Damage::RootInode => (root, inode_size),
        // The inode's block map is an extent tree: its header, then the first extent.
        Damage::RootDirectory => (number(root + 40 + 12 + 8)? * BLOCK, BLOCK),
    };
    file.write_all_at(&vec![0xff; len as usize], at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        create_for_tests(&image, 32 << 20, 1).unwrap();
        (folder, image)
    }

    #[test]
    fn the_image_has_the_magic_number_and_the_asked_size() {
        let (_folder, image) = image();
        let bytes = fs::read(&image).unwrap();
        assert_eq!(bytes.len(), 32 << 20);
        assert_eq!(bytes[1024 + 56..][..2], [0x53, 0xef]);
    }

    #[test]
    fn damage_hits_what_it_names() {
        for kind in Damage::ALL {
            let (_folder, image) = image();
            let before = fs::read(&image).unwrap();
            damage(&image, kind).unwrap();
            let after = fs::read(&image).unwrap();
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(
                (1..=4096).contains(&changed),
                "{kind:?} changed {changed} bytes"
            );
            if kind == Damage::RootDirectory {
                let at = before.iter().zip(&after).position(|(a, b)| a != b).unwrap();
                let block = &before[at / 4096 * 4096..][..4096];
                assert!(block.windows(9).any(|name| name == b"hello.txt"));
            }
        }
    }

    #[test]
    fn a_folder_that_does_not_fit_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("large"), vec![1; 4 << 20]).unwrap();
        let image = tempfile::NamedTempFile::new().unwrap();
        let error = create(image.path(), folder.path(), 2 << 20)
            .unwrap_err()
            .to_string();
        assert!(error.contains("mke2fs cannot make"), "{error}");
        create_to_fit(image.path(), folder.path()).unwrap();
    }
}
