//! The volatile write cache: what was written and not flushed is lost when the power goes.
//!
//! The model's blocks are what a reader sees. The cache remembers for each block that is not
//! durable yet what the media still holds.

use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;
use std::collections::BTreeMap;

/// A block as it was: its data and metadata, or `None` if it was never written.
type Before = Option<(Vec<u8>, Vec<u8>)>;

#[derive(Default)]
pub(crate) struct Cache {
    before: BTreeMap<(u32, u64), Before>,
}

impl Cache {
    pub(crate) fn flush_all(&mut self) {
        self.before.clear();
    }

    /// Blocks that a power cut would lose.
    pub(crate) fn dirty(&self) -> usize {
        self.before.len()
    }

    /// Whether a power cut would lose what was last written to a block.
    pub(crate) fn is_dirty(&self, nsid: u32, block: u64) -> bool {
        self.before.contains_key(&(nsid, block))
    }

    fn flush(&mut self, nsid: u32) {
        self.before.retain(|(id, _), _| *id != nsid);
    }
}

/// What becomes of a block.
pub(crate) enum Content {
    Written(Vec<u8>, Vec<u8>),
    /// As if it had never been written.
    Gone,
}

impl Model {
    fn is_cached(&self) -> bool {
        self.config.identify.vwc & 1 != 0 && self.feature(0x06) & 1 != 0
    }

    /// Changes a block, through the cache or around it.
    pub(crate) fn store(&mut self, nsid: u32, block: u64, content: Content, is_forced: bool) {
        let place = (nsid, block);
        let data = self.blocks.remove(&place);
        let metadata = self.metadata.remove(&place);
        if self.is_cached() && !is_forced {
            let before = data.zip(metadata);
            self.cache.before.entry(place).or_insert(before);
        } else {
            self.cache.before.remove(&place);
        }
        if let Content::Written(data, metadata) = content {
            self.blocks.insert(place, data);
            self.metadata.insert(place, metadata);
        }
    }

    pub(crate) fn flush(&mut self, entry: &SubmissionEntry) -> Status {
        const ALL: u32 = u32::MAX;
        let vwc = self.config.identify.vwc;
        if vwc & 1 == 0 {
            self.offence("flush without a write cache");
        }
        if entry.nsid == ALL {
            if vwc >> 1 & 3 != 3 {
                return refused(0, 0x0b);
            }
            self.cache.flush_all();
            return status(0, 0);
        }
        if self.namespace(entry.nsid).is_none() {
            return refused(0, 0x0b);
        }
        if let Some(bad) = self.bad_blocks.get(&u64::MAX) {
            return *bad;
        }
        self.cache.flush(entry.nsid);
        status(0, 0)
    }

    /// The power goes and comes back. Memory of the host survives, in this machine.
    pub(crate) fn power_cut(&mut self) {
        for (place, before) in std::mem::take(&mut self.cache.before) {
            self.blocks.remove(&place);
            self.metadata.remove(&place);
            if let Some((data, metadata)) = before {
                self.blocks.insert(place, data);
                self.metadata.insert(place, metadata);
            }
        }
        self.unsafe_shutdowns += u128::from(self.shst == 0);
        self.power_cycles += 1;
        self.large_features.clear();
        self.repair();
    }
}
