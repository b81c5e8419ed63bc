//! Memory pages, and pieces of memory as pages see them.
//!
//! The driver sets CC.MPS to 0: a memory page has 4 KiB. What a command can describe
//! depends on where pieces of memory begin and end in their pages, and on nothing else.

use phyr::{DmaCursor, DmaRange};

/// Bytes of a memory page.
pub(crate) const PAGE: u64 = 4096;

/// Offset of an address in its page.
pub(crate) const fn page_offset(address: u64) -> u64 {
    address % PAGE
}

/// Contiguous bytes on the bus, whatever entries of a list they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece(DmaRange);

impl Piece {
    /// The next piece of at most `max` bytes; the cursor goes on behind it.
    pub(crate) fn next(cursor: &mut DmaCursor<'_>, max: u64) -> Option<Self> {
        cursor.next_joined(max).map(Self)
    }

    /// Address of the first byte.
    pub(crate) const fn start(self) -> u64 {
        self.0.addr().get()
    }

    /// Number of bytes, not 0.
    pub(crate) const fn len(self) -> u64 {
        self.0.len()
    }

    /// Address behind the last byte; 0 at the top of the address space.
    pub(crate) const fn end(self) -> u64 {
        self.0.last().get().wrapping_add(1)
    }

    /// What is left without the first `bytes` bytes; nothing if that is all of it.
    pub(crate) fn behind(self, bytes: u64) -> Option<Self> {
        let rest = self.len().checked_sub(bytes)?;
        self.0.sub(bytes, rest).map(Self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList, PhysAddr};

    /// A list of ranges (address, length).
    pub(crate) fn list(ranges: &[(u64, u64)]) -> DmaList {
        let mut list = DmaList::new();
        for (start, len) in ranges {
            let range = DmaRange::new(DmaAddr::new(*start), *len).expect("a range");
            list.push(range).expect("memory for the list");
        }
        list
    }

    #[test]
    fn pieces_end_at_the_maximum_and_at_gaps() {
        let list = list(&[(0x1000, 0x1800), (0x8000, 0x800)]);
        let mut cursor = list.cursor();
        let mut next =
            |max| Piece::next(&mut cursor, max).map(|piece| (piece.start(), piece.len()));
        assert_eq!(next(0x1000), Some((0x1000, 0x1000)));
        assert_eq!(next(0x1000), Some((0x2000, 0x800)));
        assert_eq!(next(0x1000), Some((0x8000, 0x800)));
        assert_eq!(next(0x1000), None);
    }

    /// Two ranges that the processor sees apart and the bus sees side by side.
    #[test]
    fn entries_that_touch_on_the_bus_are_one_piece() {
        let mut apart = PhyrList::new();
        for start in [0x10_0000, 0x20_0000, 0x30_0000] {
            let range = Phyr::new(PhysAddr::new(start), 0x200).expect("a range");
            apart.push(range).expect("memory for the list");
        }
        let list = apart
            .map_to_bus(|range| Some(DmaAddr::new(0x1000 + (range.addr().get() >> 20) * 0x200)))
            .expect("every range has a bus address");
        assert_eq!(list.len(), 3);
        let mut cursor = list.cursor();
        let piece = Piece::next(&mut cursor, 0x500).expect("not the end");
        assert_eq!((piece.start(), piece.len()), (0x1200, 0x500));
        let piece = Piece::next(&mut cursor, 0x500).expect("not the end");
        assert_eq!((piece.start(), piece.len()), (0x1700, 0x100));
    }

    #[test]
    fn the_top_of_the_address_space_is_no_neighbour_of_zero() {
        let list = list(&[(u64::MAX - 0xfff, 0x1000), (0, 0x1000)]);
        let mut cursor = list.cursor();
        let top = Piece::next(&mut cursor, u64::MAX).expect("not the end");
        assert_eq!((top.len(), top.end()), (0x1000, 0));
        assert_eq!(
            Piece::next(&mut cursor, u64::MAX).map(|piece| piece.start()),
            Some(0)
        );
    }
}
