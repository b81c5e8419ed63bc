//! Lists cut to a device's limits, against a reading of the rules byte by byte.

use super::*;
use phyr::DmaRange;
use proptest::prelude::*;

fn list_of(ranges: &[(u64, u64)]) -> DmaList {
    let mut list = DmaList::new();
    for &(addr, len) in ranges {
        list.push_apart(DmaRange::new(DmaAddr::new(addr), len).unwrap())
            .unwrap();
    }
    list
}

fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let addr = prop_oneof![0u64..0x4000, (0u64..0x400).prop_map(|at| at * 16)];
    let len = prop_oneof![1u64..0x900, (1u64..0x80).prop_map(|len| len * 16)];
    prop::collection::vec((addr, len), 1..6)
}

fn limits() -> impl Strategy<Value = DmaLimits> {
    let alignment = prop_oneof![3 => Just(1u64), 1 => Just(4), 1 => Just(16)];
    let size = prop_oneof![16u64..0x1000, Just(u64::MAX)];
    let boundary = prop_oneof![Just(0u64), (4u32..12).prop_map(|bits| 1 << bits)];
    let granule = prop_oneof![3 => Just(1u64), 1 => Just(16)];
    let entries = prop_oneof![Just(usize::MAX), 1usize..40];
    let last = prop_oneof![Just(u64::MAX), 0x3000u64..0x5000];
    (alignment, size, boundary, granule, entries, last).prop_map(
        |(alignment, max_segment, boundary, granule, entries, last)| DmaLimits {
            last: DmaAddr::new(last),
            alignment,
            max_segment,
            boundary,
            granule,
            entries,
        },
    )
}

fn bytes(list: &DmaList) -> Vec<u64> {
    list.iter()
        .flat_map(|range| range.addr().get()..=range.last().get())
        .collect()
}

/// Whether a buffer can be given to the device at all, if it may be cut.
fn is_possible(ranges: &[(u64, u64)], limits: &DmaLimits) -> bool {
    let reachable = ranges
        .iter()
        .all(|&(addr, len)| addr + len - 1 <= limits.last.get() && addr % limits.alignment == 0);
    let meets = ranges.windows(2).all(|pair| {
        let end = pair[0].0 + pair[0].1;
        end == pair[1].0 || (end % limits.granule == 0 && pair[1].0 % limits.granule == 0)
    });
    reachable && meets
}

proptest! {
    #[test]
    fn d10_pieces_are_the_whole_and_within_the_limits(ranges in ranges(), limits in limits()) {
        let list = list_of(&ranges);
        let whole = bytes(&list);
        match limits.shape(list) {
            Ok(pieces) => {
                prop_assert!(is_possible(&ranges, &limits));
                prop_assert_eq!(bytes(&pieces), whole);
                prop_assert!(pieces.len() <= limits.entries);
                for piece in pieces.iter() {
                    let (first, last) = (piece.addr().get(), piece.last().get());
                    prop_assert!(last <= limits.last.get());
                    prop_assert_eq!(first % limits.alignment, 0);
                    prop_assert!(piece.len() <= limits.max_segment);
                    let block = |at: u64| at.checked_div(limits.boundary);
                    prop_assert_eq!(block(first), block(last));
                }
            }
            Err((error, same)) => {
                prop_assert_eq!(bytes(&same), whole);
                prop_assert_eq!(same.len(), ranges.len());
                match error {
                    DmaError::Unreachable { .. } | DmaError::Gap { .. } => {
                        prop_assert!(!is_possible(&ranges, &limits));
                    }
                    DmaError::TooManyPieces { pieces } => {
                        prop_assert!(is_possible(&ranges, &limits) && pieces > limits.entries);
                    }
                    other => prop_assert!(false, "{other}"),
                }
            }
        }
    }

    /// The short way for one range says what the long one does to it.
    #[test]
    fn one_range_is_admitted_if_it_stays_as_it_is(range in ranges(), limits in limits()) {
        let range = list_of(&range[..1]).first().unwrap();
        let stays = limits.shape(DmaList::from(range)).is_ok_and(|list| list.len() == 1);
        prop_assert_eq!(limits.admit(range), stays);
    }
}

#[test]
fn d10_no_piece_more_than_needed() {
    let limits = DmaLimits {
        max_segment: 0x1000,
        boundary: 0x2000,
        ..DmaLimits::NONE
    };
    let list = limits.shape(list_of(&[(0x1800, 0x3000)])).unwrap();
    let pieces: Vec<_> = list.iter().map(|p| (p.addr().get(), p.len())).collect();
    let expected = [
        (0x1800, 0x800),
        (0x2000, 0x1000),
        (0x3000, 0x1000),
        (0x4000, 0x800),
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn d11_gaps_inside_a_granule_are_refused() {
    let limits = DmaLimits {
        granule: 4096,
        ..DmaLimits::NONE
    };
    let smooth = [(0x1200, 0xe00), (0x8000, 0x2000), (0x4000, 0x10)];
    assert!(limits.shape(list_of(&smooth)).is_ok());
    for (index, broken) in [
        (1, [(0x1200, 0xd00), (0x8000, 0x2000), (0x4000, 0x10)]),
        (1, [(0x1200, 0xe00), (0x8200, 0x1e00), (0x4000, 0x10)]),
        (2, [(0x1200, 0xe00), (0x8000, 0x1ff0), (0x4000, 0x10)]),
    ] {
        let (error, _) = limits.shape(list_of(&broken)).unwrap_err();
        assert_eq!(error, DmaError::Gap { index });
    }
}

#[test]
fn d9_the_last_byte_must_be_reachable_and_the_first_aligned() {
    let limits = DmaLimits {
        last: DmaAddr::new(0xffff_ffff),
        alignment: 4,
        ..DmaLimits::NONE
    };
    for (addr, len, good) in [
        (0x1000, 0x1000, true),
        (0xffff_f000, 0x1000, true),
        (0xffff_f000, 0x1001, false),
        (1 << 32, 1, false),
        (0x1002, 4, false),
    ] {
        let range = DmaRange::new(DmaAddr::new(addr), len).unwrap();
        assert_eq!(limits.admit(range), good, "{range}");
    }
}
