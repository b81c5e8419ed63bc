//! File types and permissions as `ls -l` writes them.

use core::fmt::{self, Write};
use kernel::fs::FileType;

/// A type and the permission bits (inode(7), "The file type and mode"), as in `-rwsr-xr-t`.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// What kind of file it is.
    pub file_type: FileType,
    /// The twelve permission bits.
    pub bits: u16,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(match self.file_type {
            FileType::Regular => '-',
            FileType::Directory => 'd',
            FileType::Symlink => 'l',
            FileType::CharacterDevice => 'c',
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            FileType::Socket => 's',
        })?;
        // Owner, group, others; for each the bit that changes what "execute" means, and its letter.
        for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = self.bits >> shift;
            f.write_char(if bits & 4 != 0 { 'r' } else { '-' })?;
            f.write_char(if bits & 2 != 0 { 'w' } else { '-' })?;
            f.write_char(match (bits & 1 != 0, self.bits & special != 0) {
                (true, false) => 'x',
                (false, false) => '-',
                (true, true) => letter,
                (false, true) => letter.to_ascii_uppercase(),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_ls_shows_them() {
        for (file_type, bits, text) in [
            (FileType::Regular, 0o644, "-rw-r--r--"),
            (FileType::Directory, 0o1777, "drwxrwxrwt"),
            (FileType::Symlink, 0o777, "lrwxrwxrwx"),
            (FileType::Regular, 0o4755, "-rwsr-xr-x"),
            (FileType::Fifo, 0o6000, "p--S--S---"),
            (FileType::Socket, 0o1000, "s--------T"),
        ] {
            assert_eq!(Mode { file_type, bits }.to_string(), text);
        }
    }
}
