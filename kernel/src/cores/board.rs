//! How cores agree that a translation has been forgotten.
//!
//! A core that changes page tables (one at a time posts: it holds the lock for that) *posts* what the
//! others must forget under a new number, interrupts them, and waits until the record of each shows
//! that number. A core that is interrupted looks at the number. If it is not the last one that it
//! has carried out, it forgets what is posted, and writes the number into its record.
//!
//! Invariants:
//! - the posted leaves change only while every core that takes part has carried out the last number,
//!   so nobody reads them meanwhile;
//! - a core that *joins* says so first, and then forgets everything. A change either sees it, and
//!   waits for it; or was complete before the core forgot.
//!
//! The receiving side runs as assembly ([`shootdown`](super::shootdown)); [`Board::answer`] is the
//! same in Rust, for those who read it and for the tests.
//!
//! Nothing here touches the CPU. The tests explore all interleavings, with a model of the TLB.

use super::sync::{AtomicU64, Ordering, fence};
use core::mem::offset_of;

/// What to forget.
#[derive(Debug)]
pub enum Forget<'a> {
    /// These leaves, by an address in each; and all upper entries.
    Leaves(&'a [AtomicU64]),
    /// Everything.
    Everything,
}

/// A change that all cores must hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// Its number.
    pub number: u64,
    /// Who takes part, a bit each, the caller among them.
    pub cores: u64,
}

/// What all cores are to forget: up to `FEW` leaves one by one, or everything at once.
#[repr(C)]
#[derive(Debug)]
pub struct Board<const FEW: usize> {
    /// Of the last change.
    pub(super) number: AtomicU64,
    /// How many leaves it is about; more than `FEW` means everything.
    pub(super) count: AtomicU64,
    /// An address in each.
    pub(super) leaves: [AtomicU64; FEW],
}

impl<const FEW: usize> Board<FEW> {
    /// Where the number lies, for assembly.
    pub const NUMBER: usize = offset_of!(Self, number);
    /// Where the count lies, for assembly.
    pub const COUNT: usize = offset_of!(Self, count);
    /// Where the addresses lie, for assembly.
    pub const LEAVES: usize = offset_of!(Self, leaves);

    /// Posts what the others must forget; `None` is everything. Of the cores in `online`, those that
    /// are returned must carry it out before memory is used again.
    ///
    /// The page tables have been changed. The caller is the only one that posts, and has waited for
    /// the number before, with the cores that it was told then.
    // ANCHOR: post
    pub fn post(
        &self,
        leaves: Option<impl ExactSizeIterator<Item = u64>>,
        online: &AtomicU64,
    ) -> Posted {
        let count = match leaves {
            Some(leaves) if leaves.len() <= FEW => {
                let count = leaves.len();
                for (place, leaf) in self.leaves.iter().zip(leaves) {
                    place.store(leaf, Ordering::Relaxed);
                }
                count
            }
            _ => FEW + 1,
        };
        self.count.store(count as u64, Ordering::Relaxed);
        let number = self.number.load(Ordering::Relaxed) + 1;
        self.number.store(number, Ordering::Release);
        // The change of the tables comes before this look at who takes part; in `join` it is the
        // other way round. So one of the two sees the other.
        fence(Ordering::SeqCst);
        Posted {
            number,
            cores: online.load(Ordering::Relaxed),
        }
    }
    // ANCHOR_END: post

    /// Whether the core with this record has carried out the number.
    pub fn is_done(&self, number: u64, flushed: &AtomicU64) -> bool {
        flushed.load(Ordering::Acquire) >= number
    }

    /// Carries out what is posted, if the core with this record has not yet.
    pub fn answer(&self, flushed: &AtomicU64, forget: impl FnOnce(Forget<'_>)) {
        let number = self.number.load(Ordering::Acquire);
        if number == flushed.load(Ordering::Relaxed) {
            return;
        }
        let count = self.count.load(Ordering::Relaxed);
        let few = usize::try_from(count)
            .ok()
            .and_then(|count| self.leaves.get(..count));
        forget(few.map_or(Forget::Everything, Forget::Leaves));
        flushed.store(number, Ordering::Release);
    }

    /// Makes a core with this record one of those that take part. It is not interrupted meanwhile.
    pub fn join(
        &self,
        online: &AtomicU64,
        bit: u64,
        flushed: &AtomicU64,
        forget_everything: impl FnOnce(),
    ) {
        online.fetch_or(bit, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let number = self.number.load(Ordering::Acquire);
        forget_everything();
        flushed.store(number, Ordering::Release);
    }
}
