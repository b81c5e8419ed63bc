//! The record of a free extent, and the memory it lies in.
//!
//! This file has all the allocator's unsafe code that touches memory. The argument for it rests
//! on one type: a [`Free`] is memory that belongs to the allocator alone. Planting an extent
//! ([`Nodes::sow`]) consumes one and puts a record there, lifting it ([`Nodes::reap`]) gives it
//! back. In between, the record is reached by its [`NodeAt`], which nobody but `sow` makes.
//! What the trees have to keep is this: a `NodeAt` is not used after it was reaped.

use core::num::NonZeroU64;

use phyr::{Phyr, PhysAddr};

use super::order::Summary;
use crate::memory::window::{PAGE, Window};

/// Where a record lies: the address of a free extent.
///
/// The address is a multiple of [`PAGE`], so its lowest bit is free to say "not null".
/// That makes an absent link a zero, at no cost in space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeAt(NonZeroU64);

impl NodeAt {
    /// The address of the extent.
    pub(super) const fn addr(self) -> PhysAddr {
        PhysAddr::new(self.0.get() & !1)
    }
}

// ANCHOR: node
/// What lies at the start of a free extent.
#[repr(C)]
pub(super) struct Node {
    /// How many bytes are free from here on.
    len: u64,
    /// The record's place in the tree ordered by address.
    pub(super) by_address: Branch,
    /// The record's place in the tree ordered by length.
    pub(super) by_size: Branch,
    /// What the subtree below here has to offer, in the tree ordered by length.
    pub(super) summary: Summary,
}
// ANCHOR_END: node

const _: () = assert!(size_of::<Node>() <= PAGE as usize && align_of::<Node>() <= PAGE as usize);

/// A place in one of the trees.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Branch {
    /// What comes before.
    pub(super) left: Option<NodeAt>,
    /// What comes after.
    pub(super) right: Option<NodeAt>,
    /// The longest way down to a leaf, in records; a leaf has 1.
    pub(super) height: u64,
}

impl Branch {
    const LEAF: Self = Self {
        left: None,
        right: None,
        height: 1,
    };
}

/// Memory that the allocator owns and that no record lies in.
pub(super) struct Free(Phyr);

impl Free {
    /// Vouches for `range`.
    ///
    /// # Safety
    ///
    /// `range` is made of whole pages which the window covers. No other `Free`, no record and
    /// nobody outside the allocator has any of it.
    pub(super) const unsafe fn vouch(range: Phyr) -> Self {
        Self(range)
    }

    /// Which memory this is.
    pub(super) const fn range(&self) -> Phyr {
        self.0
    }

    /// This memory and `next`, which must start where this ends. (Otherwise `next` is lost.)
    pub(super) fn join(self, next: Self) -> Self {
        let joined = self.0.try_merge(next.0);
        debug_assert!(joined.is_ok(), "{} and {} do not touch", self.0, next.0);
        Self(joined.unwrap_or(self.0))
    }

    /// Gives up `place` and keeps what lies before and after it.
    pub(super) fn without(self, place: Phyr) -> (Option<Self>, Option<Self>) {
        debug_assert!(self.0.contains(place), "{place} is not in {}", self.0);
        let before = place
            .addr()
            .offset_from(self.0.addr())
            .and_then(|len| self.0.sub(0, len));
        let after = place
            .last()
            .checked_add(1)
            .and_then(|end| Phyr::from_inclusive(end, self.0.last()).ok());
        (before.map(Self), after.map(Self))
    }
}

/// The records, reached through the window.
pub(super) struct Nodes<W> {
    window: W,
}

impl<W> Nodes<W> {
    pub(super) const fn new(window: W) -> Self {
        Self { window }
    }
}

impl<W: Window> Nodes<W> {
    pub(super) const fn window(&self) -> &W {
        &self.window
    }

    /// Puts a record into `free`. It is in no tree yet.
    pub(super) fn sow(&mut self, free: Free) -> NodeAt {
        let range = free.range();
        let node = Node {
            len: range.len(),
            by_address: Branch::LEAF,
            by_size: Branch::LEAF,
            summary: Summary::of_extent(range),
        };
        let record = self.window.pointer(range.addr()).cast::<Node>();
        // SAFETY: the window covers `range` (`Free::vouch`), so the pointer is valid for the page
        // and aligned like it; a `Node` is no larger. Nobody else has the memory.
        unsafe { record.write(node) };
        NodeAt(NonZeroU64::MIN | range.addr().get())
    }

    /// Takes the memory back from the record at `at`, which is in no tree any more.
    pub(super) fn reap(&mut self, at: NodeAt) -> Free {
        let range = self.extent(at);
        // SAFETY: this is the range that `sow` got as a `Free`, and the record ends here.
        unsafe { Free::vouch(range) }
    }

    /// The record at `at`.
    pub(super) fn get(&self, at: NodeAt) -> &Node {
        let record = self.window.pointer(at.addr()).cast::<Node>();
        // SAFETY: `sow` wrote a `Node` there. Only `get_mut` makes a way to change it, and that
        // borrows `self` alone.
        unsafe { record.as_ref() }
    }

    /// The record at `at`, to be changed.
    pub(super) fn get_mut(&mut self, at: NodeAt) -> &mut Node {
        let mut record = self.window.pointer(at.addr()).cast::<Node>();
        // SAFETY: as in `get`; that `self` is borrowed mutably excludes every other reference.
        unsafe { record.as_mut() }
    }

    /// The extent whose record lies at `at`.
    pub(super) fn extent(&self, at: NodeAt) -> Phyr {
        let len = self.get(at).len;
        Phyr::new(at.addr(), len).expect("a record was made from a phyr")
    }
}
