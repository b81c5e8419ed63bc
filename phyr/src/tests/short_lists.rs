//! Every list of few small ranges, against the sequence of addresses it stands for.
//!
//! The bytes of a buffer, in order, are what no list operation may change. So the
//! model of a list is its bytes.

use std::vec::Vec;

use super::model::Window;
use crate::width::{Bits6, Bits6Short};
use crate::{
    Bits64, Cursor, DmaAddr, DmaList, DmaRange, ListError, Phyr, PhyrList, PhysAddr, Width,
};

fn spans<W: Width>(list: &PhyrList<W>) -> Vec<(u64, u64)> {
    list.iter()
        .map(|range| (range.span().addr(), range.span().len()))
        .collect()
}

fn addresses<W: Width>(range: Phyr<W>) -> impl Iterator<Item = u64> {
    (0..range.span().len()).map(move |offset| range.span().addr() + offset)
}

fn list_of<W: Width>(ranges: &[Phyr<W>]) -> PhyrList<W> {
    let mut list = PhyrList::default();
    for range in ranges {
        list.push(*range).unwrap();
    }
    list
}

/// All ranges in the lowest `addresses` addresses.
fn low<W: Width>(addresses: u32) -> Vec<Phyr<W>> {
    let all = Window::<W>::all();
    all.into_iter()
        .filter(|(_, bits)| 64 - bits.leading_zeros() <= addresses)
        .map(|(range, _)| range)
        .collect()
}

/// What a list of these ranges must be: neighbours joined if they touch and fit.
fn joined<W: Width>(ranges: &[Phyr<W>]) -> Vec<(u64, u64)> {
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for range in ranges {
        let (addr, len) = (range.span().addr(), range.span().len());
        match entries.last_mut() {
            Some(last) if last.0 + last.1 == addr && last.1 + len <= W::MAX_LEN => last.1 += len,
            _ => entries.push((addr, len)),
        }
    }
    entries
}

fn check<W: Width>(ranges: &[Phyr<W>]) {
    let list = list_of(ranges);
    let expected = joined(ranges);
    assert_eq!(spans(&list), expected, "{ranges:?}");
    assert_eq!(list.len(), expected.len());
    assert_eq!(
        list.bytes(),
        ranges.iter().map(|range| range.span().len()).sum::<u64>()
    );
}

#[test]
fn all_pairs_of_6_bits() {
    let all = low::<Bits6>(64);
    for left in &all {
        for right in &all {
            let list = list_of(&[*left, *right]);
            let (a, b) = (left.span(), right.span());
            // In 6 bits, the sum is too long only if it is the whole address space.
            let join = a.addr() + a.len() == b.addr() && a.len() + b.len() < 64;
            assert_eq!(list.len(), if join { 1 } else { 2 });
            assert_eq!(list.bytes(), a.len() + b.len());
            assert_eq!(list.first().unwrap().span().addr(), a.addr());
            assert_eq!(list.last().unwrap().span().last(), b.last());
        }
    }
}

#[test]
fn all_triples_of_small_ranges() {
    let all = low::<Bits6>(7);
    for a in &all {
        for b in &all {
            for c in &all {
                check(&[*a, *b, *c]);
            }
        }
    }
}

/// Here a join often fails because the length field is too short for it.
#[test]
fn all_pairs_and_some_triples_with_short_lengths() {
    let all = low::<Bits6Short>(20);
    for a in &all {
        for b in &all {
            check(&[*a, *b]);
            if let Ok(c) = Phyr::from_span(crate::span::Span::new(b.span().last() + 1, 3).unwrap())
            {
                check(&[*a, *b, c]);
            }
        }
    }
}

/// Cursors over all lists of two small ranges, with all limits, from all places.
#[test]
fn all_cursors() {
    let all = low::<Bits6>(7);
    for a in &all {
        for b in &all {
            let list = list_of(&[*a, *b]);
            let bytes: Vec<u64> = addresses(*a).chain(addresses(*b)).collect();
            for start in 0..=bytes.len() {
                let mut cursor = list.cursor();
                assert!(cursor.advance(start as u64));
                for max in 0..=8 {
                    for boundary in 0..=4 {
                        walk(&list, cursor.clone(), &bytes[start..], max, boundary);
                    }
                }
            }
            let mut cursor = list.cursor();
            assert!(!cursor.advance(bytes.len() as u64 + 1));
            assert_eq!(cursor.remaining(), bytes.len() as u64);
            assert_eq!(cursor.peek(), list.first());
        }
    }
}

