//! What each block may hold.
//!
//! While requests overlap, are repeated, given up or cut off, nobody can say which of several
//! contents a block has. But it is one of them: what it held before, or what one of the
//! requests was to put there. The ledger keeps all that are possible, as numbers made of their
//! bytes, and strikes them out when a write succeeds with nobody else near, or when nothing is on
//! its way any more and the block can be looked at.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Contents of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content(u64);

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// For each block that anybody has asked for: what it may hold. Nothing is anything.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<(u32, u64), Vec<Content>>);

impl Ledger {
    /// Whether anybody has asked for the block.
    pub(super) fn knows(&self, nsid: u32, block: u64) -> bool {
        self.0.contains_key(&(nsid, block))
    }

    /// All blocks that anybody has asked for.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.keys().copied()
    }

    /// Those that may hold one of several things.
    pub(super) fn uncertain(&self) -> Vec<(u32, u64)> {
        let uncertain = self.0.iter().filter(|(_, known)| known.len() != 1);
        uncertain.map(|(place, _)| *place).collect()
    }

    /// From now on the block may hold this, too.
    pub(super) fn may_hold(&mut self, nsid: u32, block: u64, content: Content) {
        let known = self.0.entry((nsid, block)).or_default();
        if !known.is_empty() && !known.contains(&content) {
            known.push(content);
        }
    }

    /// From now on the block may hold anything.
    pub(super) fn may_hold_anything(&mut self, nsid: u32, block: u64) {
        self.0.insert((nsid, block), Vec::new());
    }

    /// From now on the block holds this.
    pub(super) fn holds(&mut self, nsid: u32, block: u64, content: Content) {
        self.0.insert((nsid, block), vec![content]);
    }

    /// What the block may hold.
    pub(super) fn of(&self, nsid: u32, block: u64) -> &[Content] {
        self.0.get(&(nsid, block)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn allows(&self, nsid: u32, block: u64, content: Content) -> bool {
        let known = self.of(nsid, block);
        known.is_empty() || known.contains(&content)
    }
}
