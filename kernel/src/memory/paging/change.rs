//! Writing the tables, after the plan has found that nothing is in the way.

use core::iter;

use super::entry::{Content, Entry};
use super::flush::Flush;
use super::level::{ENTRIES, Level};
use super::plan::Target;
use super::rights::Rights;
use super::table::{Chain, Table};
use crate::memory::virt::VirtRange;
use crate::memory::window::Window;

/// A change in progress: it cannot fail any more.
pub(super) struct Change<'a, W, T> {
    window: &'a W,
    flush: &'a mut T,
    /// Whether the hook knows of a leaf.
    reported: bool,
    /// The tables that the plan asked for.
    spare: Chain,
    /// Tables that are not in the tree any more, but that a CPU may remember.
    retired: Chain,
}

impl<'a, W: Window, T: Flush> Change<'a, W, T> {
    pub(super) const fn new(window: &'a W, flush: &'a mut T, spare: Chain) -> Self {
        Self {
            window,
            flush,
            reported: false,
            spare,
            retired: Chain::new(),
        }
    }

    /// Completes the change: no CPU remembers anything of the old state. Returns the
    /// tables that were not needed, and those that are not needed any more.
    pub(super) fn settle(self) -> (Chain, Chain) {
        if self.reported {
            self.flush.settle();
        }
        (self.spare, self.retired)
    }

    /// Maps `range`, which `table` covers and where nothing is mapped, to `target`.
    pub(super) fn map(&mut self, table: Table, level: Level, range: VirtRange, target: Target) {
        for piece in level.pieces(range) {
            let target = target.of_piece(piece, range);
            let index = level.index(piece.start());
            match (table.get(self.window, index).content(level), level.below()) {
                (Content::Table(table, below), _) => self.map(table, below, piece, target),
                (_, Some(below)) if !level.leaf_fits(piece, target.start, target.largest) => {
                    let new = self.new_table(iter::repeat_n(Entry::EMPTY, ENTRIES));
                    self.map(new, below, piece, target);
                    table.set(self.window, index, target.table(new));
                }
                _ => table.set(self.window, index, target.leaf(level)),
            }
        }
    }

    /// Unmaps `range`, which `table` covers and which is all mapped. Tables below it that
    /// become empty are retired.
    pub(super) fn unmap(&mut self, table: Table, level: Level, range: VirtRange) {
        for piece in level.pieces(range) {
            let index = level.index(piece.start());
            let Some((next, below)) = self.open(table, level, piece) else {
                table.set(self.window, index, Entry::EMPTY);
                self.report(piece);
                continue;
            };
            self.unmap(next, below, piece);
            if next.is_empty(self.window) {
                table.set(self.window, index, Entry::EMPTY);
                self.retired.push(self.window, next);
            }
        }
    }

    /// Gives `range`, which `table` covers and which is all mapped, those rights.
    pub(super) fn protect(&mut self, table: Table, level: Level, range: VirtRange, rights: Rights) {
        for piece in level.pieces(range) {
            let index = level.index(piece.start());
            let entry = table.get(self.window, index);
            if matches!(entry.content(level), Content::Leaf) && entry.rights() == Some(rights) {
                continue;
            }
            if let Some((next, below)) = self.open(table, level, piece) {
                self.protect(next, below, piece, rights);
            } else {
                // The CPU may set the dirty bit meanwhile, and lose it here. Nobody reads it.
                table.set(self.window, index, entry.with_rights(rights));
                self.report(piece);
            }
        }
    }

    /// Puts other memory behind `range`, which `table` covers and which is all mapped. A leaf becomes
    /// another one in one step: there is no moment at which nothing is mapped.
    pub(super) fn replace(&mut self, table: Table, level: Level, range: VirtRange, target: Target) {
        for piece in level.pieces(range) {
            let target = target.of_piece(piece, range);
            let index = level.index(piece.start());
            let entry = table.get(self.window, index);
            let way = match (entry.content(level), level.below()) {
                (Content::Table(next, below), _) => Some((next, below)),
                (Content::Leaf, Some(below))
                    if !level.leaf_fits(piece, target.start, target.largest) =>
                {
                    self.split(table, level, piece, below)
                }
                _ => None,
            };
            if let Some((next, below)) = way {
                self.replace(next, below, piece, target);
            } else {
                table.set(self.window, index, target.leaf(level));
                self.report(piece);
            }
        }
    }

    /// The table below the entry of `table` that covers `piece`, if the way goes on there. A leaf
    /// of which `piece` is only a part becomes such a table.
    fn open(&mut self, table: Table, level: Level, piece: VirtRange) -> Option<(Table, Level)> {
        let entry = table.get(self.window, level.index(piece.start()));
        match (entry.content(level), level.below()) {
            (Content::Table(next, below), _) => Some((next, below)),
            (Content::Leaf, Some(below)) if !level.is_whole(piece) => {
                self.split(table, level, piece, below)
            }
            _ => None,
        }
    }

    /// Makes a table of the level `below` of the leaf in `table` that covers `piece`. It maps the same.
    fn split(
        &mut self,
        table: Table,
        level: Level,
        piece: VirtRange,
        below: Level,
    ) -> Option<(Table, Level)> {
        let index = level.index(piece.start());
        let entry = table.get(self.window, index);
        let parts = self.new_table(entry.split(level)?);
        let way = Entry::table(parts);
        let way = if entry.is_for_user() {
            way.for_user()
        } else {
            way
        };
        table.set(self.window, index, way);
        // Until it is flushed, a CPU may use the old leaf or the parts: they say the same.
        self.report(piece);
        Some((parts, below))
    }

    fn report(&mut self, leaf: VirtRange) {
        self.reported = true;
        self.flush.leaf(leaf);
    }

    /// A table of the supply, with those entries.
    fn new_table(&mut self, entries: impl IntoIterator<Item = Entry>) -> Table {
        let table = self
            .spare
            .pop(self.window)
            .expect("the plan counted the tables");
        table.fill(self.window, entries);
        table
    }
}
