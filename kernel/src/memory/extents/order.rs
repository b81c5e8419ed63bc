//! The two orders that extents are kept in, and what a subtree knows about itself.

use core::cmp::Ordering;

use phyr::{Phyr, PhysAddr};

use super::node::{Branch, Node, NodeAt, Nodes};
use crate::memory::window::Window;

/// An order of the extents: one tree through all records.
pub(super) trait Order {
    /// Which comes first.
    fn compare(a: Phyr, b: Phyr) -> Ordering;
    /// The links of this order's tree.
    fn branch(node: &Node) -> &Branch;
    /// The links of this order's tree, to be changed.
    fn branch_mut(node: &mut Node) -> &mut Branch;
    /// Brings up to date what the record at `at` says about the subtree below it. The subtrees of
    /// its children are up to date.
    fn summarize<W: Window>(nodes: &mut Nodes<W>, at: NodeAt);
}

/// By address.
pub(super) enum ByAddress {}

impl Order for ByAddress {
    fn compare(a: Phyr, b: Phyr) -> Ordering {
        a.addr().cmp(&b.addr())
    }

    fn branch(node: &Node) -> &Branch {
        &node.by_address
    }

    fn branch_mut(node: &mut Node) -> &mut Branch {
        &mut node.by_address
    }

    fn summarize<W: Window>(_: &mut Nodes<W>, _: NodeAt) {}
}

/// By length, and among equals by address.
pub(super) enum BySize {}

impl Order for BySize {
    fn compare(a: Phyr, b: Phyr) -> Ordering {
        (a.len(), a.addr()).cmp(&(b.len(), b.addr()))
    }

    fn branch(node: &Node) -> &Branch {
        &node.by_size
    }

    fn branch_mut(node: &mut Node) -> &mut Branch {
        &mut node.by_size
    }

    fn summarize<W: Window>(nodes: &mut Nodes<W>, at: NodeAt) {
        let mut summary = Summary::of_extent(nodes.extent(at));
        let Branch { left, right, .. } = *Self::branch(nodes.get(at));
        for child in [left, right].into_iter().flatten() {
            summary.include(&nodes.get(child).summary);
        }
        nodes.get_mut(at).summary = summary;
    }
}

/// What some extents have to offer to a request: an upper bound, as one extent need not have the
/// best of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Summary {
    /// The lowest address of them.
    lowest: u64,
    /// For each alignment from 2^[`FINEST`] to 2^[`COARSEST`]: how many bytes the longest range
    /// has that starts so aligned.
    reach: [u64; ALIGNMENTS],
}

/// Each extent is aligned to pages: log2 of [`PAGE`](crate::memory::window::PAGE).
const FINEST: u32 = 12;
/// Log2 of the largest page, 1 GiB. Requests aligned to more find this bound less sharp.
const COARSEST: u32 = 30;
const ALIGNMENTS: usize = (COARSEST - FINEST + 1) as usize;

impl Summary {
    /// What one extent offers.
    pub(super) fn of_extent(extent: Phyr) -> Self {
        let start = extent.addr().get();
        let mut reach = [0; ALIGNMENTS];
        for (reach, align) in reach.iter_mut().zip(FINEST..) {
            // To the next multiple of the alignment: no overflow, as physical addresses are short.
            let skipped = start.wrapping_neg() & ((1 << align) - 1);
            *reach = extent.len().saturating_sub(skipped);
        }
        Self {
            lowest: start,
            reach,
        }
    }

    /// Adds what `other` offers.
    pub(super) fn include(&mut self, other: &Self) {
        self.lowest = self.lowest.min(other.lowest);
        for (reach, other) in self.reach.iter_mut().zip(&other.reach) {
            *reach = (*reach).max(*other);
        }
    }

    /// Whether one of the extents may have `len` bytes at a multiple of `align`, all below `limit`.
    pub(super) fn may_serve(&self, len: u64, align: u64, limit: Option<PhysAddr>) -> bool {
        let class = align.ilog2().clamp(FINEST, COARSEST) - FINEST;
        let lowest = PhysAddr::new(self.lowest).align_up(align);
        let end = lowest.and_then(|start| start.checked_add(len));
        self.reach[class as usize] >= len
            && limit.is_none_or(|limit| end.is_some_and(|end| end <= limit))
    }
}
