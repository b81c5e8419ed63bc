//! What the builder writes, read by a decoder that knows nothing of it.

use super::*;
use crate::page::tests::list;
use Granularity::{Byte, Dword};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// List memory far from the data, where a mistake would show.
const LIST: ListMemory = ListMemory {
    bus: 0x7_0000_0000,
    pages: 5,
};

/// What a builder left in list memory, by bus address.
type Stores = BTreeMap<u64, u64>;

fn describe_with(
    granularity: Granularity,
    ranges: &[(u64, u64)],
    bytes: u64,
) -> Result<(DataPointer, Stores), SglError> {
    let list = list(ranges);
    let mut stores = Stores::new();
    let mut cursor = list.cursor();
    let data = build(&mut cursor, bytes, granularity, LIST, |offset, value| {
        let old = stores.insert(LIST.bus + offset as u64, value);
        assert_eq!(old, None, "each slot is written once");
    })?;
    assert_eq!(cursor.remaining(), list.bytes() - bytes);
    Ok((data, stores))
}

fn describe(ranges: &[(u64, u64)], bytes: u64) -> Result<(DataPointer, Stores), SglError> {
    describe_with(Byte, ranges, bytes)
}

/// A descriptor as a controller finds it: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    address: u64,
    length: u32,
    reserved: [u8; 3],
    kind: u8,
    subtype: u8,
}

impl Found {
    fn new(low: u64, high: u64) -> Self {
        let bytes = high.to_le_bytes();
        Self {
            address: low,
            length: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            reserved: [bytes[4], bytes[5], bytes[6]],
            kind: bytes[7] >> 4,
            subtype: bytes[7] & 15,
        }
    }
}

/// Reads an SGL as a controller does: from the specification's text, descriptor by
/// descriptor, with no knowledge of the builder. Returns the blocks, and the descriptors of
/// each segment.
fn decode(data: DataPointer, stores: &Stores) -> (Vec<(u64, u64)>, Vec<usize>) {
    let (mut blocks, mut segments) = (Vec::new(), Vec::new());
    let mut take = |found: Found| {
        assert_eq!((found.kind, found.subtype), (0, 0), "{found:?}");
        assert!(found.length > 0, "{found:?}");
        blocks.push((found.address, u64::from(found.length)));
    };
    let mut next = Found::new(data.prp1, data.prp2);
    assert_eq!(next.reserved, [0; 3]);
    if next.kind == 0 {
        take(next);
        return (blocks, segments);
    }
    loop {
        assert_eq!(next.subtype, 0);
        assert!(next.address.is_multiple_of(8) && next.length.is_multiple_of(16));
        let is_last = match next.kind {
            2 => false,
            3 => true,
            kind => panic!("type {kind}"),
        };
        assert!(
            next.length <= 4096 && next.address.is_multiple_of(4096),
            "a page"
        );
        let count = next.length as usize / 16;
        segments.push(count);
        for index in 0..count as u64 {
            let at = next.address + index * 16;
            let found = Found::new(stores[&at], stores[&(at + 8)]);
            assert_eq!(found.reserved, [0; 3]);
            if index + 1 == count as u64 && !is_last {
                next = found;
            } else {
                take(found);
            }
        }
        if is_last {
            return (blocks, segments);
        }
    }
}

#[test]
fn e7_a_piece_is_a_data_block_in_the_command_wherever_it_lies() {
    for (start, len) in [
        (0x1000, 4096),
        (0x1003, 512),
        (0, 1),
        (0x4000_0000, 1 << 30),
        (u64::MAX - 0x1ff, 0x200),
    ] {
        let (data, stores) = describe(&[(start, len)], len).expect("describable");
        assert_eq!((data.prp1, data.prp2), (start, len));
        assert!(stores.is_empty());
    }
}

#[test]
fn e6_two_pieces_are_a_last_segment() {
    let ranges = [(0x1003, 5), (0x9000, 0x1fb)];
    let (data, stores) = describe(&ranges, 0x200).expect("describable");
    assert_eq!((data.prp1, data.prp2), (LIST.bus, 0x30 << 56 | 32));
    let bus = LIST.bus;
    let expected = [
        (bus, 0x1003),
        (bus + 8, 5),
        (bus + 16, 0x9000),
        (bus + 24, 0x1fb),
    ];
    assert_eq!(stores, Stores::from(expected));
}

/// As many pieces of 512 bytes, each on a page of its own.
fn crumbs(count: u64) -> Vec<(u64, u64)> {
    (0..count)
        .map(|index| (0x10_0001 + index * 8192, 512))
        .collect()
}

/// 256 descriptors fill a page without a link; with 257, there is a link, and another page.
#[test]
fn the_last_descriptor_of_a_page_is_a_link_only_if_more_follows() {
    for (count, expected) in [
        (2, vec![2]),
        (255, vec![255]),
        (256, vec![256]),
        (257, vec![2, 256]),
        (510, vec![255, 256]),
        (511, vec![255, 2, 256]),
        (512, vec![256, 2, 256]),
        (1024, vec![256, 256, 256, 4, 256]),
    ] {
        let ranges = crumbs(count);
        let (data, stores) = describe(&ranges, count * 512).expect("describable");
        let (blocks, segments) = decode(data, &stores);
        assert_eq!(blocks, ranges);
        assert_eq!(segments, expected, "{count} pieces");
        // Nothing is written but what is read.
        assert_eq!(stores.len(), segments.iter().sum::<usize>() * 2);
    }
}

