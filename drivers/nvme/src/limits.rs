//! How much one command may transfer.
//!
//! Four bounds meet here, and the smallest wins:
//!
//! - the controller's Maximum Data Transfer Size (MDTS), if it has one;
//! - 65536 blocks, because a command counts them in 16 bits, less one;
//! - [`MAX_PAGES`] pages, for which a slot has list entries;
//! - whole blocks only.

use crate::page::PAGE;

/// Most memory pages in one command, counting those at both ends that are only partly used.
///
/// 1024 pages are 4 MiB. QEMU refuses a command with more than 1024 mappings, and a larger
/// command would gain nothing. It also keeps a slot's lists within two pages.
pub(crate) const MAX_PAGES: u64 = 1024;

/// Most blocks in one command: Number of Logical Blocks (NLB) is 16 bits wide, zero-based.
const MAX_BLOCKS: u64 = 1 << 16;

/// What one command may transfer, and what its memory must look like.
///
/// The driver cuts longer transfers into commands by itself, so these are no limits of a
/// request. They tell a caller what is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most bytes in a command, a multiple of the block size.
    pub max_transfer_bytes: u64,
    /// Most pages of 4 KiB in a command, counting those that are only partly used.
    pub max_pages: u64,
    /// Each piece of memory must start at a multiple of this many bytes.
    pub alignment: u64,
    /// Two pieces that meet inside a block must end and start at a multiple of this many
    /// bytes. Where they meet between blocks, they may lie anywhere, at the price of one
    /// more command.
    pub edge_alignment: u64,
    /// Most commands that are on the way at the same time.
    pub commands: u16,
}

impl Limits {
    /// Limits of a controller with this MDTS and queues for `commands` commands.
    pub(crate) fn new(mdts: u8, commands: u16) -> Self {
        let unlimited = MAX_PAGES * PAGE;
        let max_transfer_bytes = match mdts {
            0 => unlimited,
            // A power of two in units of CAP.MPSMIN, which is 4 KiB here.
            shift => unlimited.min(PAGE.checked_shl(u32::from(shift)).unwrap_or(unlimited)),
        };
        // A shift that is too far for 64 bits, but not for checked_shl, gives 0.
        let max_transfer_bytes = match max_transfer_bytes {
            0 => unlimited,
            bytes => bytes,
        };
        Self {
            max_transfer_bytes,
            // The start may have an offset, which costs one more page.
            max_pages: MAX_PAGES.min(max_transfer_bytes / PAGE + 1),
            alignment: 4,
            edge_alignment: PAGE,
            commands,
        }
    }

    /// Limits for a namespace with blocks of `block_size` bytes, a power of two or 0.
    ///
    /// Returns `None` if not even one block fits into a command wherever it lies.
    pub(crate) fn for_blocks(self, block_size: u32) -> Option<Self> {
        let block = u64::from(block_size);
        let blocks = self.max_transfer_bytes.checked_div(block)?.min(MAX_BLOCKS);
        let fits = blocks > 0 && block <= (self.max_pages - 1) * PAGE;
        fits.then_some(Self {
            max_transfer_bytes: blocks * block,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mdts_is_a_power_of_two_of_pages_and_zero_is_none() {
        let bytes = |mdts| Limits::new(mdts, 1).max_transfer_bytes;
        assert_eq!(bytes(0), 4 << 20);
        assert_eq!(bytes(1), 8192);
        assert_eq!(bytes(7), 512 << 10);
        assert_eq!(bytes(10), 4 << 20);
        for mdts in 11..=255 {
            assert_eq!(bytes(mdts), 4 << 20, "MDTS {mdts}");
        }
    }

    #[test]
    fn an_offset_gets_a_page_of_its_own_while_the_lists_have_room() {
        assert_eq!(Limits::new(1, 1).max_pages, 3);
        assert_eq!(Limits::new(7, 1).max_pages, 129);
        assert_eq!(Limits::new(0, 1).max_pages, 1024);
    }

    #[test]
    fn a_command_counts_up_to_65536_blocks() {
        let of_512 = Limits::new(0, 1).for_blocks(512).expect("fits");
        assert_eq!(of_512.max_transfer_bytes, 4 << 20);
        let tiny = Limits::new(0, 1).for_blocks(16).expect("fits");
        assert_eq!(tiny.max_transfer_bytes, 16 << 16);
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        assert!(Limits::new(1, 1).for_blocks(8192).is_some());
        assert!(Limits::new(1, 1).for_blocks(16384).is_none());
        assert!(Limits::new(0, 1).for_blocks(2 << 20).is_some());
        assert!(
            Limits::new(0, 1).for_blocks(4 << 20).is_none(),
            "with an offset it would take 1025 pages"
        );
        assert!(Limits::new(0, 1).for_blocks(0).is_none());
    }
}
