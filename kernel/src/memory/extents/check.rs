//! The allocator's invariants, checked from outside the code that keeps them.

use core::cmp::Ordering;
use core::error::Error;
use core::fmt;

use phyr::Phyr;

use super::ExtentAllocator;
use super::node::{Branch, NodeAt, Nodes};
use super::order::{ByAddress, BySize, Order, Summary};
use super::tree::{SLACK, height};
use crate::memory::window::{PAGE, Window};

/// An invariant that does not hold: the allocator has an error, or someone wrote to free memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A tree is not in its order here.
    Disordered(Phyr),
    /// The subtrees below this extent are not balanced, or its height is wrong.
    Unbalanced(Phyr),
    /// The extent misstates what the subtree below it has to offer.
    Misstated(Phyr),
    /// The extent is not made of whole pages that the window covers.
    Misplaced(Phyr),
    /// The extent overlaps or touches the one before it.
    Uncoalesced(Phyr),
    /// The two trees do not have the same extents, or the total is not their sum.
    Miscounted,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disordered(extent) => {
                write!(f, "a tree of free extents is not in order at {extent}")
            }
            Self::Unbalanced(extent) => {
                write!(f, "a tree of free extents is not balanced at {extent}")
            }
            Self::Misstated(extent) => write!(f, "the summary at {extent} is wrong"),
            Self::Misplaced(extent) => write!(f, "{extent} is no place for free memory"),
            Self::Uncoalesced(extent) => {
                write!(f, "{extent} is not separate from the free memory before it")
            }
            Self::Miscounted => f.write_str("the two trees of free extents do not agree"),
        }
    }
}

impl Error for Flaw {}

impl<W: Window> ExtentAllocator<W> {
    /// Verifies every invariant of the data structure, in time proportional to the number of free
    /// extents.
    ///
    /// # Errors
    ///
    /// The first flaw that was found.
    pub fn check(&self) -> Result<(), Flaw> {
        let mut by_address = Survey::new(&self.nodes);
        by_address.tree::<ByAddress>(self.by_address.root(), &|nodes, previous, at| {
            let extent = nodes.extent(at);
            if !extent.is_aligned(PAGE) || !nodes.window().covers(extent) {
                return Err(Flaw::Misplaced(extent));
            }
            // One byte more would have to be free to reach this extent.
            let apart = previous.is_none_or(|before| {
                before
                    .last()
                    .checked_add(1)
                    .is_some_and(|gap| gap < extent.addr())
            });
            if apart {
                Ok(())
            } else {
                Err(Flaw::Uncoalesced(extent))
            }
        })?;

        let mut by_size = Survey::new(&self.nodes);
        by_size.tree::<BySize>(self.by_size.root(), &|nodes, _, at| {
            let mut summary = Summary::of_extent(nodes.extent(at));
            let Branch { left, right, .. } = *BySize::branch(nodes.get(at));
            for child in [left, right].into_iter().flatten() {
                summary.include(&nodes.get(child).summary);
            }
            if summary == nodes.get(at).summary {
                Ok(())
            } else {
                Err(Flaw::Misstated(nodes.extent(at)))
            }
        })?;

        // Same number, same sum, same mixed sum: the same extents, as far as matters.
        let agree = by_address.totals() == by_size.totals() && by_address.bytes == self.free_bytes;
        if agree { Ok(()) } else { Err(Flaw::Miscounted) }
    }
}

/// What was seen of a tree so far.
struct Survey<'a, W> {
    nodes: &'a Nodes<W>,
    previous: Option<Phyr>,
    count: u64,
    bytes: u64,
    mixed: u64,
}

impl<'a, W: Window> Survey<'a, W> {
    const fn new(nodes: &'a Nodes<W>) -> Self {
        Self {
            nodes,
            previous: None,
            count: 0,
            bytes: 0,
            mixed: 0,
        }
    }

    const fn totals(&self) -> (u64, u64, u64) {
        (self.count, self.bytes, self.mixed)
    }

    /// Walks the subtree `root` in order, and asks `sound` about each record. It gets the extent
    /// before, too.
    fn tree<O: Order>(
        &mut self,
        root: Option<NodeAt>,
        sound: &impl Fn(&Nodes<W>, Option<Phyr>, NodeAt) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        let Some(at) = root else { return Ok(()) };
        let Branch {
            left,
            right,
            height: own_height,
        } = *O::branch(self.nodes.get(at));
        let extent = self.nodes.extent(at);
        let (left_height, right_height) = (
            height::<O, W>(self.nodes, left),
            height::<O, W>(self.nodes, right),
        );
        // Checked on the way down: it also bounds the recursion if links were overwritten.
        if own_height != left_height.max(right_height) + 1
            || left_height.abs_diff(right_height) > SLACK
        {
            return Err(Flaw::Unbalanced(extent));
        }
        self.tree::<O>(left, sound)?;
        if self
            .previous
            .is_some_and(|previous| O::compare(previous, extent) != Ordering::Less)
        {
            return Err(Flaw::Disordered(extent));
        }
        sound(self.nodes, self.previous, at)?;
        self.previous = Some(extent);
        self.count += 1;
        self.bytes = self.bytes.wrapping_add(extent.len());
        self.mixed = self
            .mixed
            .wrapping_add(extent.addr().get().wrapping_mul(extent.len() | 1));
        self.tree::<O>(right, sound)
    }
}