/// A range needs no list to be walked, and is walked as a list of one is.
#[test]
fn all_cursors_over_one_range() {
    for only in low::<Bits6>(9) {
        let list = list_of(&[only]);
        let bytes: Vec<u64> = addresses(only).collect();
        for start in 0..=bytes.len() {
            let mut cursor = Cursor::from(only);
            assert!(cursor.advance(start as u64));
            for max in 0..=10 {
                for boundary in 0..=4 {
                    walk(&list, cursor.clone(), &bytes[start..], max, boundary);
                }
            }
        }
        assert!(!Cursor::from(only).advance(bytes.len() as u64 + 1));
    }
}

/// The pieces are the bytes; each keeps the limits; none could have been longer.
fn walk<W: Width>(
    list: &PhyrList<W>,
    mut cursor: Cursor<'_, W>,
    mut bytes: &[u64],
    max: u64,
    boundary: u64,
) {
    assert_eq!(cursor.remaining(), bytes.len() as u64);
    if max == 0 {
        assert_eq!(cursor.next_within(0, boundary), None);
        assert_eq!(cursor.remaining(), bytes.len() as u64);
        return;
    }
    while !bytes.is_empty() {
        let peeked = cursor.peek().unwrap().span();
        let piece = cursor.next_within(max, boundary).unwrap().span();
        let (now, rest) = bytes.split_at(piece.len() as usize);
        assert!(addresses(Phyr::<W>::from_span(piece).unwrap()).eq(now.iter().copied()));
        assert_eq!(cursor.remaining(), rest.len() as u64);

        assert!(piece.len() <= max);
        let last = piece.last();
        assert!(boundary == 0 || piece.addr() / boundary == last / boundary);
        let ends = piece.len() == peeked.len();
        let full = piece.len() == max;
        let at_boundary = boundary != 0 && (last + 1).is_multiple_of(boundary);
        assert!(ends || full || at_boundary, "{list:?} {piece:?}");
        assert!(peeked.contains(piece));
        bytes = rest;
    }
    assert_eq!(cursor.next_within(max, boundary), None);
    assert_eq!((cursor.peek(), cursor.remaining()), (None, 0));
    assert!(cursor.advance(0));
    assert!(!cursor.advance(1));
}

fn phyr(addr: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(addr), len).unwrap()
}

#[test]
fn an_empty_list_is_a_list() {
    let list = PhyrList::new();
    assert!(list.is_empty());
    assert_eq!(
        (list.len(), list.bytes(), list.first(), list.last()),
        (0, 0, None, None)
    );
    assert_eq!(list.iter().next(), None);
    assert_eq!(list.cursor().next(u64::MAX), None);
    assert!(list.cursor().advance(0));
    assert_eq!(list.try_clone(), Ok(PhyrList::default()));
    let on_bus = list.map_to_bus(|_| None).unwrap();
    assert_eq!(on_bus, DmaList::new());
}

#[test]
fn ranges_may_overlap_and_come_in_any_order() {
    let list = list_of(&[
        phyr(0x2000, 0x1000),
        phyr(0x1000, 0x1000),
        phyr(0x1000, 0x1000),
    ]);
    assert_eq!(list.len(), 3);
    assert_eq!(list.bytes(), 0x3000);
}

#[test]
fn the_sum_of_lengths_never_wraps() {
    let mut list = PhyrList::from(phyr(1, u64::MAX));
    assert_eq!(list.push(phyr(0, 1)), Err(ListError::TooLong));
    assert_eq!((list.len(), list.bytes()), (1, u64::MAX));

    let mut list = PhyrList::from(phyr(0, u64::MAX));
    assert_eq!(list.push(phyr(u64::MAX, 1)), Err(ListError::TooLong));
    assert_eq!(list, PhyrList::from(phyr(0, u64::MAX)));
}

#[test]
fn the_inline_part_holds_eight() {
    let mut list = PhyrList::new();
    for entry in 0..PhyrList::<Bits64>::INLINE as u64 {
        list.push(phyr(entry * 0x2000, 0x1000)).unwrap();
    }
    assert_eq!(list.len(), 8);
    let pushed = list.push(phyr(0x10_0000, 0x1000));
    if cfg!(feature = "alloc") {
        assert_eq!(pushed, Ok(()));
        assert_eq!(list.len(), 9);
    } else {
        assert_eq!(pushed, Err(ListError::Full));
        assert_eq!((list.len(), list.bytes()), (8, 0x8000));
        // What touches still finds room.
        list.push(phyr(7 * 0x2000 + 0x1000, 0x1000)).unwrap();
        assert_eq!((list.len(), list.bytes()), (8, 0x9000));
    }
}

