//! Reading the tables: from a virtual range to the leaves in it.

use phyr::Phyr;

use super::entry::{Content, Entry};
use super::level::Level;
use super::rights::{Cache, Rights};
use super::table::Table;
use crate::memory::virt::VirtRange;
use crate::memory::window::Window;

/// What one leaf maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The addresses; of a leaf that the question cuts, those that were asked for.
    pub virt: VirtRange,
    /// The memory behind them, as long as they are.
    pub phyr: Phyr,
    /// How many bytes the leaf maps altogether: 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// What may be done, all entries on the way down considered. Nothing here stands for
    /// "writable and executable", which only someone else's tables can say.
    pub rights: Option<Rights>,
    /// Whether programs in ring 3 may use it too, and then the kernel may not.
    pub user: bool,
    /// How accesses are cached; nothing if it is a way that has no name here.
    pub cache: Option<Cache>,
}

/// How many leaves there are of each size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeafCount {
    /// Leaves of 1 GiB.
    pub gib_1: u64,
    /// Leaves of 2 MiB.
    pub mib_2: u64,
    /// Leaves of 4 KiB.
    pub kib_4: u64,
}

impl LeafCount {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.gib_1 + self.mib_2 + self.kib_4
    }

    /// Counts one more.
    pub(super) const fn add(&mut self, leaf: Leaf) {
        match leaf.size {
            size if size == Level::Table.span() => self.kib_4 += 1,
            size if size == Level::Directory.span() => self.mib_2 += 1,
            _ => self.gib_1 += 1,
        }
    }
}

/// Shows `see` all of `range` below the table `root`, in order: parts that a leaf maps, with the
/// leaf, and parts that nothing maps. Stops at the first error of `see`.
pub(super) fn leaves<W: Window, E>(
    window: &W,
    root: Table,
    range: VirtRange,
    see: &mut impl FnMut(VirtRange, Option<Leaf>) -> Result<(), E>,
) -> Result<(), E> {
    spots(
        window,
        root,
        Level::Pml4,
        Entry::UNRESTRICTED,
        range,
        &mut |spot| {
            see(
                spot.virt,
                spot.leaf.map(|entry| Leaf {
                    virt: spot.virt,
                    phyr: spot.phyr(entry),
                    size: spot.level.span(),
                    rights: entry.restricted_by(spot.above).rights(),
                    user: entry.restricted_by(spot.above).is_for_user(),
                    cache: entry.cache(spot.level),
                }),
            )
        },
    )
}

/// A place in the tables where the way down ends.
pub(super) struct Spot {
    /// The addresses, cut to what was asked for.
    pub(super) virt: VirtRange,
    /// The level of the table.
    pub(super) level: Level,
    /// The leaf, if there is one.
    pub(super) leaf: Option<Entry>,
    /// What the entries above allow.
    pub(super) above: Entry,
}

impl Spot {
    /// The memory that the leaf `entry` of this spot maps to the addresses.
    fn phyr(&self, entry: Entry) -> Phyr {
        let whole = Phyr::new(entry.memory(self.level), self.level.span());
        let part = whole
            .ok()
            .and_then(|whole| whole.sub(self.level.offset(self.virt.start()), self.virt.len()));
        part.expect("an entry's 52 address bits and a part of its span are a phyr")
    }
}

/// Shows `see` where the way down from `table` ends, for all of `range`, which the table covers.
pub(super) fn spots<W: Window, E>(
    window: &W,
    table: Table,
    level: Level,
    above: Entry,
    range: VirtRange,
    see: &mut impl FnMut(Spot) -> Result<(), E>,
) -> Result<(), E> {
    for virt in level.pieces(range) {
        let entry = table.get(window, level.index(virt.start()));
        match entry.content(level) {
            Content::Empty => see(Spot {
                virt,
                level,
                leaf: None,
                above,
            })?,
            Content::Leaf => see(Spot {
                virt,
                level,
                leaf: Some(entry),
                above,
            })?,
            Content::Table(table, below) => {
                // Of the entry above, only its rights matter.
                spots(window, table, below, entry.restricted_by(above), virt, see)?;
            }
        }
    }
    Ok(())
}
