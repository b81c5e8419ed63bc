//! Physical Region Pages (NVMe base specification 2.0, section 4.1.1).
//!
//! A command names its memory by pages of 4 KiB:
//!
//! - PRP1 is the first page and may have an offset, a multiple of 4 bytes.
//! - If one more page is enough, PRP2 is that page. If it takes more, PRP2 points to a
//!   list of all pages but the first.
//! - Every page but the first is described from its start, and every page but the last to
//!   its end. So only the two ends of the memory may be off a page boundary.
//! - A list page has 512 entries. If more entries follow than fit, the last one of the
//!   page is no data but points to the next list page. If exactly 512 are left, it is data.
//!
//! [`build`] is a function from ranges to two words and a number of stores into list
//! memory. It refuses what cannot be described; it never describes anything else.

use crate::command::DataPointer;
use crate::page::{PAGE, Piece, page_offset};
use phyr::DmaCursor;

/// What the start of the memory must be a multiple of.
pub(crate) const ALIGNMENT: u64 = 4;

/// Entries in a page of a list.
const ENTRIES: usize = PAGE as usize / 8;

/// Why no PRPs describe the memory. The planner lets none of these happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrpError {
    /// The memory starts at an address that is no multiple of 4, or is off a page boundary
    /// at an inner edge.
    Misaligned,
    /// The list memory is too short.
    ListFull,
    /// There is less memory than the command is to transfer.
    TooShort,
}

/// Where the lists of one command go: whole pages, contiguous on the bus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListMemory {
    /// Bus address of the first page.
    pub(crate) bus: u64,
    /// Number of pages.
    pub(crate) pages: usize,
}

/// Pages of list memory for a command of `pages` memory pages.
pub(crate) const fn list_pages(pages: usize) -> usize {
    match pages.saturating_sub(1) {
        // PRP2 is the second page itself.
        0 | 1 => 0,
        // Every list page but the last one spends an entry on the link.
        entries => (entries - 1).div_ceil(ENTRIES - 1),
    }
}

/// Describes the next `bytes` bytes of `cursor`, and moves the cursor behind them.
///
/// `store` puts an entry at a byte offset of the list memory.
// ANCHOR: build
pub(crate) fn build(
    cursor: &mut DmaCursor<'_>,
    bytes: u64,
    list: ListMemory,
    mut store: impl FnMut(usize, u64),
) -> Result<DataPointer, PrpError> {
    let mut piece = Piece::next(cursor, bytes).ok_or(PrpError::TooShort)?;
    let prp1 = piece.start();
    if !prp1.is_multiple_of(ALIGNMENT) {
        return Err(PrpError::Misaligned);
    }
    let mut left = bytes;
    let mut step = piece.len().min(PAGE - page_offset(prp1));
    let mut entries = Entries::new((bytes - step).div_ceil(PAGE), list);
    loop {
        // The next `step` bytes are described. Go on behind them.
        left -= step;
        if left == 0 {
            return Ok(DataPointer {
                prp1,
                prp2: entries.prp2,
            });
        }
        piece = match piece.behind(step) {
            Some(rest) => rest,
            None if page_offset(piece.end()) != 0 => return Err(PrpError::Misaligned),
            None => Piece::next(cursor, left).ok_or(PrpError::TooShort)?,
        };
        if page_offset(piece.start()) != 0 {
            return Err(PrpError::Misaligned);
        }
        entries.push(piece.start(), &mut store)?;
        step = piece.len().min(PAGE);
    }
}
// ANCHOR_END: build

/// Where the pages behind the first one are written to.
struct Entries {
    /// The second word of the data pointer.
    prp2: u64,
    /// True if that word points to a list; else it is itself the one entry, or nothing.
    is_list: bool,
    /// Entries still to come.
    left: u64,
    /// The next free slot of the list memory.
    slot: usize,
    /// The list memory.
    list: ListMemory,
}

impl Entries {
    /// Room for `count` entries: none, PRP2 itself, or a list.
    fn new(count: u64, list: ListMemory) -> Self {
        let is_list = count > 1;
        Self {
            prp2: if is_list { list.bus } else { 0 },
            is_list,
            left: count,
            slot: 0,
            list,
        }
    }

