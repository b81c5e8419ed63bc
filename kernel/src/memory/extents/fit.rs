//! What is asked of the allocator, and which extent answers best.

use phyr::{Phyr, PhysAddr};

use super::error::AllocError;
use super::node::{NodeAt, Nodes};
use super::order::{BySize, Order};
use super::tree::Tree;
use crate::memory::window::{PAGE, Window};

/// Which memory is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many bytes, in one piece: a multiple of 4096.
    pub len: u64,
    /// What the address must be a multiple of: a power of two. Less than 4096 means 4096.
    pub align: u64,
    /// If there is a limit, every byte must lie below it.
    pub below: Option<PhysAddr>,
}

impl Request {
    /// `len` bytes anywhere.
    #[must_use]
    pub const fn bytes(len: u64) -> Self {
        Self {
            len,
            align: PAGE,
            below: None,
        }
    }

    /// The same, at a multiple of `align`.
    #[must_use]
    pub const fn aligned(self, align: u64) -> Self {
        Self { align, ..self }
    }

    /// The same, with every byte below `limit`.
    #[must_use]
    pub const fn below(self, limit: PhysAddr) -> Self {
        Self {
            below: Some(limit),
            ..self
        }
    }

    /// The request in a form that the search relies on.
    pub(super) const fn check(self) -> Result<Want, AllocError> {
        if self.len == 0 {
            return Err(AllocError::ZeroLength);
        }
        if !self.len.is_multiple_of(PAGE) {
            return Err(AllocError::Unaligned);
        }
        if !self.align.is_power_of_two() {
            return Err(AllocError::BadAlignment(self.align));
        }
        let align = if self.align < PAGE { PAGE } else { self.align };
        Ok(Want(Self { align, ..self }))
    }
}

/// A request whose numbers make sense.
pub(super) struct Want(Request);

impl Want {
    /// The lowest place in `extent` that serves the request.
    fn place_in(&self, extent: Phyr) -> Option<Phyr> {
        let Request { len, align, below } = self.0;
        let place = Phyr::new(extent.addr().align_up(align)?, len).ok()?;
        let low_enough = below.is_none_or(|limit| place.last() < limit);
        (low_enough && extent.contains(place)).then_some(place)
    }
}

impl Tree<BySize> {
    /// The smallest extent that can serve (of several the lowest), and the place in it.
    pub(super) fn best_fit<W: Window>(
        &self,
        nodes: &Nodes<W>,
        want: &Want,
    ) -> Option<(NodeAt, Phyr)> {
        search(nodes, self.root(), want)
    }
}

/// The first extent of the subtree that can serve. The tree's order makes the first the best.
fn search<W: Window>(
    nodes: &Nodes<W>,
    root: Option<NodeAt>,
    want: &Want,
) -> Option<(NodeAt, Phyr)> {
    let here = root?;
    let node = nodes.get(here);
    let Request { len, align, below } = want.0;
    if !node.summary.may_serve(len, align, below) {
        return None;
    }
    let branch = BySize::branch(node);
    search(nodes, branch.left, want)
        .or_else(|| want.place_in(nodes.extent(here)).map(|place| (here, place)))
        .or_else(|| search(nodes, branch.right, want))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn place(request: Request, addr: u64, len: u64) -> Option<(u64, u64)> {
        let extent = Phyr::new(PhysAddr::new(addr), len).unwrap();
        request
            .check()
            .unwrap()
            .place_in(extent)
            .map(|place| (place.addr().get(), place.len()))
    }

    #[test]
    fn a_place_is_the_lowest_that_is_aligned_and_fits() {
        let two = Request::bytes(2 * MIB).aligned(2 * MIB);
        assert_eq!(place(two, 3 * MIB, 4 * MIB), Some((4 * MIB, 2 * MIB)));
        assert_eq!(place(two, 3 * MIB, 3 * MIB), Some((4 * MIB, 2 * MIB)));
        assert_eq!(place(two, 3 * MIB, 3 * MIB - PAGE), None);
        assert_eq!(place(two, 4 * MIB, 2 * MIB), Some((4 * MIB, 2 * MIB)));
    }

    #[test]
    fn a_limit_is_exclusive() {
        let below = |limit| Request::bytes(MIB).below(PhysAddr::new(limit));
        assert_eq!(place(below(2 * MIB), MIB, 8 * MIB), Some((MIB, MIB)));
        assert_eq!(place(below(2 * MIB - 1), MIB, 8 * MIB), None);
        assert_eq!(place(below(0), 0, 8 * MIB), None);
    }

    #[test]
    fn absurd_requests_have_no_place() {
        assert_eq!(
            place(Request::bytes(PAGE).aligned(1 << 63), PAGE, 8 * MIB),
            None
        );
        assert_eq!(place(Request::bytes(u64::MAX - 4095), PAGE, 8 * MIB), None);
    }
}
