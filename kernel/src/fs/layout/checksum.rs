//! The checksums of metadata ("Checksums").
//!
//! They are CRC-32C without the last inversion, so that one can be continued: that of an inode
//! starts from a seed for the whole file system, then the inode's number and its generation, then
//! what it protects. The same start serves for the inode's extent blocks and directory blocks.

use super::fields::u32_at;
use crc::{CRC_32_ISCSI, Crc, Table};

const CRC32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// A checksum that can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checksum(u32);

impl Checksum {
    /// That of nothing.
    pub(super) const START: Self = Self(!0);

    /// One that starts from a seed.
    pub(super) fn from_seed(seed: u32) -> Self {
        Self(seed)
    }

    /// Goes on with these bytes.
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        // The polynomial is used bit-reversed, and the crate takes the state as it was before that.
        let mut digest = CRC32C.digest_with_initial(self.0.reverse_bits());
        digest.update(bytes);
        Self(!digest.finalize())
    }

    /// The number as it is stored.
    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// Whether that of the first `len` bytes is what is stored at `stored_at`.
    pub(super) fn protects(self, bytes: &[u8], len: usize, stored_at: usize) -> bool {
        let protected = bytes.get(..len);
        protected.is_some_and(|protected| self.with(protected).0 == u32_at(bytes, stored_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_crc_32c_without_the_inversion_and_can_be_continued() {
        // The check value that catalogues of CRCs give for CRC-32/ISCSI.
        let whole = Checksum::START.with(b"123456789");
        assert_eq!(!whole.get(), 0xe306_9283);
        assert_eq!(Checksum::START.with(b"1234").with(b"56789"), whole);
        assert_eq!(Checksum::from_seed(whole.get()).with(b""), whole);
    }

    #[test]
    fn what_does_not_fit_is_not_protected() {
        let mut bytes = b"123456789".to_vec();
        bytes.extend(Checksum::START.with(&bytes).get().to_le_bytes());
        assert!(Checksum::START.protects(&bytes, 9, 9));
        assert!(!Checksum::START.protects(&bytes, 8, 9));
        assert!(!Checksum::START.protects(&bytes, 14, 9));
    }
}
