//! Bytes that say where they belong.
//!
//! A disk full of zeros hides every mistake in addressing. A disk whose every word is a
//! function of its own offset shows them all: a swapped page, a missing block and a read from
//! the wrong place each differ at once, and the seed changes with every boot, so that data
//! of an earlier run never passes for fresh data.
//!
//! Word `i` is the `i`-th output of the SplitMix64 generator. That generator can be asked
//! for any position, so host and guest compute any piece without the rest.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The eight bytes of word `index`, that is, those at the byte offset `8 * index`.
pub const fn word(seed: u64, index: u64) -> [u8; 8] {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The byte at `offset`.
pub const fn byte(seed: u64, offset: u64) -> u8 {
    word(seed, offset / 8)[(offset % 8) as usize]
}

/// Writes the pattern's bytes from `offset` on into `bytes`.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    visit(seed, offset, bytes.len(), |at, word| {
        bytes[at..at + word.len()].copy_from_slice(word);
        true
    });
}

/// Compares `bytes` with the pattern from `offset` on.
///
/// Returns the index of the first byte that differs, or `None` if all are equal.
pub fn first_difference(seed: u64, offset: u64, bytes: &[u8]) -> Option<usize> {
    let mut different = None;
    visit(seed, offset, bytes.len(), |at, word| {
        let found = &bytes[at..at + word.len()];
        if found == word {
            return true;
        }
        let within = found.iter().zip(word).take_while(|(a, b)| a == b).count();
        different = Some(at + within);
        false
    });
    different
}

/// Hands out the pattern in pieces of up to a word, until `each` says `false`.
fn visit(seed: u64, offset: u64, len: usize, mut each: impl FnMut(usize, &[u8]) -> bool) {
    let (mut at, mut index) = (0, offset / 8);
    let mut skip = (offset % 8) as usize;
    while at < len {
        let word = word(seed, index);
        let piece = &word[skip..word.len().min(skip + len - at)];
        if !each(at, piece) {
            return;
        }
        at += piece.len();
        index = index.wrapping_add(1);
        skip = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first outputs for the seed 1234567, as published with the generator.
        let expected = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973];
        assert_eq!(u64::from_le_bytes(word(1_234_567, 0)), expected[0]);
        assert_eq!(u64::from_le_bytes(word(1_234_567, 1)), expected[1]);
    }

    #[test]
    fn any_piece_is_the_same_as_cut_from_the_whole() {
        let mut whole = [0; 64];
        fill(7, 0, &mut whole);
        for start in 0..64 {
            for end in start..=64 {
                let mut piece = [0; 64];
                fill(7, start as u64, &mut piece[..end - start]);
                assert_eq!(piece[..end - start], whole[start..end], "{start}..{end}");
                assert_eq!(first_difference(7, start as u64, &whole[start..end]), None);
            }
            assert_eq!(byte(7, start as u64), whole[start]);
        }
    }

    #[test]
    fn names_the_first_wrong_byte_wherever_it_is() {
        for offset in 0..8 {
            let mut bytes = [0; 40];
            fill(99, offset, &mut bytes);
            for wrong in 0..bytes.len() {
                let mut bytes = bytes;
                bytes[wrong] ^= 0x10;
                bytes[39] ^= 0x01;
                assert_eq!(first_difference(99, offset, &bytes), Some(wrong));
            }
        }
    }
}
