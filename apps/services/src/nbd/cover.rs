//! The blocks that bytes are in.
//!
//! Requests are in bytes, and a disk has blocks. What becomes of the difference is said here: what the
//! first and the last of these blocks have before and behind the bytes, and which are whole.

/// Blocks, and the bytes in them that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// The first block.
    pub block: u64,
    /// How many they are.
    pub blocks: u64,
    /// Bytes of the first block that are not meant.
    pub skip: u64,
    /// Bytes that are meant.
    pub len: u64,
    /// Bytes of a block.
    pub size: u64,
}

impl Cover {
    /// The blocks of this size that these bytes are in. There is at least one.
    pub fn new(offset: u64, len: u64, size: u32) -> Self {
        let size = u64::from(size);
        // Within a device, whose bytes 64 bits count.
        let block = offset / size;
        let blocks = (offset + len).div_ceil(size) - block;
        let skip = offset % size;
        Self {
            block,
            blocks,
            skip,
            len,
            size,
        }
    }

    /// Whether nothing but the bytes is in the blocks.
    pub fn is_exact(&self) -> bool {
        self.skip == 0 && self.len.is_multiple_of(self.size)
    }

    /// Bytes of the blocks.
    pub fn bytes(&self) -> u64 {
        self.blocks * self.size
    }

    /// Bytes of the last block that are not meant.
    pub fn behind(&self) -> u64 {
        self.bytes() - self.skip - self.len
    }

    /// The blocks of which all bytes are meant: the first, and how many.
    pub fn inner(&self) -> (u64, u64) {
        let first = self.block + u64::from(self.skip > 0);
        let end = self.block + self.blocks - u64::from(self.behind() > 0);
        (first, end.saturating_sub(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_cover_is_right() {
        for size in [4u32, 8] {
            for offset in 0..20u64 {
                for len in 1..20u64 {
                    let cover = Cover::new(offset, len, size);
                    let size = u64::from(size);
                    assert_eq!(cover.block * size + cover.skip, offset);
                    assert!(cover.skip < size && cover.behind() < size);
                    let exact = offset.is_multiple_of(size) && len.is_multiple_of(size);
                    assert_eq!(cover.is_exact(), exact);
                    let (first, count) = cover.inner();
                    let whole =
                        |block: &u64| block * size >= offset && (block + 1) * size <= offset + len;
                    let expected: Vec<u64> = (0..20).filter(whole).collect();
                    let found: Vec<u64> = (first..first + count).collect();
                    assert_eq!(found, expected, "{len} from {offset} on");
                }
            }
        }
    }
}