    /// Adds a page. Links to the next list page where this one is full.
    fn push(&mut self, page: u64, store: &mut impl FnMut(usize, u64)) -> Result<(), PrpError> {
        if !self.is_list {
            self.prp2 = page;
            return Ok(());
        }
        if self.slot % ENTRIES == ENTRIES - 1 && self.left > 1 {
            // The next list page lies right behind this slot.
            store(self.slot * 8, self.list.bus + (self.slot as u64 + 1) * 8);
            self.slot += 1;
        }
        if self.slot >= self.list.pages * ENTRIES {
            return Err(PrpError::ListFull);
        }
        store(self.slot * 8, page);
        self.slot += 1;
        self.left -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::list;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// List memory far from the data, where a mistake would show.
    const LIST: ListMemory = ListMemory {
        bus: 0x7_0000_0000,
        pages: 4,
    };

    /// What a builder left in list memory, by bus address.
    type Stores = BTreeMap<u64, u64>;

    fn describe(ranges: &[(u64, u64)], bytes: u64) -> Result<(DataPointer, Stores), PrpError> {
        let list = list(ranges);
        let mut stores = Stores::new();
        let mut cursor = list.cursor();
        let data = build(&mut cursor, bytes, LIST, |offset, value| {
            let old = stores.insert(LIST.bus + offset as u64, value);
            assert_eq!(old, None, "each slot is written once");
        })?;
        assert_eq!(cursor.remaining(), list.bytes() - bytes);
        Ok((data, stores))
    }

    /// Reads PRPs as a controller does: from the specification's text, page by page, with
    /// no knowledge of the builder. Returns ranges, joined where they touch.
    fn decode(data: DataPointer, bytes: u64, stores: &Stores) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut left = bytes;
        let mut take = |start: u64, at_most: u64| {
            let len = at_most.min(left);
            match ranges.last_mut() {
                Some((last, last_len)) if *last + *last_len == start => *last_len += len,
                _ => ranges.push((start, len)),
            }
            left -= len;
            left
        };
        assert_eq!(data.prp1 % 4, 0);
        let mut left = take(data.prp1, 4096 - data.prp1 % 4096);
        if left > 0 && left <= 4096 {
            assert_eq!(data.prp2 % 4096, 0);
            take(data.prp2, 4096);
            return ranges;
        }
        let mut at = data.prp2;
        while left > 0 {
            assert_eq!(at % 8, 0);
            let is_last_of_page = at % 4096 == 4088;
            let value = *stores.get(&at).expect("an entry that was written");
            assert_eq!(value % 4096, 0, "entries have no offset");
            if is_last_of_page && left > 4096 {
                at = value;
            } else {
                left = take(value, 4096);
                at += 8;
            }
        }
        ranges
    }

    #[test]
    fn one_page_needs_one_entry() {
        for (start, len) in [(0x1000, 4096), (0x1000, 512), (0x1e00, 512), (0x1004, 4092)] {
            let (data, stores) = describe(&[(start, len)], len).expect("describable");
            assert_eq!((data.prp1, data.prp2), (start, 0));
            assert!(stores.is_empty());
        }
    }

    #[test]
    fn e7_a_buffer_across_a_page_boundary_needs_two_however_short() {
        let (data, stores) = describe(&[(0x1f00, 0x200)], 0x200).expect("describable");
        assert_eq!((data.prp1, data.prp2), (0x1f00, 0x2000));
        assert!(stores.is_empty());
    }

    #[test]
    fn three_pages_need_a_list() {
        let (data, stores) = describe(&[(0x1000, 0x3000)], 0x3000).expect("describable");
        assert_eq!((data.prp1, data.prp2), (0x1000, LIST.bus));
        assert_eq!(
            stores,
            Stores::from([(LIST.bus, 0x2000), (LIST.bus + 8, 0x3000)])
        );
    }

