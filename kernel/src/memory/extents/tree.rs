//! An AVL tree through the records of the free extents.
//!
//! The heights of two sibling subtrees differ by at most one. After each change, every record on
//! the way back to the root restores that with at most two rotations, and brings its height and
//! its summary up to date; there is no other bookkeeping. The recursion is as deep as the tree is
//! high: with 4 096 extents at most 16 calls, with four billion at most 46.

use core::cmp::Ordering;
use core::marker::PhantomData;

use phyr::PhysAddr;

use super::node::{Branch, NodeAt, Nodes};
use super::order::{ByAddress, Order};
use crate::memory::window::Window;

/// All extents in the order `O`.
pub(super) struct Tree<O> {
    root: Option<NodeAt>,
    order: PhantomData<O>,
}

impl<O> Tree<O> {
    pub(super) const fn new() -> Self {
        Self {
            root: None,
            order: PhantomData,
        }
    }

    pub(super) const fn root(&self) -> Option<NodeAt> {
        self.root
    }
}

impl<O: Order> Tree<O> {
    /// Adds the record `new`, which is in no tree of this order.
    pub(super) fn insert<W: Window>(&mut self, nodes: &mut Nodes<W>, new: NodeAt) {
        self.root = Some(insert::<O, W>(nodes, self.root, new));
    }

    /// Takes the record `gone` out. Its extent has not changed since it was added.
    pub(super) fn remove<W: Window>(&mut self, nodes: &mut Nodes<W>, gone: NodeAt) {
        self.root = remove::<O, W>(nodes, self.root, gone);
    }

    /// The last record of the order.
    pub(super) fn last<W: Window>(&self, nodes: &Nodes<W>) -> Option<NodeAt> {
        let mut here = self.root?;
        while let Some(right) = branch::<O, W>(nodes, here).right {
            here = right;
        }
        Some(here)
    }
}

impl Tree<ByAddress> {
    /// The extent that starts at `addr` or, if there is none, the next one below.
    pub(super) fn last_at_or_below<W: Window>(
        &self,
        nodes: &Nodes<W>,
        addr: PhysAddr,
    ) -> Option<NodeAt> {
        let (mut found, mut next) = (None, self.root);
        while let Some(here) = next {
            let Branch { left, right, .. } = branch::<ByAddress, W>(nodes, here);
            (found, next) = if here.addr() <= addr {
                (Some(here), right)
            } else {
                (found, left)
            };
        }
        found
    }

    /// The extent that starts at `addr` or, if there is none, the next one above.
    pub(super) fn first_at_or_above<W: Window>(
        &self,
        nodes: &Nodes<W>,
        addr: PhysAddr,
    ) -> Option<NodeAt> {
        let (mut found, mut next) = (None, self.root);
        while let Some(here) = next {
            let Branch { left, right, .. } = branch::<ByAddress, W>(nodes, here);
            (found, next) = if here.addr() >= addr {
                (Some(here), left)
            } else {
                (found, right)
            };
        }
        found
    }
}

/// Two subtrees whose heights differ by no more than this are balanced.
pub(super) const SLACK: u64 = 1;

/// The links of the record at `at`.
fn branch<O: Order, W: Window>(nodes: &Nodes<W>, at: NodeAt) -> Branch {
    *O::branch(nodes.get(at))
}

/// The links of the record at `at`, to be changed.
fn links<O: Order, W: Window>(nodes: &mut Nodes<W>, at: NodeAt) -> &mut Branch {
    O::branch_mut(nodes.get_mut(at))
}

/// The height of a subtree; an absent one has none.
pub(super) fn height<O: Order, W: Window>(nodes: &Nodes<W>, root: Option<NodeAt>) -> u64 {
    root.map_or(0, |root| branch::<O, W>(nodes, root).height)
}

/// The subtree `root` with `new` added; its new root.
fn insert<O: Order, W: Window>(nodes: &mut Nodes<W>, root: Option<NodeAt>, new: NodeAt) -> NodeAt {
    let Some(here) = root else {
        links::<O, W>(nodes, new).left = None;
        links::<O, W>(nodes, new).right = None;
        refresh::<O, W>(nodes, new);
        return new;
    };
    let Branch { left, right, .. } = branch::<O, W>(nodes, here);
    if O::compare(nodes.extent(new), nodes.extent(here)) == Ordering::Less {
        let left = insert::<O, W>(nodes, left, new);
        links::<O, W>(nodes, here).left = Some(left);
    } else {
        let right = insert::<O, W>(nodes, right, new);
        links::<O, W>(nodes, here).right = Some(right);
    }
    balance::<O, W>(nodes, here)
}

