//! How much one command may transfer.
//!
//! Several bounds meet here, and the smallest wins:
//!
//! - the controller's Maximum Data Transfer Size (MDTS), if it has one;
//! - 65536 blocks, because a command counts them in 16 bits, less one;
//! - [`MAX_PAGES`] pages with PRPs, or [`MAX_PIECES`] pieces with a scatter gather list, for which
//!   a slot has list memory;
//! - with a list, what the length of one descriptor can say;
//! - whole blocks only.

use crate::identity::Identity;
use crate::page::PAGE;
use crate::pointer::Means;
use crate::prp;
use crate::sgl::{self, Granularity};

/// Most memory pages in a command with PRPs, counting those at both ends that are only partly
/// used.
///
/// 1024 pages are 4 MiB. QEMU refuses a command with more than 1024 mappings, and a larger
/// command would gain nothing. It also keeps a slot's lists within two pages.
pub(crate) const MAX_PAGES: u64 = 1024;

/// Most pieces in a command with a scatter gather list. QEMU counts them as it does pages.
pub(crate) const MAX_PIECES: u64 = 1024;

/// Most bytes in a command with a scatter gather list: then each piece is one descriptor.
const MAX_LIST_BYTES: u64 = sgl::MAX_BLOCK;

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
    /// Most pages of 4 KiB in a command that is described by PRPs, counting those that are only
    /// partly used. With scatter gather lists, pages do not count.
    pub max_pages: u64,
    /// Most pieces of memory in a command.
    pub max_pieces: u64,
    /// Each piece of memory must start at a multiple of this many bytes.
    pub alignment: u64,
    /// Two pieces that meet inside a block must end and start at a multiple of this many
    /// bytes. Where they meet between blocks, they may lie anywhere that `alignment` permits; without
    /// scatter gather lists, at the price of one more command.
    pub edge_alignment: u64,
    /// Most commands that are on the way at the same time.
    pub commands: u16,
    /// What the controller wants of the pieces of a list; `None` if it takes no lists.
    pub(crate) lists: Option<Granularity>,
}

impl Limits {
    /// Limits of a controller, with queues for `commands` commands.
    pub(crate) fn of(identity: &Identity, commands: u16) -> Self {
        let lists = identity.abilities.sgl.granularity();
        Self::new(identity.mdts, lists, commands)
    }

    /// Limits of a controller with this MDTS, and with queues for `commands` commands.
    pub(crate) fn new(mdts: u8, lists: Option<Granularity>, commands: u16) -> Self {
        let unlimited = match lists {
            None => MAX_PAGES * PAGE,
            Some(_) => MAX_LIST_BYTES,
        };
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
        // The start may have an offset, which costs one more page.
        let max_pages = MAX_PAGES.min(max_transfer_bytes / PAGE + 1);
        Self {
            max_transfer_bytes,
            max_pages,
            max_pieces: lists.map_or(max_pages, |_| MAX_PIECES),
            alignment: lists.map_or(prp::ALIGNMENT, Granularity::bytes),
            edge_alignment: lists.map_or(PAGE, Granularity::bytes),
            commands,
            lists,
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

    /// What there is to describe the memory of a command.
    pub(crate) fn means(&self) -> Means {
        Means {
            lists: self.lists,
            max_pages: self.max_pages,
            max_pieces: self.max_pieces,
        }
    }

    /// Pages of list memory that the largest command takes.
    pub(crate) fn list_pages(&self) -> usize {
        let prps = prp::list_pages(self.max_pages as usize);
        match self.lists {
            None => prps,
            Some(_) => prps.max(sgl::list_pages(self.max_pieces as usize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mdts_is_a_power_of_two_of_pages_and_zero_is_none() {
        let bytes = |mdts| Limits::new(mdts, None, 1).max_transfer_bytes;
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
        assert_eq!(Limits::new(1, None, 1).max_pages, 3);
        assert_eq!(Limits::new(7, None, 1).max_pages, 129);
        assert_eq!(Limits::new(0, None, 1).max_pages, 1024);
    }

    #[test]
    fn a_command_counts_up_to_65536_blocks() {
        let of_512 = Limits::new(0, None, 1).for_blocks(512).expect("fits");
        assert_eq!(of_512.max_transfer_bytes, 4 << 20);
        let tiny = Limits::new(0, None, 1).for_blocks(16).expect("fits");
        assert_eq!(tiny.max_transfer_bytes, 16 << 16);
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        assert!(Limits::new(1, None, 1).for_blocks(8192).is_some());
        assert!(Limits::new(1, None, 1).for_blocks(16384).is_none());
        assert!(Limits::new(0, None, 1).for_blocks(2 << 20).is_some());
        assert!(
            Limits::new(0, None, 1).for_blocks(4 << 20).is_none(),
            "with an offset it would take 1025 pages"
        );
        assert!(Limits::new(0, None, 1).for_blocks(0).is_none());
    }

    #[test]
    fn with_lists_there_is_no_limit_but_mdts_and_the_length_of_a_descriptor() {
        let limits = |mdts| Limits::new(mdts, Some(Granularity::Byte), 1);
        assert_eq!(limits(7).max_transfer_bytes, 512 << 10);
        assert_eq!(limits(19).max_transfer_bytes, 2 << 30);
        for mdts in [0, 20, 21, 51, 52, 63, 64, 255] {
            let most = limits(mdts).max_transfer_bytes;
            assert_eq!(most, (1 << 32) - 4096, "MDTS {mdts}");
        }
        assert_eq!((limits(0).max_pages, limits(0).max_pieces), (1024, 1024));
        assert_eq!((limits(7).max_pages, limits(7).max_pieces), (129, 1024));
        assert_eq!((limits(0).alignment, limits(0).edge_alignment), (1, 1));
        let dwords = Limits::new(0, Some(Granularity::Dword), 1);
        assert_eq!((dwords.alignment, dwords.edge_alignment), (4, 4));
        // 1 GiB is one command, if blocks are of 16 KiB.
        let blocks = limits(0).for_blocks(16 << 10).expect("fits");
        assert_eq!(blocks.max_transfer_bytes, 1 << 30);
        let blocks = limits(0).for_blocks(64 << 10).expect("fits");
        assert_eq!(blocks.max_transfer_bytes, 65535 << 16);
    }

    #[test]
    fn list_memory_is_for_what_there_may_be() {
        let pages = |mdts, lists| Limits::new(mdts, lists, 1).list_pages();
        assert_eq!((pages(1, None), pages(7, None), pages(0, None)), (1, 1, 2));
        assert_eq!(pages(7, Some(Granularity::Byte)), 5);
    }
}
