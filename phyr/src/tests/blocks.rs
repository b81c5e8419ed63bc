//! Block sizes and blocks, against a search that knows nothing of bits.

use std::vec::Vec;

use crate::{Blocks, DmaAddr, DmaList, DmaRange, best_block_size};

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn list_of(ranges: &[(u64, u64)]) -> DmaList {
    let mut list = DmaList::new();
    for &(addr, len) in ranges {
        list.push_apart(DmaRange::new(DmaAddr::new(addr), len).unwrap())
            .unwrap();
    }
    list
}

/// Lists of which many fit some size: edges are multiples of a power of two more often than not.
fn random_list(random: &mut Random) -> Vec<(u64, u64)> {
    let unit = 1 << random.below(8);
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for _ in 0..1 + random.below(5) {
        let touches = random.below(4) == 0;
        let addr = match ranges.last() {
            Some(&(addr, len)) if touches => addr + len,
            _ => unit * random.below(64),
        };
        ranges.push((addr, unit * (1 + random.below(20))));
    }
    if random.below(2) == 0 {
        // The outer edges may lie anywhere.
        let cut = random.below(ranges[0].1);
        ranges[0] = (ranges[0].0 + cut, ranges[0].1 - cut);
        let last = ranges.len() - 1;
        ranges[last].1 -= random.below(ranges[last].1);
    }
    ranges
}

/// Whether each block of `size` bytes that the buffer enters belongs to it from the first byte that
/// it has there to the last, and it comes to the next block only at the end of one.
fn fits(ranges: &[(u64, u64)], size: u64) -> bool {
    let bytes: Vec<u64> = ranges
        .iter()
        .flat_map(|&(addr, len)| addr..addr + len)
        .collect();
    bytes.windows(2).all(|pair| {
        let goes_on = pair[1] == pair[0] + 1;
        goes_on || ((pair[0] + 1) % size == 0 && pair[1] % size == 0)
    })
}

fn blocks_of(ranges: &[(u64, u64)], size: u64) -> Vec<u64> {
    let mut blocks = Vec::new();
    let mut before = None;
    for byte in ranges.iter().flat_map(|&(addr, len)| addr..addr + len) {
        if before.is_none_or(|before| before + 1 != byte) || byte % size == 0 {
            blocks.push(byte / size * size);
        }
        before = Some(byte);
    }
    blocks
}

#[test]
fn d12_best_block_size_is_what_a_search_finds() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut some, mut none) = (0, 0);
    for _ in 0..20_000 {
        let ranges = random_list(&mut random);
        let sizes = random.below(1 << 12);
        let expected = (0..12)
            .rev()
            .map(|bit| 1 << bit)
            .find(|&size| sizes & size != 0 && fits(&ranges, size));
        let list = list_of(&ranges);
        let found = best_block_size(list.cursor(), sizes);
        assert_eq!(found, expected, "{ranges:?} {sizes:#x}");
        *(if found.is_some() {
            &mut some
        } else {
            &mut none
        }) += 1;
    }
    assert!(some > 1000 && none > 1000, "{some} {none}");
}

#[test]
fn d13_blocks_cover_the_buffer_exactly() {
    let mut random = Random(0xfeed_5678_9abc_def1);
    let mut fitting = 0;
    for _ in 0..20_000 {
        let ranges = random_list(&mut random);
        let size = 1 << random.below(10);
        let list = list_of(&ranges);
        let blocks = Blocks::new(list.cursor(), size);
        assert_eq!(blocks.is_some(), fits(&ranges, size), "{ranges:?} {size}");
        let Some(blocks) = blocks else { continue };
        fitting += 1;
        assert_eq!(blocks.first_offset(), ranges[0].0 % size);
        let found: Vec<u64> = blocks
            .map(|block| {
                assert_eq!(block.len(), size);
                block.addr().get()
            })
            .collect();
        assert_eq!(found, blocks_of(&ranges, size), "{ranges:?} {size}");
    }
    assert!(fitting > 1000, "{fitting}");
}

#[test]
fn blocks_reach_the_top_of_the_address_space() {
    let list = list_of(&[(u64::MAX - 0xfff, 0x1000), (0x4000, 0x2000)]);
    assert_eq!(best_block_size(list.cursor(), u64::MAX), Some(0x4000));
    let blocks = Blocks::new(list.cursor(), 0x1000).unwrap();
    assert!(
        blocks
            .map(|block| block.addr().get())
            .eq([u64::MAX - 0xfff, 0x4000, 0x5000])
    );
    assert_eq!(
        best_block_size(DmaList::new().cursor(), 0x3000),
        Some(0x2000)
    );
    assert!(Blocks::new(list.cursor(), 0).is_none());
    assert!(Blocks::new(list.cursor(), 0x3000).is_none());
    assert!(Blocks::new(list.cursor(), 0x8000).is_none());
}
