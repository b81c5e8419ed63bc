//! Chains: the pieces of a buffer as descriptors, cut to what a device takes (section 2.7.5).
//!
//! virtio has no page size. A bus range is a descriptor, whatever its address, unless it is longer
//! than a descriptor's 32 bits or the device's own limit can say. Then it is several.

use crate::error::RequestError;
use phyr::{DmaCursor, DmaRange};

pub(crate) use crate::split::{INDIRECT, NEXT, WRITE};

/// A descriptor's two words.
#[inline]
pub(crate) const fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> [u64; 2] {
    [
        address,
        len as u64 | (flags as u64) << 32 | (next as u64) << 48,
    ]
}

/// Most bytes in a command. The bytes that a device has written are counted in 32 bits, and some
/// devices count the others in 31.
const MAX_BYTES: u64 = 1 << 30;

/// A chain of descriptors that is being written: the numbers of those that are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The next one.
    pub(crate) at: u16,
    /// The one that ends the chain.
    pub(crate) last: u16,
    /// What all of them say.
    pub(crate) flags: u16,
}

impl Chain {
    /// Hands out the descriptors of memory, which need not be cut, each with its number.
    #[inline]
    pub(crate) fn add(&mut self, mut cursor: DmaCursor<'_>, mut put: impl FnMut(u16, [u64; 2])) {
        while let Some(range) = cursor.next(u64::MAX) {
            let (flags, next) = match self.at == self.last {
                true => (self.flags, 0),
                false => (self.flags | NEXT, self.at + 1),
            };
            let words = descriptor(range.addr().get(), range.len() as u32, flags, next);
            put(self.at, words);
            self.at += 1;
        }
    }
}

/// How a buffer is cut into commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Most bytes in a piece.
    pub(crate) max_piece: u32,
    /// Most pieces in a command.
    pub(crate) max_pieces: u16,
    /// A command moves a multiple of this many bytes.
    pub(crate) block: u32,
}

impl Cut {
    /// Whether memory in one piece is one command, of one piece.
    #[inline]
    pub(crate) fn takes(&self, range: DmaRange) -> bool {
        range.len() <= u64::from(self.max_piece) && range.len() <= MAX_BYTES
    }

    /// Whether all of a buffer can be cut.
    pub(crate) fn check(&self, mut cursor: DmaCursor<'_>) -> Result<(), RequestError> {
        let bytes = cursor.remaining();
        while cursor.remaining() > 0 {
            let run = self.next_run(cursor.clone()).0;
            if run == 0 || !cursor.advance(run) {
                let offset = bytes - cursor.remaining();
                return Err(RequestError::Pieces { offset });
            }
        }
        Ok(())
    }

    /// The next command from `cursor` on: its bytes, and its pieces. 0 if not even a block can be
    /// moved, or at the end.
    // Not memory: a length and a count.
    pub(crate) fn next_run(&self, mut cursor: DmaCursor<'_>) -> (u64, u16) {
        let block = u64::from(self.block);
        // What ends with a whole block.
        let (mut bytes, mut pieces) = (0, 0);
        let (mut so_far, mut count) = (0, 0);
        while count < self.max_pieces
            && let Some(piece) = cursor.next(u64::from(self.max_piece).min(MAX_BYTES - so_far))
        {
            count += 1;
            so_far += piece.len();
            let whole = so_far - so_far % block;
            if whole > bytes {
                (bytes, pieces) = (whole, count);
            }
            if so_far == MAX_BYTES {
                break;
            }
        }
        (bytes, pieces)
    }

