//! Cutting a transfer into commands.
//!
//! A caller brings a list of bus ranges, in order, of any length. A command describes its
//! memory by pages, so it can take a run of the list only if
//!
//! - the run starts at a multiple of 4 bytes;
//! - wherever two pieces meet inside the run, the first ends and the second starts at a
//!   page boundary. Call that a *smooth* edge, and any other edge *rough*;
//! - the run is a whole number of blocks, no longer than the controller allows, and has no
//!   more pages than a slot has list entries for.
//!
//! So rough edges are cuts. A list can be transferred if each rough edge is at a block
//! boundary, and what follows it is aligned to 4 bytes. [`check`] decides that once for the
//! whole list, before the first command is sent. After it, [`next_run`] always finds a run
//! of at least one block: it takes the longest one that the rules allow.
//!
//! Both are pure functions of list and rules.

use crate::error::Unmappable;
use crate::page::{PAGE, Piece, page_offset};
use phyr::{DmaCursor, DmaList};

/// What a command of one namespace may describe.
///
/// A block always fits: `1 << block_shift` is at most `max_bytes` and at most
/// `max_pages - 1` pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Size of a logical block as a power of two.
    pub(crate) block_shift: u32,
    /// Most bytes in a command.
    pub(crate) max_bytes: u64,
    /// Most pages in a command, counting those at both ends that are only partly used.
    pub(crate) max_pages: u64,
}

/// Says whether the list can be cut into commands at all.
pub(crate) fn check(list: &DmaList, block_shift: u32) -> Result<(), Unmappable> {
    let inside_block = (1 << block_shift) - 1;
    let mut cursor = list.cursor();
    let mut offset = 0;
    let mut last: Option<Piece> = None;
    while let Some(piece) = Piece::next(&mut cursor, u64::MAX) {
        if !last.is_some_and(|last| last.is_smooth(piece)) {
            if offset & inside_block != 0 {
                return Err(Unmappable::InsideBlock { offset });
            }
            if piece.start() % 4 != 0 {
                return Err(Unmappable::Misaligned { offset });
            }
        }
        offset += piece.len();
        last = Some(piece);
    }
    Ok(())
}