    /// 512 entries fill a list page without a link; with 513, the last slot is the link.
    #[test]
    fn e5_the_last_slot_of_a_page_is_a_link_only_if_more_follows() {
        let (_, stores) = describe(&[(0x10_0000, 513 * 4096)], 513 * 4096).expect("describable");
        assert_eq!(stores.len(), 512);
        assert_eq!(stores[&(LIST.bus + 4088)], 0x10_0000 + 512 * 4096);

        let (_, stores) = describe(&[(0x10_0000, 514 * 4096)], 514 * 4096).expect("describable");
        assert_eq!(stores.len(), 514);
        assert_eq!(stores[&(LIST.bus + 4088)], LIST.bus + 4096, "the link");
        assert_eq!(stores[&(LIST.bus + 4096)], 0x10_0000 + 512 * 4096);
        assert_eq!(stores[&(LIST.bus + 4104)], 0x10_0000 + 513 * 4096);
    }

    #[test]
    fn list_pages_are_as_many_as_the_builder_uses() {
        for pages in [1, 2, 3, 512, 513, 514, 1023, 1024, 1025, 1535, 1536] {
            let bytes = pages as u64 * 4096;
            let (_, stores) = describe(&[(0x10_0000, bytes)], bytes).expect("describable");
            let used = stores
                .keys()
                .last()
                .map_or(0, |at| (at - LIST.bus) / 4096 + 1);
            assert_eq!(list_pages(pages) as u64, used, "{pages} pages");
        }
    }

    #[test]
    fn what_pages_cannot_describe_is_refused() {
        let refused = |ranges, bytes, error| assert_eq!(describe(ranges, bytes), Err(error));
        refused(&[(0x1002, 512)], 512, PrpError::Misaligned);
        refused(&[(0x1000, 512), (0x3000, 512)], 1024, PrpError::Misaligned);
        refused(&[(0x1e00, 512), (0x3200, 512)], 1024, PrpError::Misaligned);
        let inner = [(0x1000, 4096), (0x3000, 512), (0x5000, 4096)];
        refused(&inner, 8704, PrpError::Misaligned);
        refused(&[(0x1000, 4096)], 4608, PrpError::TooShort);
        refused(&[], 512, PrpError::TooShort);
        let pages = 4 * 512 - 3 + 2;
        refused(&[(0, pages * 4096)], pages * 4096, PrpError::ListFull);
        assert!(describe(&[(0, pages * 4096)], (pages - 1) * 4096).is_ok());
    }

    /// List memory at bus address 0 is as good as any other.
    #[test]
    fn a_list_may_lie_at_address_zero() {
        let list_memory = ListMemory { bus: 0, pages: 1 };
        let ranges = list(&[(0x1000, 0x3000)]);
        let mut stores = Stores::new();
        let data = build(&mut ranges.cursor(), 0x3000, list_memory, |at, value| {
            stores.insert(at as u64, value);
        });
        assert_eq!(data.map(|data| data.prp2), Ok(0));
        assert_eq!(stores, Stores::from([(0, 0x2000), (8, 0x3000)]));
    }

    #[test]
    fn memory_may_end_at_the_top_of_the_address_space() {
        let start = u64::MAX - 0x17ff;
        let (data, _) = describe(&[(start, 0x1800)], 0x1800).expect("describable");
        assert_eq!((data.prp1, data.prp2), (start, u64::MAX - 0xfff));
    }

    proptest! {
        /// Pages anywhere and in any order: what the decoder reads is the list again.
        #[test]
        fn a_decoder_reads_back_the_ranges(
            pages in prop::collection::vec((1..1600_u64, 1..4_u64), 1..700),
            head in 0..1024_u64,
            tail in 0..1024_u64,
        ) {
            let mut ranges: Vec<(u64, u64)> = Vec::new();
            for (place, len) in &pages {
                ranges.push((place * 0x10_0000, len * 4096));
            }
            // The ends may be off a page boundary.
            ranges[0].0 += head * 4;
            ranges[0].1 -= head * 4;
            let last = ranges.len() - 1;
            ranges[last].1 = ranges[last].1.saturating_sub(tail * 4).max(4);
            let bytes: u64 = ranges.iter().map(|(_, len)| len).sum();
            match describe(&ranges, bytes) {
                Ok((data, stores)) => prop_assert_eq!(decode(data, bytes, &stores), ranges),
                Err(error) => prop_assert_eq!(error, PrpError::ListFull),
            }
        }
    }
}