    /// Hands out the pieces of the next `bytes` bytes, which are a run.
    pub(crate) fn pieces(
        &self,
        cursor: &mut DmaCursor<'_>,
        bytes: u64,
        mut piece: impl FnMut(DmaRange),
    ) {
        let mut left = bytes;
        while left > 0
            && let Some(range) = cursor.next(left.min(u64::from(self.max_piece)))
        {
            left -= range.len();
            piece(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::{DmaAddr, DmaList};
    use proptest::prelude::*;

    fn list(ranges: &[(u64, u64)]) -> DmaList {
        let mut list = DmaList::new();
        for (addr, len) in ranges {
            let range = DmaRange::new(DmaAddr::new(*addr), *len).expect("a range");
            list.push(range).expect("short");
        }
        list
    }

    fn lengths(cut: Cut, list: &DmaList) -> Vec<Vec<u64>> {
        let mut cursor = list.cursor();
        let mut runs = Vec::new();
        loop {
            let (bytes, pieces) = cut.next_run(cursor.clone());
            if bytes == 0 {
                return runs;
            }
            let mut run = Vec::new();
            cut.pieces(&mut cursor, bytes, |range| run.push(range.len()));
            assert_eq!(run.len(), usize::from(pieces));
            runs.push(run);
        }
    }

    #[test]
    fn what_a_descriptor_cannot_say_is_several() {
        const GIB: u64 = 1 << 30;
        let cut = Cut {
            max_piece: u32::MAX,
            max_pieces: 8,
            block: 512,
        };
        let five = list(&[(0x10_0000_0000, 5 * GIB + 512)]);
        let runs = lengths(cut, &five);
        assert_eq!(runs.iter().flatten().sum::<u64>(), 5 * GIB + 512);
        assert_eq!(runs.len(), 6);
        assert!(runs.iter().flatten().all(|len| *len <= GIB));
        let small = Cut {
            max_piece: 1024,
            max_pieces: 3,
            block: 512,
        };
        let runs = lengths(small, &list(&[(0x1001, 5 * 512)]));
        assert_eq!(runs, [[1024, 1024, 512].to_vec()]);
        assert_eq!(small.check(five.cursor()), Ok(()));
    }

    #[test]
    fn a_command_ends_with_a_block() {
        let cut = Cut {
            max_piece: u32::MAX,
            max_pieces: 2,
            block: 512,
        };
        let uneven = list(&[(0x1000, 700), (0x3000, 324), (0x5000, 512)]);
        assert_eq!(lengths(cut, &uneven), [[700, 324].to_vec(), vec![512]]);
        let uneven = list(&[(0x1000, 700), (0x3000, 400), (0x5000, 436)]);
        assert_eq!(lengths(cut, &uneven), [[700, 324].to_vec(), vec![76, 436]]);
        let crumbs = list(&[(0x1000, 512), (0x3000, 200), (0x5000, 200), (0x7000, 112)]);
        let error = Err(RequestError::Pieces { offset: 512 });
        assert_eq!(cut.check(crumbs.cursor()), error);
        let odd = list(&[(0x1000, 513)]);
        assert_eq!(cut.check(odd.cursor()), error);
    }

    proptest! {
        /// Whatever the pieces are: each byte goes once, in order, and no limit is broken.
        #[test]
        fn runs_are_the_buffer_within_the_limits(
            pieces in prop::collection::vec((1..2000_u64, 1..3000_u64), 1..30),
            max_piece in 1..3000_u32,
            max_pieces in 1..9_u16,
        ) {
            let mut address = 0;
            let mut ranges = Vec::new();
            for (gap, len) in pieces {
                address += gap;
                ranges.push((address, len));
                address += len;
            }
            let list = list(&ranges);
            let cut = Cut { max_piece, max_pieces, block: 512 };
            let mut cursor = list.cursor();
            let mut rest = list.cursor();
            loop {
                let (bytes, count) = cut.next_run(cursor.clone());
                if bytes == 0 {
                    break;
                }
                prop_assert!(bytes % 512 == 0 && count <= max_pieces);
                let mut seen = 0;
                let mut wrong = false;
                cut.pieces(&mut cursor, bytes, |range| {
                    seen += 1;
                    wrong |= range.len() > u64::from(max_piece);
                    wrong |= rest.next(range.len()) != Some(range);
                });
                prop_assert!(!wrong);
                prop_assert_eq!(seen, count);
            }
            let is_cut = cursor.remaining() == 0;
            prop_assert_eq!(cut.check(list.cursor()).is_ok(), is_cut);
        }
    }
}