/// Length in bytes of the longest run from `cursor` on that one command may describe.
///
/// The list has passed [`check`], and what is left of it is a whole number of blocks.
/// Returns 0 only at the end of the list.
// ANCHOR: next_run
pub(crate) fn next_run(mut cursor: DmaCursor<'_>, rules: &Rules) -> u64 {
    let mut bytes = 0;
    let mut pages = 0;
    let mut last: Option<Piece> = None;
    while pages < rules.max_pages
        && let Some(piece) = Piece::next(&mut cursor, rules.max_bytes - bytes)
    {
        if last.is_some_and(|last| !last.is_smooth(piece)) {
            break;
        }
        let room = (rules.max_pages - pages) * PAGE - page_offset(piece.start());
        let taken = piece.len().min(room);
        bytes += taken;
        pages += (page_offset(piece.start()) + taken).div_ceil(PAGE);
        last = Some(piece);
    }
    bytes >> rules.block_shift << rules.block_shift
}
// ANCHOR_END: next_run

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::list;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        block_shift: 9,
        max_bytes: 0x4000,
        max_pages: 5,
    };

    fn runs(list: &DmaList, rules: &Rules) -> Vec<u64> {
        let mut cursor = list.cursor();
        let mut runs = Vec::new();
        loop {
            match next_run(cursor.clone(), rules) {
                0 => break,
                bytes => runs.push(bytes),
            }
            assert!(cursor.advance(runs[runs.len() - 1]));
        }
        assert_eq!(cursor.remaining(), 0);
        runs
    }

    #[test]
    fn a_long_piece_is_cut_at_the_maximum() {
        assert_eq!(
            runs(&list(&[(0x1000, 0x9000)]), &RULES),
            [0x4000, 0x4000, 0x1000]
        );
    }

    #[test]
    fn an_offset_costs_a_page_but_no_bytes_while_there_are_pages() {
        assert_eq!(runs(&list(&[(0x1804, 0x4000)]), &RULES), [0x4000]);
        let short = Rules {
            max_pages: 4,
            ..RULES
        };
        // Four pages from 804h on are 37FCh bytes, which are 27 whole blocks.
        assert_eq!(
            runs(&list(&[(0x1804, 0x4000)]), &short),
            [27 * 0x200, 5 * 0x200]
        );
    }

    #[test]
    fn smooth_edges_are_crossed_and_rough_ones_are_cuts() {
        let smooth = list(&[(0x1e00, 0x200), (0x9000, 0x1000), (0x5000, 0x200)]);
        assert_eq!(check(&smooth, 9), Ok(()));
        assert_eq!(runs(&smooth, &RULES), [0x1400]);
        let rough = list(&[(0x1c00, 0x200), (0x9000, 0x1000), (0x5200, 0x200)]);
        assert_eq!(check(&rough, 9), Ok(()));
        assert_eq!(runs(&rough, &RULES), [0x200, 0x1000, 0x200]);
    }

    #[test]
    fn a_rough_edge_inside_a_block_is_refused() {
        let list = list(&[(0x1c00, 0x200), (0x9000, 0x1e00)]);
        assert_eq!(check(&list, 9), Ok(()));
        assert_eq!(
            check(&list, 12),
            Err(Unmappable::InsideBlock { offset: 0x200 })
        );
    }

    /// With a page edge on one side only, an edge is as rough as any.
    #[test]
    fn half_smooth_edges_are_rough() {
        let ends_well = list(&[(0x1f00, 0x100), (0x9100, 0x100)]);
        assert_eq!(
            check(&ends_well, 9),
            Err(Unmappable::InsideBlock { offset: 0x100 })
        );
        let starts_well = list(&[(0x1e00, 0x100), (0x9000, 0x100)]);
        assert_eq!(
            check(&starts_well, 9),
            Err(Unmappable::InsideBlock { offset: 0x100 })
        );
    }

    #[test]
    fn addresses_off_a_dword_are_refused() {
        assert_eq!(
            check(&list(&[(0x1002, 0x200)]), 9),
            Err(Unmappable::Misaligned { offset: 0 })
        );
        assert_eq!(
            check(&list(&[(0x1000, 0x200), (0x5001, 0x200)]), 9),
            Err(Unmappable::Misaligned { offset: 0x200 })
        );
        assert_eq!(check(&list(&[(0x1004, 0x200)]), 9), Ok(()));
    }

    #[test]
    fn a_block_of_many_pages_is_never_cut() {
        let rules = Rules {
            block_shift: 14,
            max_bytes: 0x6000,
            max_pages: 7,
        };
        assert_eq!(
            runs(&list(&[(0x1804, 0xc000)]), &rules),
            [0x4000, 0x4000, 0x4000]
        );
    }

    /// The address of every byte of a list.
    fn bytes_of(pieces: &[(u64, u64)]) -> Vec<u64> {
        pieces
            .iter()
            .flat_map(|(start, len)| *start..*start + *len)
            .collect()
    }

    /// Whether one command can describe these bytes, said byte by byte.
    fn describable(bytes: &[u64]) -> bool {
        bytes[0].is_multiple_of(4)
            && bytes.windows(2).all(|pair| {
                pair[1] == pair[0] + 1 || ((pair[0] + 1) % 4096 == 0 && pair[1] % 4096 == 0)
            })
    }

    fn pages_of(bytes: &[u64]) -> u64 {
        let starts = bytes
            .windows(2)
            .filter(|pair| pair[1] / 4096 != pair[0] / 4096);
        1 + starts.count() as u64
    }

    /// Pieces apart from each other, with starts and ends near page boundaries.
    pub(crate) fn pieces() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let odd = prop_oneof![
            8 => Just(0_u64),
            4 => (0..8_u64).prop_map(|block| block * 0x200),
            2 => (0..1024_u64).prop_map(|dword| dword * 4),
            1 => 0..4096_u64,
        ];
        let piece = (odd.clone(), odd, 0..4_u64);
        prop::collection::vec(piece, 1..6).prop_map(|pieces| {
            let place = |(index, (start, end, pages)): (usize, (u64, u64, u64))| {
                let first = (index as u64 + 1) * 0x1_0000 + start;
                let last = (index as u64 + 1) * 0x1_0000 + pages * 4096 + end;
                (first, last.saturating_sub(first).max(0x200))
            };
            pieces.into_iter().enumerate().map(place).collect()
        })
    }

    proptest! {
        /// The plan against a byte-by-byte reading of the rules.
        #[test]
        fn runs_are_describable_and_as_long_as_can_be(
            mut pieces in pieces(),
            block_shift in 9..14_u32,
            max_blocks in 1..5_u64,
            spare_pages in 0..3_u64,
        ) {
            let block = 1_u64 << block_shift;
            let rules = Rules {
                block_shift,
                max_bytes: block * max_blocks,
                max_pages: 1 + block.div_ceil(PAGE) + spare_pages,
            };
            // Make the last piece end with a block.
            let total: u64 = pieces.iter().map(|(_, len)| len).sum();
            if let Some((_, len)) = pieces.last_mut() {
                *len += total.next_multiple_of(block) - total;
            }
            let all = bytes_of(&pieces);
            let list = list(&pieces);

            let possible = all.chunks(block as usize).all(describable);
            prop_assert_eq!(check(&list, block_shift).is_ok(), possible);
            if !possible {
                return Ok(());
            }

            let allowed = |run: &[u64]| {
                describable(run)
                    && run.len() as u64 <= rules.max_bytes
                    && pages_of(run) <= rules.max_pages
            };
            let mut at = 0;
            for run in runs(&list, &rules) {
                prop_assert_eq!(run % block, 0);
                let end = at + run as usize;
                prop_assert!(allowed(&all[at..end]));
                if let Some(longer) = all.get(at..end + block as usize) {
                    prop_assert!(!allowed(longer), "a longer run was possible");
                }
                at = end;
            }
            prop_assert_eq!(at, all.len());
        }
    }
}
