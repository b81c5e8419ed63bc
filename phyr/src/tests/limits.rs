//! Cutting buffers by limits, against a byte-by-byte reading of the rules.

use crate::{DmaAddr, DmaCursor, DmaList, DmaRange, Gaps, Limits, Place, Uncuttable};
use proptest::prelude::*;
use std::vec::Vec;

/// As an NVMe controller has them.
const fn pages(block_shift: u32, max_bytes: u64, max_pages: u64) -> Limits {
    Limits {
        max_bytes,
        max_pages,
        alignment: 4,
        gaps: Gaps::AtPages,
        ..Limits::of_blocks(1 << block_shift)
    }
}

const RULES: Limits = pages(9, 0x4000, 5);

fn check(list: &DmaList, block_shift: u32) -> Result<(), Uncuttable> {
    pages(block_shift, u64::MAX, u64::MAX).check(list.cursor())
}

/// A list of ranges (address, length).
fn list(ranges: &[(u64, u64)]) -> DmaList {
    let mut list = DmaList::new();
    for (start, len) in ranges {
        let range = DmaRange::new(DmaAddr::new(*start), *len).expect("a range");
        list.push(range).expect("memory for the list");
    }
    list
}

fn runs(list: &DmaList, limits: &Limits) -> Vec<u64> {
    let mut cursor = list.cursor();
    let mut runs = Vec::new();
    loop {
        match limits.next_run(cursor.clone()) {
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
    let short = Limits {
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
        Err(Uncuttable::InsideBlock { offset: 0x200 })
    );
}

/// With a page edge on one side only, an edge is as rough as any.
#[test]
fn half_smooth_edges_are_rough() {
    let ends_well = list(&[(0x1f00, 0x100), (0x9100, 0x100)]);
    assert_eq!(
        check(&ends_well, 9),
        Err(Uncuttable::InsideBlock { offset: 0x100 })
    );
    let starts_well = list(&[(0x1e00, 0x100), (0x9000, 0x100)]);
    assert_eq!(
        check(&starts_well, 9),
        Err(Uncuttable::InsideBlock { offset: 0x100 })
    );
}

#[test]
fn addresses_off_a_dword_are_refused() {
    assert_eq!(
        check(&list(&[(0x1002, 0x200)]), 9),
        Err(Uncuttable::Misaligned { offset: 0 })
    );
    assert_eq!(
        check(&list(&[(0x1000, 0x200), (0x5001, 0x200)]), 9),
        Err(Uncuttable::Misaligned { offset: 0x200 })
    );
    assert_eq!(check(&list(&[(0x1004, 0x200)]), 9), Ok(()));
}

#[test]
fn a_block_of_many_pages_is_never_cut() {
    let rules = pages(14, 0x6000, 7);
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
fn pieces() -> impl Strategy<Value = Vec<(u64, u64)>> {
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

/// Devices with a descriptor for each piece: edges may be anywhere, but pieces are counted.
#[test]
fn pieces_are_counted_where_edges_may_be_anywhere() {
    let limits = Limits {
        max_pieces: 2,
        ..Limits::of_blocks(0x200)
    };
    let buffer = list(&[(0x1001, 0x100), (0x3003, 0x100), (0x5005, 0x200)]);
    assert_eq!(limits.check(buffer.cursor()), Ok(()));
    assert_eq!(runs(&buffer, &limits), [0x200, 0x200]);
    let crumbs = list(&[(0x1000, 0x80), (0x3000, 0x80), (0x5000, 0x100)]);
    let error = limits.check(crumbs.cursor());
    assert_eq!(error, Err(Uncuttable::Length { offset: 0 }));
}

/// With a descriptor for each piece, a piece in the middle of a block may end where none may start.
#[test]
fn pieces_end_where_they_may_start() {
    let limits = Limits {
        alignment: 4,
        ..Limits::of_blocks(0x200)
    };
    let check = |ranges: &[_]| limits.check(list(ranges).cursor());
    assert_eq!(check(&[(0x1000, 0x104), (0x3000, 0xfc)]), Ok(()));
    assert_eq!(
        check(&[(0x1000, 0x102), (0x3000, 0xfe)]),
        Err(Uncuttable::Misaligned { offset: 0x102 })
    );
}

#[test]
fn half_a_block_at_the_end_is_found_out() {
    let error = check(&list(&[(0x1000, 0x300)]), 9);
    assert_eq!(error, Err(Uncuttable::Length { offset: 0x200 }));
}

/// A cursor that was put away and taken out again goes on as if nothing had happened.
#[test]
fn a_place_is_a_cursor_without_the_borrow() {
    let buffer = list(&[(0x1000, 3), (0x2000, 1), (0x3000, 2)]);
    let single = DmaRange::new(DmaAddr::new(0x9000), 6).expect("a range");
    for start in [buffer.cursor(), DmaCursor::from(single)] {
        for passed in 0..=6 {
            let mut there = start.clone();
            assert!(there.advance(passed));
            let place = there.place();
            let mut again = start.clone();
            again.resume(place);
            assert_eq!(again.remaining(), 6 - passed);
            assert_eq!(again.place(), place);
            while let Some(piece) = there.next(2) {
                assert_eq!(again.next(2), Some(piece));
            }
            assert_eq!(again.next(2), None);
        }
        let mut end = start.clone();
        end.resume(Place::default());
        assert_eq!((end.remaining(), end.peek()), (0, None));
    }
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
        let rules = pages(block_shift, block * max_blocks, 1 + block.div_ceil(4096) + spare_pages);
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
