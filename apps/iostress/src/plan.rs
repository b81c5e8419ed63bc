//! What is done, decided by a seed.
//!
//! Each worker has a plan of its own. The operations of a plan do not depend on how long anything
//! takes, so the same seed asks the same of the disk again.

use core::ops::Range;
use fastrand::Rng;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read, and check what was found.
    Read,
    /// Write a new generation.
    Write {
        /// It is to be durable when the write has ended (FUA).
        durable: bool,
    },
    /// Write zeros.
    Zero,
    /// Deallocate.
    Trim,
    /// Make everything durable.
    Flush,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub kind: Kind,
    /// On which blocks. Means nothing for a flush.
    pub blocks: Range<u64>,
    /// Where its memory begins within a page, in bytes; a multiple of 4.
    pub offset: u16,
    /// Into how many separate pieces its memory is divided, at least 1.
    pub pieces: u8,
    /// After how many turns nobody waits for it any more; `None`: it is waited for.
    pub cancel_after: Option<u8>,
}

/// How operations are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Most blocks of one operation, at least 1.
    pub most_blocks: u64,
    /// The disk can deallocate.
    pub trim: bool,
    /// The disk can write zeros by itself.
    pub zero: bool,
    /// One of this many operations is cancelled; 0: none.
    pub cancel_one_in: u8,
}

/// Operations without end.
#[derive(Debug)]
pub struct Plan {
    rng: Rng,
    mix: Mix,
    blocks: Range<u64>,
}

impl Plan {
    /// Operations on `blocks`, which are not empty, for one of several workers.
    pub fn new(seed: u64, worker: u64, blocks: Range<u64>, mix: Mix) -> Self {
        // A seed and the next one have nothing in common after this.
        let mixed = (seed ^ worker.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            rng: Rng::with_seed(mixed),
            mix,
            blocks,
        }
    }

    fn kind(&mut self) -> Kind {
        match self.rng.u8(0..100) {
            0..46 => Kind::Read,
            46..80 => Kind::Write { durable: false },
            80..88 => Kind::Write { durable: true },
            88..93 if self.mix.zero => Kind::Zero,
            93..98 if self.mix.trim => Kind::Trim,
            98.. => Kind::Flush,
            _ => Kind::Write { durable: false },
        }
    }
}

impl Iterator for Plan {
    type Item = Operation;

    /// The next operation; there is always one.
    fn next(&mut self) -> Option<Operation> {
        let kind = self.kind();
        // Sizes are chosen by magnitude, and small ones more often: a large one takes the time of many.
        let largest = self.mix.most_blocks.ilog2();
        let magnitude = self.rng.u32(0..=largest).min(self.rng.u32(0..=largest));
        let most = (2_u64 << magnitude).min(self.mix.most_blocks + 1);
        let wanted = self.rng.u64(1..most.max(2));
        let start = self.rng.u64(self.blocks.clone());
        let end = (start + wanted).min(self.blocks.end);
        let is_cancelled =
            self.mix.cancel_one_in > 0 && self.rng.u8(0..self.mix.cancel_one_in) == 0;
        Some(Operation {
            kind,
            blocks: start..end,
            offset: if self.rng.bool() {
                0
            } else {
                self.rng.u16(0..1024) * 4
            },
            pieces: if self.rng.bool() {
                1
            } else {
                self.rng.u8(1..=8)
            },
            cancel_after: is_cancelled.then(|| self.rng.u8(0..4)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const MIX: Mix = Mix {
        most_blocks: 256,
        trim: true,
        zero: true,
        cancel_one_in: 8,
    };

    fn some(seed: u64, worker: u64) -> Vec<Operation> {
        Plan::new(seed, worker, 1000..5000, MIX)
            .take(5000)
            .collect()
    }

    #[test]
    fn a_seed_repeats_and_another_seed_or_worker_does_not() {
        assert_eq!(some(1, 0), some(1, 0));
        assert_ne!(some(1, 0), some(2, 0));
        assert_ne!(some(1, 0), some(1, 1));
    }

    #[test]
    fn all_kinds_and_sizes_come_and_stay_within_the_blocks() {
        let operations = some(3, 1);
        let kinds: HashSet<_> = operations
            .iter()
            .map(|operation| core::mem::discriminant(&operation.kind))
            .collect();
        assert_eq!(kinds.len(), 5);
        for operation in &operations {
            assert!(operation.blocks.start >= 1000 && operation.blocks.end <= 5000);
            let count = operation.blocks.end - operation.blocks.start;
            assert!((1..=256).contains(&count), "{count}");
            assert_eq!(operation.offset % 4, 0);
            assert!(operation.offset < 4096 && operation.pieces > 0);
        }
        let sizes: HashSet<_> = operations
            .iter()
            .map(|operation| operation.blocks.end - operation.blocks.start)
            .collect();
        assert!(sizes.contains(&1) && sizes.contains(&256) && sizes.len() > 100);
        let cancelled = operations
            .iter()
            .filter(|operation| operation.cancel_after.is_some())
            .count();
        assert!((400..900).contains(&cancelled), "{cancelled}");
    }

    #[test]
    fn what_the_disk_cannot_do_is_not_asked() {
        let mix = Mix {
            trim: false,
            zero: false,
            most_blocks: 1,
            cancel_one_in: 0,
        };
        for operation in Plan::new(5, 5, 7..8, mix).take(1000) {
            assert!(!matches!(operation.kind, Kind::Trim | Kind::Zero));
            assert_eq!(operation.blocks, 7..8);
            assert_eq!(operation.cancel_after, None);
        }
    }
}
