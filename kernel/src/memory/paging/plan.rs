//! Whether a change can be made, and how many tables it takes. Nothing is written.

use core::convert::Infallible;

use phyr::PhysAddr;

use super::entry::{Content, Entry};
use super::error::MapError;
use super::level::Level;
use super::rights::{Cache, Rights};
use super::table::Table;
use super::walk::spots;
use crate::memory::virt::VirtRange;
use crate::memory::window::Window;

/// What a range is to be mapped to.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// Where the memory starts.
    pub(super) start: PhysAddr,
    pub(super) rights: Rights,
    pub(super) cache: Cache,
    /// The level of the largest leaves that may be used.
    pub(super) largest: Level,
    pub(super) walker: Walker,
}

/// For whose accesses the CPU walks the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walker {
    /// For the kernel's.
    Kernel,
    /// For a guest's: the tables are nested.
    Guest,
    /// For those of a program in ring 3, which must find the U/S bit all the way down.
    User,
}

impl Target {
    /// The target of `piece`, which is a part of `range`, whose target this is.
    pub(super) fn of_piece(self, piece: VirtRange, range: VirtRange) -> Self {
        let offset = piece.start().get() - range.start().get();
        // The memory was found to lie below 2^52, so there is no overflow.
        Self {
            start: PhysAddr::new(self.start.get() + offset),
            ..self
        }
    }

    /// The leaf of `level` that maps it.
    pub(super) const fn leaf(self, level: Level) -> Entry {
        self.open(Entry::leaf(self.start, level, self.rights, self.cache))
    }

    /// The entry for a table on the way to it.
    pub(super) const fn table(self, table: Table) -> Entry {
        self.open(Entry::table(table))
    }

    const fn open(self, entry: Entry) -> Entry {
        match self.walker {
            Walker::Kernel => entry,
            Walker::Guest => entry.for_guest(),
            Walker::User => entry.for_user(),
        }
    }
}

/// How many tables it takes to map `range` below `table`, a table of `level` that may not exist yet.
pub(super) fn tables_to_map<W: Window>(
    window: &W,
    table: Option<Table>,
    level: Level,
    range: VirtRange,
    target: Target,
) -> Result<u64, MapError> {
    let Some(below) = level.below() else {
        // A page table takes no further tables; only what it maps already can be in the way.
        let mut pieces = level.pieces(range);
        let occupied = table.and_then(|table| {
            pieces.find(|piece| table.get(window, level.index(piece.start())).is_present())
        });
        return occupied.map_or(Ok(0), |piece| Err(MapError::AlreadyMapped(piece.start())));
    };
    let mut tables = 0;
    for piece in level.pieces(range) {
        let target = target.of_piece(piece, range);
        let entry = table.map_or(Entry::EMPTY, |table| {
            table.get(window, level.index(piece.start()))
        });
        tables += match entry.content(level) {
            Content::Leaf => return Err(MapError::AlreadyMapped(piece.start())),
            Content::Empty if level.leaf_fits(piece, target.start, target.largest) => 0,
            Content::Empty => 1 + tables_to_map(window, None, below, piece, target)?,
            Content::Table(..) if !entry.allows(target.rights) => {
                return Err(MapError::Restricted(piece.start()));
            }
            Content::Table(table, below) => {
                tables_to_map(window, Some(table), below, piece, target)?
            }
        };
    }
    Ok(tables)
}

/// Whether all of `range` is mapped, and can have those rights.
pub(super) fn may_protect<W: Window>(
    window: &W,
    root: Table,
    range: VirtRange,
    rights: Rights,
) -> Result<(), MapError> {
    spots(
        window,
        root,
        Level::Pml4,
        Entry::UNRESTRICTED,
        range,
        &mut |spot| match spot.leaf {
            None => Err(MapError::NotMapped(spot.virt.start())),
            Some(_) if !spot.above.allows(rights) => Err(MapError::Restricted(spot.virt.start())),
            Some(_) => Ok(()),
        },
    )
}

/// How many tables it takes to split the leaves that `range` cuts, as far as they `matter`.
pub(super) fn tables_to_cut<W: Window>(
    window: &W,
    root: Table,
    range: VirtRange,
    matters: impl Fn(Entry) -> bool,
) -> u64 {
    let mut tables = 0;
    let counted: Result<(), Infallible> = spots(
        window,
        root,
        Level::Pml4,
        Entry::UNRESTRICTED,
        range,
        &mut |spot| {
            if spot.leaf.is_some_and(&matters) {
                tables += tables_to_split(spot.level, spot.virt);
            }
            Ok(())
        },
    );
    let Ok(()) = counted;
    tables
}

/// How many tables it takes to put other memory behind `range`, which is all mapped.
pub(super) fn tables_to_replace<W: Window>(
    window: &W,
    root: Table,
    range: VirtRange,
    target: Target,
) -> u64 {
    let mut tables = 0;
    let counted: Result<(), Infallible> = spots(
        window,
        root,
        Level::Pml4,
        Entry::UNRESTRICTED,
        range,
        &mut |spot| {
            if spot.leaf.is_some() {
                let target = target.of_piece(spot.virt, range);
                tables += tables_to_refine(spot.level, spot.virt, target);
            }
            Ok(())
        },
    );
    let Ok(()) = counted;
    tables
}

/// How many tables it takes until leaves fit that map `piece`, for which there is one of `level`.
fn tables_to_refine(level: Level, piece: VirtRange, target: Target) -> u64 {
    match level.below() {
        Some(below) if !level.leaf_fits(piece, target.start, target.largest) => {
            let parts = below.pieces(piece);
            1 + parts
                .map(|part| tables_to_refine(below, part, target.of_piece(part, piece)))
                .sum::<u64>()
        }
        _ => 0,
    }
}

/// How many tables it takes to split a leaf of `level`, so that `piece` of it is made of whole leaves.
fn tables_to_split(level: Level, piece: VirtRange) -> u64 {
    match level.below() {
        Some(below) if !level.is_whole(piece) => {
            1 + below
                .pieces(piece)
                .map(|part| tables_to_split(below, part))
                .sum::<u64>()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::virt::VirtAddr;

    #[test]
    fn a_cut_takes_one_table_for_each_leaf_it_goes_through() {
        const MIB: u64 = 1 << 20;
        let tables = |start: u64, end: u64| {
            let piece = VirtRange::new(VirtAddr::new(start).unwrap(), end - start).unwrap();
            tables_to_split(Level::DirectoryPointers, piece)
        };
        assert_eq!(tables(0, 1024 * MIB), 0);
        assert_eq!(tables(0, 2 * MIB), 1);
        assert_eq!(tables(0, 4096), 2);
        assert_eq!(tables(4096, 1024 * MIB - 4096), 3);
        assert_eq!(tables(4096, 8192), 2);
        assert_eq!(tables(2 * MIB - 4096, 2 * MIB + 4096), 3);
    }
}
