//! Guest memory, seen from the host as a file.
//!
//! QEMU keeps the guest's RAM in a memory file when it is told to share it. So the address of a
//! byte in the guest is an offset in that file, and a phyr is a range of it. No guest code takes
//! part in reading or writing here.
//!
//! One thing stands between the two numbers: RAM that does not fit below the 32-bit PCI window
//! goes on at 4 GiB.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use anyhow::{Context, Result, bail, ensure};

/// RAM from this size on is split (QEMU, `hw/i386/pc_q35.c`).
const SPLIT_FROM: u64 = 0xb000_0000;
/// How much of split RAM is below 4 GiB.
const LOW_WHEN_SPLIT: u64 = 0x8000_0000;
/// Where the rest goes on.
const HIGH: u64 = 1 << 32;

/// The RAM of a running machine, or of one that has just ended.
pub struct Ram {
    file: File,
    size: u64,
}

impl Ram {
    /// Finds the memory file of the QEMU with this process id.
    ///
    /// # Errors
    /// If the machine does not share its memory.
    pub fn of_process(id: u32, size: u64) -> Result<Self> {
        for entry in fs::read_dir(format!("/proc/{id}/fd")).context("QEMU is gone")? {
            let path = entry?.path();
            let is_ram = |target: std::path::PathBuf| {
                target
                    .to_string_lossy()
                    .starts_with("/memfd:memory-backend-memfd")
            };
            if fs::read_link(&path).is_ok_and(is_ram) {
                let file = File::options().read(true).write(true).open(&path)?;
                return Ok(Self { file, size });
            }
        }
        bail!("this machine does not share its memory with the host")
    }

    /// Guest memory that is a file already.
    pub fn from_file(file: File, size: u64) -> Self {
        Self { file, size }
    }

    /// Where `len` bytes of guest memory from this address on are in the file.
    ///
    /// # Errors
    /// If not all of them are RAM.
    fn offset(&self, address: u64, len: u64) -> Result<u64> {
        let low = if self.size >= SPLIT_FROM {
            LOW_WHEN_SPLIT
        } else {
            self.size
        };
        let end = address
            .checked_add(len)
            .context("the range ends behind the address space")?;
        if end <= low {
            Ok(address)
        } else if address >= HIGH && end - HIGH <= self.size - low {
            Ok(address - HIGH + low)
        } else {
            bail!("not all of [{address:#x}..{end:#x}) is RAM")
        }
    }

    /// How many bytes there is memory for on the host. The others have never been touched, or were given back, and read
    /// as zeros.
    pub fn backed(&self) -> Result<u64> {
        /// Bytes of a block, by stat(2), whatever the file system's are.
        const BLOCK: u64 = 512;
        Ok(self.file.metadata()?.blocks() * BLOCK)
    }

    /// Reads guest memory.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        let at = self.offset(address, bytes.len() as u64)?;
        Ok(self.file.read_exact_at(bytes, at)?)
    }

    /// Writes guest memory.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        let at = self.offset(address, bytes.len() as u64)?;
        Ok(self.file.write_all_at(bytes, at)?)
    }

    /// Walks over guest memory piece by piece. `each` gets the offset of a piece in the range.
    pub fn read_in_pieces(
        &self,
        address: u64,
        len: u64,
        each: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<()> {
        let at = self.offset(address, len)?;
        file_in_pieces(&self.file, at, len, each)
    }
}

/// Walks over a range of a file piece by piece, until `each` says `false`.
pub(crate) fn file_in_pieces(
    file: &File,
    at: u64,
    len: u64,
    mut each: impl FnMut(u64, &[u8]) -> bool,
) -> Result<()> {
    let end = at
        .checked_add(len)
        .context("the range ends behind every file")?;
    ensure!(
        end <= file.metadata()?.len(),
        "the range ends behind the file"
    );
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..piece], at + done)?;
        if !each(done, &buffer[..piece]) {
            break;
        }
        done += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram(size: u64) -> Ram {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        Ram::from_file(file, size)
    }

    #[test]
    fn small_memory_is_the_file_itself() {
        let ram = ram(64 << 20);
        ram.write(0x1234, b"phyr").unwrap();
        let mut bytes = [0; 4];
        ram.file.read_exact_at(&mut bytes, 0x1234).unwrap();
        assert_eq!(&bytes, b"phyr");
        ram.write((64 << 20) - 1, &[1]).unwrap();
        assert!(ram.write((64 << 20) - 1, &[1, 2]).is_err());
    }

    #[test]
    fn large_memory_goes_on_at_4_gib() {
        let ram = ram(6 << 30);
        assert_eq!(
            ram.offset(LOW_WHEN_SPLIT - 8, 8).unwrap(),
            LOW_WHEN_SPLIT - 8
        );
        assert_eq!(ram.offset(HIGH, 8).unwrap(), LOW_WHEN_SPLIT);
        assert_eq!(ram.offset(HIGH + (4 << 30) - 8, 8).unwrap(), (6 << 30) - 8);
        for (address, len) in [
            (LOW_WHEN_SPLIT - 4, 8),
            (0xc000_0000, 8),
            (HIGH - 4, 8),
            (HIGH + (4 << 30) - 4, 8),
            (u64::MAX, 8),
        ] {
            assert!(ram.offset(address, len).is_err(), "{address:#x} is no RAM");
        }
    }
}
