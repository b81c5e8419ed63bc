//! Making the CPUs forget translations.
//!
//! A CPU remembers translations (in its TLB) and upper entries (in its paging-structure caches),
//! and goes on using them after the tables have changed (SDM vol. 3, §4.10). That a translation
//! does *not* exist is never remembered, so mapping needs no flush; everything else does.

use x86_64::instructions::tlb;

use crate::memory::virt::{VirtAddr, VirtRange};

/// Makes every CPU that uses the tables forget what it remembers of them.
pub trait Flush {
    /// One leaf was there and has been removed, restricted or split. This may wait for
    /// [`settle`](Self::settle).
    fn leaf(&mut self, leaf: VirtRange);

    /// The change is complete. When this returns, no CPU uses any translation that was reported
    /// since the last call, nor an upper entry that it had read before this call.
    ///
    /// It is called once for each change that reported a leaf. After that, memory is freed.
    fn settle(&mut self);
}

/// How many leaves are flushed one by one; beyond that a CPU forgets everything at once.
///
/// Linux found 33 to be about the point where that becomes cheaper.
pub const FEW: usize = 32;

/// The TLB of the CPU that runs this: right for tables that no other CPU uses. For those of the
/// kernel there is [`cores::shootdown`](crate::cores).
#[derive(Debug)]
pub struct LocalTlb {
    pending: [VirtAddr; FEW],
    count: usize,
}

impl LocalTlb {
    /// A TLB for which nothing is pending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: [VirtRange::LOWER_HALF.start(); FEW],
            count: 0,
        }
    }

    /// The leaves to be flushed, unless they are too many.
    pub(crate) fn few(&self) -> Option<&[VirtAddr]> {
        self.pending.get(..self.count)
    }
}

impl Default for LocalTlb {
    fn default() -> Self {
        Self::new()
    }
}

impl Flush for LocalTlb {
    fn leaf(&mut self, leaf: VirtRange) {
        if let Some(place) = self.pending.get_mut(self.count) {
            *place = leaf.start();
        }
        self.count = self.count.saturating_add(1);
    }

    // All flushes are done here, when the upper entries have changed too: INVLPG also empties the
    // paging-structure caches, whatever its address (SDM vol. 3, §4.10.4.1).
    fn settle(&mut self) {
        match self.few() {
            Some(leaves) => leaves
                .iter()
                .for_each(|leaf| tlb::flush(x86_64::VirtAddr::new_truncate(leaf.get()))),
            None => tlb::flush_all(),
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_leaves_are_flushed_one_by_one_and_many_at_once() {
        let mut tlb = LocalTlb::new();
        assert_eq!(tlb.few(), Some(&[][..]));
        let pages: Vec<VirtRange> = VirtRange::UPPER_HALF
            .split_boundary(4096)
            .take(FEW)
            .collect();
        for (count, page) in pages.iter().enumerate() {
            assert_eq!(tlb.few().unwrap().len(), count);
            tlb.leaf(*page);
        }
        assert!(
            tlb.few().unwrap().iter().eq(pages
                .iter()
                .map(|page| page.start())
                .collect::<Vec<_>>()
                .iter())
        );
        tlb.leaf(pages[0]);
        assert_eq!(tlb.few(), None);
    }
}
