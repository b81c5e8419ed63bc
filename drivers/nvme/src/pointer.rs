//! PRPs or a scatter gather list: what a command names its memory by.
//!
//! Every controller takes PRPs, and they are compact for pages. Lists describe what PRPs cannot,
//! and in a few words what takes PRPs thousands. So:
//!
//! - How long a run is, is a matter of lists, wherever the controller takes them: they describe all
//!   that PRPs do, and more. [`Means::rules`] says so in the words of [`phyr::Limits`].
//! - A run is described by PRPs if they can, unless its pieces have [`COARSE`] bytes on average.

use crate::command::DataPointer;
use crate::page::PAGE;
use crate::prp::{self, ListMemory};
use crate::sgl::{self, Granularity};
use phyr::{DmaCursor, Gaps, Limits};

/// Bytes of a piece, on average, from which on a list is used: eight PRPs for one descriptor.
pub(crate) const COARSE: u64 = 32 << 10;

/// What a command has to describe its memory with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// What the controller wants of the pieces of a list; `None` if it takes no lists.
    pub(crate) lists: Option<Granularity>,
    /// Most pages for PRPs, counting those that are only partly used.
    pub(crate) max_pages: u64,
    /// Most pieces for a list.
    pub(crate) max_pieces: u64,
}

impl Means {
    /// What may go into one command of up to `max_bytes` bytes in blocks of `block` bytes.
    pub(crate) fn rules(&self, block: u64, max_bytes: u64) -> Limits {
        let Some(granularity) = self.lists else {
            return self.rules_of_prps(block, max_bytes);
        };
        Limits {
            max_bytes,
            max_pieces: self.max_pieces,
            page_size: PAGE,
            alignment: granularity.bytes(),
            ..Limits::of_blocks(block)
        }
    }

    fn rules_of_prps(&self, block: u64, max_bytes: u64) -> Limits {
        Limits {
            max_bytes,
            max_pages: self.max_pages,
            page_size: PAGE,
            alignment: prp::ALIGNMENT,
            gaps: Gaps::AtPages,
            ..Limits::of_blocks(block)
        }
    }

    /// Describes the next `bytes` bytes of `cursor`, and moves the cursor behind them. Returns the
    /// pointer, and what it is (PSDT).
    ///
    /// `None` if it cannot be described, which those who keep to the [`rules`](Self::rules) never
    /// see.
    pub(crate) fn describe(
        &self,
        cursor: &mut DmaCursor<'_>,
        bytes: u64,
        list: ListMemory,
        store: impl FnMut(usize, u64),
    ) -> Option<(DataPointer, u8)> {
        const PRPS: u8 = 0;
        const LIST: u8 = 1;
        match self.lists {
            Some(granularity) if !self.prefers_prps(cursor, bytes) => {
                let pointer = sgl::build(cursor, bytes, granularity, list, store);
                pointer.ok().map(|pointer| (pointer, LIST))
            }
            _ => {
                let pointer = prp::build(cursor, bytes, list, store);
                pointer.ok().map(|pointer| (pointer, PRPS))
            }
        }
    }

    /// Whether PRPs can describe the next `bytes` bytes, and are not too many for it.
    fn prefers_prps(&self, cursor: &DmaCursor<'_>, bytes: u64) -> bool {
        let pieces = sgl::pieces(cursor.clone(), bytes) as u64;
        let is_coarse = bytes >= pieces.saturating_mul(COARSE);
        // Only the first piece can be misaligned, where all others start with a page.
        let first = cursor.peek();
        let is_aligned = first.is_some_and(|first| first.addr().is_aligned(prp::ALIGNMENT));
        let rules = self.rules_of_prps(1, bytes);
        !is_coarse && is_aligned && rules.next_run(cursor.clone()) == bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::list;

    const ALL: Means = Means {
        lists: Some(Granularity::Byte),
        max_pages: 1024,
        max_pieces: 1024,
    };

    /// PSDT and the number of words in list memory.
    fn described(means: Means, ranges: &[(u64, u64)]) -> Option<(u8, usize)> {
        let list = list(ranges);
        let memory = ListMemory {
            bus: 0x7_0000_0000,
            pages: 5,
        };
        let mut words = 0;
        let mut cursor = list.cursor();
        let pointer = means.describe(&mut cursor, list.bytes(), memory, |_, _| words += 1);
        pointer.map(|(_, psdt)| (psdt, words))
    }

    fn pages(count: u64, len: u64) -> Vec<(u64, u64)> {
        (1..=count).map(|index| (index << 32, len)).collect()
    }

    #[test]
    fn e6_pages_are_described_by_prps_and_long_pieces_by_lists() {
        assert_eq!(described(ALL, &pages(8, 4096)), Some((0, 7)));
        assert_eq!(described(ALL, &pages(1, 28 << 10)), Some((0, 6)));
        assert_eq!(described(ALL, &pages(1, 32 << 10)), Some((1, 0)));
        assert_eq!(described(ALL, &pages(3, 32 << 10)), Some((1, 6)));
        // On average.
        let uneven = [(0x10_0000, 4096), (0x20_0000, 60 << 10)];
        assert_eq!(described(ALL, &uneven), Some((1, 4)));
    }

    #[test]
    fn d14_what_prps_cannot_describe_is_described_by_lists() {
        let gap = [(0x1000, 512), (0x3000, 512)];
        assert_eq!(described(ALL, &gap), Some((1, 4)));
        assert_eq!(described(ALL, &[(0x1001, 512)]), Some((1, 0)));
        assert_eq!(described(ALL, &[(0x1004, 512)]), Some((0, 0)));
        // 1025 pages, in 513 pieces.
        let long: Vec<_> = pages(513, 8192);
        assert_eq!(described(ALL, &long), Some((1, 2 * (513 + 2))));
    }

    #[test]
    fn a_controller_without_lists_gets_none() {
        let means = Means { lists: None, ..ALL };
        assert_eq!(described(means, &pages(1, 1 << 20)), Some((0, 255)));
        assert_eq!(described(means, &[(0x1001, 512)]), None);
        assert_eq!(described(means, &[(0x1000, 512), (0x3000, 512)]), None);
    }

    #[test]
    fn a_granularity_of_four_bytes_is_kept() {
        let means = Means {
            lists: Some(Granularity::Dword),
            ..ALL
        };
        assert_eq!(described(means, &[(0x1001, 512)]), None);
        let gap = [(0x1000, 508), (0x3004, 4)];
        assert_eq!(described(means, &gap), Some((1, 4)));
        let rules = means.rules(512, 1 << 20);
        let odd = [(0x1000, 510), (0x3004, 514)];
        assert!(rules.check(list(&odd).cursor()).is_err());
    }
}
