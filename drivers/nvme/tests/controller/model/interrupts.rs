//! Interrupts, by vector: which were raised, which wait behind a mask, and which wait
//! because the driver wanted to be interrupted less often.

use super::Model;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Interrupts {
    /// How often each vector was raised.
    pub(crate) raised: BTreeMap<u16, u64>,
    /// Raised, and not yet taken.
    taken: BTreeSet<u16>,
    /// Masked vectors, as the table of MSI-X would have it.
    masked: BTreeSet<u16>,
    /// Raised while masked.
    pending: BTreeSet<u16>,
    /// Completions that wait for more: their number, and since when.
    gathering: BTreeMap<u16, (u32, u64)>,
}

impl Interrupts {
    fn raise(&mut self, vector: u16) {
        if self.masked.contains(&vector) {
            self.pending.insert(vector);
            return;
        }
        *self.raised.entry(vector).or_default() += 1;
        self.taken.insert(vector);
    }

    /// Whether a vector was raised since the last call.
    pub(crate) fn take(&mut self, vector: u16) -> bool {
        self.taken.remove(&vector)
    }

    pub(crate) fn mask(&mut self, vector: u16) {
        self.masked.insert(vector);
    }

    /// Lets a vector through again, and what has waited behind the mask.
    pub(crate) fn unmask(&mut self, vector: u16) {
        self.masked.remove(&vector);
        if self.pending.remove(&vector) {
            self.raise(vector);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.gathering.clear();
        self.pending.clear();
    }
}

impl Model {
    /// A completion was posted to a queue with this vector.
    pub(crate) fn interrupt(&mut self, vector: u16, is_admin: bool) {
        // Aggregation Threshold (zero-based) and Time (in units of 100 microseconds).
        let feature = self.feature(0x08);
        let (threshold, time) = (feature & 0xff, feature >> 8 & 0xff);
        let is_coalesced = !self.uncoalesced.contains(&vector);
        if is_admin || !is_coalesced || threshold == 0 || time == 0 {
            self.interrupts.raise(vector);
            return;
        }
        let clock = self.clock;
        let gathering = self.interrupts.gathering.entry(vector);
        let (count, _) = gathering.or_insert((0, clock));
        *count += 1;
        if *count > threshold {
            self.interrupts.gathering.remove(&vector);
            self.interrupts.raise(vector);
        }
    }

    /// Raises what has waited for long enough.
    pub(crate) fn stop_gathering(&mut self) {
        if self.interrupts.gathering.is_empty() {
            return;
        }
        let time = u64::from(self.feature(0x08) >> 8 & 0xff) * 100;
        let clock = self.clock;
        let is_due =
            |(vector, (_, since)): (&u16, &(u32, u64))| (clock - since >= time).then_some(*vector);
        let due: Vec<u16> = self
            .interrupts
            .gathering
            .iter()
            .filter_map(is_due)
            .collect();
        for vector in due {
            self.interrupts.gathering.remove(&vector);
            self.interrupts.raise(vector);
        }
    }
}
