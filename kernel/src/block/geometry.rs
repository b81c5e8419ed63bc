//! Size and shape of a device.

/// The size and shape of a device.
///
/// It may change while the system runs: a disk may be made larger, or smaller. So it is asked for
/// when it is needed, and a request that was right a moment ago may be refused by the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a block, a power of two.
    pub block_size: u32,
    /// The number of blocks.
    pub blocks: u64,
    /// Whether it can be written.
    pub writable: bool,
}

impl Geometry {
    /// The bytes of the whole device.
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }

    /// How many blocks `bytes` are. `None` if they are no whole number of blocks, or none.
    #[inline]
    pub fn blocks_in(&self, bytes: usize) -> Option<u64> {
        let bytes = bytes as u64;
        let mask = u64::from(self.block_size).wrapping_sub(1);
        (bytes != 0 && bytes & mask == 0).then(|| bytes >> self.block_size.trailing_zeros())
    }

    /// Whether `blocks` blocks from `block` on are on the device.
    #[inline]
    pub fn holds(&self, block: u64, blocks: u64) -> bool {
        block
            .checked_add(blocks)
            .is_some_and(|end| end <= self.blocks)
    }
}