/// What leads to the last segment never stands where the way to its own segment stood. QEMU refuses
/// that: see `kernel/src/vm_tests/sgl/by_hand.rs`.
#[test]
fn the_way_to_the_last_segment_has_a_place_of_its_own() {
    for count in 2..=1275 {
        let (data, stores) = describe(&crumbs(count), count * 512).expect("describable");
        let (blocks, segments) = decode(data, &stores);
        assert_eq!(blocks.len() as u64, count);
        assert_eq!(segments.len(), list_pages(count as usize));
        if let [.., one, other, _] = segments[..] {
            assert_ne!(one, other, "{count} pieces");
        }
    }
}

#[test]
fn list_pages_are_as_many_as_the_builder_uses() {
    for count in [
        1, 2, 255, 256, 257, 510, 511, 512, 765, 766, 1021, 1024, 1275,
    ] {
        let (_, stores) = describe(&crumbs(count), count * 512).expect("describable");
        let used = stores
            .keys()
            .last()
            .map_or(0, |at| (at - LIST.bus) / 4096 + 1);
        assert_eq!(list_pages(count as usize) as u64, used, "{count} pieces");
        assert!(most_pieces(used.max(1) as usize) >= count as usize);
    }
    assert_eq!((most_pieces(1), most_pieces(5)), (256, 1275));
    assert_eq!(list_pages(most_pieces(5)), 5);
}

/// The length of a data block has 32 bits.
#[test]
fn a_piece_of_more_than_4_gib_takes_several_blocks() {
    const FOUR_GIB: u64 = 1 << 32;
    for len in [
        FOUR_GIB - 4096,
        FOUR_GIB - 1,
        FOUR_GIB,
        FOUR_GIB + 1,
        5 * FOUR_GIB + 8,
    ] {
        let (data, stores) = describe(&[(0x8_0000_0004, len)], len).expect("describable");
        let (blocks, _) = decode(data, &stores);
        let mut at = 0x8_0000_0004;
        for (start, len) in &blocks {
            assert_eq!(*start, at);
            assert!(len % 4 == 0 || start + len == 0x8_0000_0004 + blocks_len(&blocks));
            at += len;
        }
        assert_eq!(at - 0x8_0000_0004, len);
    }
}

fn blocks_len(blocks: &[(u64, u64)]) -> u64 {
    blocks.iter().map(|(_, len)| len).sum()
}

#[test]
fn what_lists_cannot_describe_is_refused() {
    let refused = |granularity, ranges: &[_], bytes, error| {
        assert_eq!(describe_with(granularity, ranges, bytes), Err(error));
    };
    refused(Dword, &[(0x1002, 512)], 512, SglError::Misaligned);
    refused(
        Dword,
        &[(0x1000, 6), (0x3000, 506)],
        512,
        SglError::Misaligned,
    );
    refused(
        Dword,
        &[(0x1000, 8), (0x3001, 504)],
        512,
        SglError::Misaligned,
    );
    assert!(describe_with(Dword, &[(0x1004, 8), (0x3000, 504)], 512).is_ok());
    refused(Byte, &[(0x1000, 4096)], 4608, SglError::TooShort);
    refused(
        Byte,
        &[(0x1000, 512), (0x3000, 512)],
        1025,
        SglError::TooShort,
    );
    refused(Byte, &[], 512, SglError::TooShort);
    refused(Byte, &crumbs(1276), 1276 * 512, SglError::ListFull);
    assert!(describe(&crumbs(1276), 1275 * 512).is_ok());
}

proptest! {
    /// Pieces anywhere, of any length, in any order, and part of them: what the decoder reads
    /// is the list again.
    #[test]
    fn a_decoder_reads_back_the_ranges(
        pieces in prop::collection::vec((1..1600_u64, 0..4096_u64, 1..9000_u64), 1..1400),
        part in 0..9000_u64,
    ) {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (place, offset, len) in &pieces {
            ranges.push((place * 0x10_0000 + offset, *len));
        }
        let all = blocks_len(&ranges);
        let bytes = all.saturating_sub(part).max(1);
        match describe(&ranges, bytes) {
            Ok((data, stores)) => {
                let (blocks, _) = decode(data, &stores);
                let mut expected = Vec::new();
                let mut left = bytes;
                for (start, len) in ranges {
                    let len = len.min(left);
                    match expected.last_mut() {
                        _ if len == 0 => {}
                        Some((last, last_len)) if *last + *last_len == start => *last_len += len,
                        _ => expected.push((start, len)),
                    }
                    left -= len;
                }
                prop_assert_eq!(blocks, expected);
            }
            Err(error) => {
                prop_assert_eq!(error, SglError::ListFull);
                prop_assert!(ranges.len() > 1275);
            }
        }
    }
}