/// The subtree `root` with `gone` taken out; its new root, if anything is left.
fn remove<O: Order, W: Window>(
    nodes: &mut Nodes<W>,
    root: Option<NodeAt>,
    gone: NodeAt,
) -> Option<NodeAt> {
    let here = root?;
    let Branch { left, right, .. } = branch::<O, W>(nodes, here);
    match O::compare(nodes.extent(gone), nodes.extent(here)) {
        Ordering::Less => links::<O, W>(nodes, here).left = remove::<O, W>(nodes, left, gone),
        Ordering::Greater => links::<O, W>(nodes, here).right = remove::<O, W>(nodes, right, gone),
        Ordering::Equal => {
            let Some(right) = right else { return left };
            // The next in order takes the place of what goes.
            let (heir, rest) = remove_first::<O, W>(nodes, right);
            let place = links::<O, W>(nodes, heir);
            (place.left, place.right) = (left, rest);
            return Some(balance::<O, W>(nodes, heir));
        }
    }
    Some(balance::<O, W>(nodes, here))
}

/// The first record of the subtree `root`, and the root of what is left without it.
fn remove_first<O: Order, W: Window>(
    nodes: &mut Nodes<W>,
    root: NodeAt,
) -> (NodeAt, Option<NodeAt>) {
    let Branch { left, right, .. } = branch::<O, W>(nodes, root);
    let Some(left) = left else {
        return (root, right);
    };
    let (first, rest) = remove_first::<O, W>(nodes, left);
    links::<O, W>(nodes, root).left = rest;
    (first, Some(balance::<O, W>(nodes, root)))
}

/// Makes the subtree `root` balanced again, after one of its two subtrees, which are themselves
/// balanced, grew or shrank by one; its new root.
fn balance<O: Order, W: Window>(nodes: &mut Nodes<W>, root: NodeAt) -> NodeAt {
    let Branch { left, right, .. } = branch::<O, W>(nodes, root);
    let (left_height, right_height) = (height::<O, W>(nodes, left), height::<O, W>(nodes, right));
    match (left, right) {
        (Some(left), _) if left_height > right_height + SLACK => {
            // The outer grandchild must carry the height, as a rotation lifts only that one.
            let below = branch::<O, W>(nodes, left);
            if height::<O, W>(nodes, below.right) > height::<O, W>(nodes, below.left) {
                let lifted = rotate_left::<O, W>(nodes, left);
                links::<O, W>(nodes, root).left = Some(lifted);
            }
            rotate_right::<O, W>(nodes, root)
        }
        (_, Some(right)) if right_height > left_height + SLACK => {
            let below = branch::<O, W>(nodes, right);
            if height::<O, W>(nodes, below.left) > height::<O, W>(nodes, below.right) {
                let lifted = rotate_right::<O, W>(nodes, right);
                links::<O, W>(nodes, root).right = Some(lifted);
            }
            rotate_left::<O, W>(nodes, root)
        }
        _ => {
            refresh::<O, W>(nodes, root);
            root
        }
    }
}

/// Lifts the right child of `root` above it; the new root. Without a right child nothing happens.
fn rotate_left<O: Order, W: Window>(nodes: &mut Nodes<W>, root: NodeAt) -> NodeAt {
    let Some(lifted) = branch::<O, W>(nodes, root).right else {
        return root;
    };
    links::<O, W>(nodes, root).right = branch::<O, W>(nodes, lifted).left;
    links::<O, W>(nodes, lifted).left = Some(root);
    refresh::<O, W>(nodes, root);
    refresh::<O, W>(nodes, lifted);
    lifted
}

/// Lifts the left child of `root` above it; the new root. Without a left child nothing happens.
fn rotate_right<O: Order, W: Window>(nodes: &mut Nodes<W>, root: NodeAt) -> NodeAt {
    let Some(lifted) = branch::<O, W>(nodes, root).left else {
        return root;
    };
    links::<O, W>(nodes, root).left = branch::<O, W>(nodes, lifted).right;
    links::<O, W>(nodes, lifted).right = Some(root);
    refresh::<O, W>(nodes, root);
    refresh::<O, W>(nodes, lifted);
    lifted
}

/// Brings height and summary of `at` up to date; those of its children are.
fn refresh<O: Order, W: Window>(nodes: &mut Nodes<W>, at: NodeAt) {
    let Branch { left, right, .. } = branch::<O, W>(nodes, at);
    let height = height::<O, W>(nodes, left).max(height::<O, W>(nodes, right)) + 1;
    links::<O, W>(nodes, at).height = height;
    O::summarize(nodes, at);
}