#[test]
fn cleared_lists_begin_anew() {
    let mut list = list_of(&[phyr(0x1000, 0x1000), phyr(0x5000, 0x1000)]);
    list.clear();
    assert_eq!(list, PhyrList::new());
    assert_eq!(list.bytes(), 0);
    // Touches what is no longer there.
    list.push(phyr(0x6000, 0x1000)).unwrap();
    assert_eq!(spans(&list), [(0x6000, 0x1000)]);
}

#[test]
fn the_bus_may_be_elsewhere() {
    let list = list_of(&[phyr(0x1000, 0x1000), phyr(0x4000, 0x2000)]);
    let offset = 0x8000_0000;
    let on_bus = list
        .map_to_bus(|range| range.addr().get().checked_add(offset).map(DmaAddr::new))
        .unwrap();
    let expected = [(0x8000_1000, 0x1000), (0x8000_4000, 0x2000)]
        .map(|(addr, len)| DmaRange::new(DmaAddr::new(addr), len).unwrap());
    assert!(on_bus.iter().eq(expected));
    assert_eq!((on_bus.len(), on_bus.bytes()), (2, 0x3000));
    assert_eq!(on_bus.first(), Some(expected[0]));
    assert_eq!(on_bus.cursor().next(0x800), expected[0].sub(0, 0x800));
}

/// An IOMMU may put neighbours side by side. They stay entries of their own, also when
/// the list is copied; only a push joins.
#[test]
fn entries_that_touch_on_the_bus_stay_apart() {
    let list = list_of(&[phyr(0x1000, 0x1000), phyr(0x9000, 0x1000)]);
    let side_by_side = |range: Phyr| {
        let second = range.addr() == PhysAddr::new(0x9000);
        Some(DmaAddr::new(if second { 0x1000 } else { 0 }))
    };
    let mut on_bus = list.map_to_bus(side_by_side).unwrap();
    assert_eq!(on_bus.len(), 2);
    assert_eq!(on_bus.try_clone().unwrap().len(), 2);
    on_bus
        .push(DmaRange::new(DmaAddr::new(0x2000), 0x1000).unwrap())
        .unwrap();
    assert_eq!(on_bus.len(), 2);
    assert_eq!(on_bus.last().unwrap().len(), 0x2000);
}

#[test]
fn a_refused_entry_is_named_and_the_list_comes_back() {
    let ranges = [
        phyr(0x1000, 0x1000),
        phyr(0x5000, 0x1000),
        phyr(1 << 32, 0x1000),
    ];
    let below_4_gib = |range: Phyr| {
        let reached = range.last().get() < 1 << 32;
        reached.then(|| DmaAddr::new(range.addr().get()))
    };
    let (index, list) = list_of(&ranges).map_to_bus(below_4_gib).unwrap_err();
    assert_eq!(index, 2);
    assert_eq!(list, list_of(&ranges));

    // It has an address, and runs past the top of the bus's address space.
    let high = |range: Phyr| {
        range
            .addr()
            .get()
            .checked_add(u64::MAX - 0x57ff)
            .map(DmaAddr::new)
    };
    let (index, list) = list_of(&ranges[..2]).map_to_bus(high).unwrap_err();
    assert_eq!(index, 1);
    assert_eq!(list, list_of(&ranges[..2]));
}

#[test]
#[should_panic(expected = "the same answer twice")]
fn a_translation_that_changes_its_mind_is_a_bug() {
    let asked = core::cell::Cell::new(0);
    let list = PhyrList::from(phyr(0x1000, 0x1000));
    let _ = list.map_to_bus(|range| {
        asked.set(asked.get() + 1);
        (asked.get() == 1).then(|| DmaAddr::new(range.addr().get()))
    });
}

#[test]
fn what_is_kept_apart_is_not_joined_and_joins_nothing_else() {
    let mut list = PhyrList::new();
    list.push(phyr(0x1000, 0x1000)).unwrap();
    list.push_apart(phyr(0x2000, 0x1000)).unwrap();
    assert_eq!(spans(&list), [(0x1000, 0x1000), (0x2000, 0x1000)]);
    // What comes next is joined with the entry that stands apart.
    list.push(phyr(0x3000, 0x800)).unwrap();
    assert_eq!(spans(&list), [(0x1000, 0x1000), (0x2000, 0x1800)]);
    assert_eq!((list.len(), list.bytes()), (2, 0x2800));
    let mut long = PhyrList::from(phyr(0, u64::MAX));
    assert_eq!(long.push_apart(phyr(0, 1)), Err(ListError::TooLong));
    assert_eq!((long.len(), long.bytes()), (1, u64::MAX));
}
