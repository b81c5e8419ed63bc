//! The four levels of tables.

use phyr::PhysAddr;

use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::PAGE;

/// How many entries a table has, on each level.
pub(super) const ENTRIES: usize = 512;

/// A level of tables; the lower, the less one of its entries covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Page tables: an entry maps 4 KiB.
    Table,
    /// Page directories: an entry covers 2 MiB.
    Directory,
    /// Page-directory-pointer tables: an entry covers 1 GiB.
    DirectoryPointers,
    /// The PML4 table, the root: an entry covers 512 GiB.
    Pml4,
}

impl Level {
    /// How many bytes one entry covers.
    pub(super) const fn span(self) -> u64 {
        match self {
            Self::Table => PAGE,
            Self::Directory => 2 << 20,
            Self::DirectoryPointers => 1 << 30,
            Self::Pml4 => 512 << 30,
        }
    }

    /// The next lower level; page tables have none.
    pub(super) const fn below(self) -> Option<Self> {
        match self {
            Self::Table => None,
            Self::Directory => Some(Self::Table),
            Self::DirectoryPointers => Some(Self::Directory),
            Self::Pml4 => Some(Self::DirectoryPointers),
        }
    }

    /// Which entry of a table covers `virt`.
    pub(super) const fn index(self, virt: VirtAddr) -> usize {
        (virt.get() / self.span()) as usize % ENTRIES
    }

    /// The parts of `range` that one entry each covers.
    pub(super) fn pieces(self, range: VirtRange) -> impl Iterator<Item = VirtRange> {
        range.split_boundary(self.span())
    }

    /// Whether `piece`, which one entry covers, is all that it covers.
    pub(super) const fn is_whole(self, piece: VirtRange) -> bool {
        piece.len() == self.span()
    }

    /// How far `virt` lies behind the start of what its entry covers.
    pub(super) const fn offset(self, virt: VirtAddr) -> u64 {
        virt.get() % self.span()
    }

    /// Whether one leaf can map `piece`, which one entry covers, to the memory at `phys`, if
    /// the largest leaves are those of the level `largest`.
    // ANCHOR: leaf_fits
    pub(super) fn leaf_fits(self, piece: VirtRange, phys: PhysAddr, largest: Self) -> bool {
        self <= largest && self.is_whole(piece) && phys.is_aligned(self.span())
    }
    // ANCHOR_END: leaf_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    #[test]
    fn indices_are_nine_bits_each() {
        let virt =
            VirtAddr::new(0xffff_8000_0000_0000 | 3 << 39 | 5 << 30 | 7 << 21 | 9 << 12 | 11)
                .unwrap();
        let levels = [
            Level::Pml4,
            Level::DirectoryPointers,
            Level::Directory,
            Level::Table,
        ];
        assert_eq!(levels.map(|level| level.index(virt)), [256 + 3, 5, 7, 9]);
        assert_eq!(
            levels.map(|level| level.index(VirtAddr::new(u64::MAX).unwrap())),
            [511; 4]
        );
        assert_eq!(Level::Table.offset(virt), 11);
    }

    #[test]
    fn a_leaf_fits_where_both_addresses_are_aligned() {
        let fits = |level: Level, virt, len, phys, largest| {
            let piece = VirtRange::new(VirtAddr::new(virt).unwrap(), len).unwrap();
            level.leaf_fits(piece, PhysAddr::new(phys), largest)
        };
        let (gib, two_mib) = (Level::DirectoryPointers, Level::Directory);
        assert!(fits(gib, GIB, GIB, 5 * GIB, gib));
        assert!(!fits(gib, GIB, GIB, 5 * GIB, two_mib));
        assert!(!fits(gib, GIB, GIB, 5 * GIB + 2 * MIB, gib));
        assert!(!fits(gib, GIB, GIB - PAGE, 5 * GIB, gib));
        assert!(fits(two_mib, GIB, 2 * MIB, 0, gib));
        assert!(!fits(two_mib, GIB, 2 * MIB, MIB, gib));
        assert!(!fits(Level::Pml4, 512 * GIB, 512 * GIB, 0, gib));
        assert!(fits(Level::Table, PAGE, PAGE, 0, two_mib));
    }
}
