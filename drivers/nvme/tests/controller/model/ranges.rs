//! Commands over ranges of blocks that move no data of the host: deallocate, write zeroes,
//! copy.

use super::cache::Content;
use super::shape::Shape;
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;

impl Model {
    /// Deallocates blocks. What they read as then, DLFEAT says.
    fn deallocate(&mut self, nsid: u32, shape: &Shape, first: u64, count: u64) {
        let reads_as = self
            .namespace(nsid)
            .map_or(0, |namespace| namespace.dlfeat & 7);
        for block in first..first + count {
            let fill = match reads_as {
                1 => Some(0),
                2 => Some(0xff),
                _ => None,
            };
            let content = match fill {
                Some(byte) => {
                    let metadata = vec![0xff; shape.metadata];
                    Content::Written(vec![byte; 1 << shape.shift], metadata)
                }
                None => Content::Gone,
            };
            self.store(nsid, block, content, false);
            self.deallocated.insert((nsid, block));
        }
    }

    pub(crate) fn dataset_management(&mut self, entry: &SubmissionEntry) -> Result<Status, Status> {
        let shape = self.shape(entry.nsid)?;
        self.check_protected(entry.nsid)?;
        let count = (entry.cdw10_11 & 0xff) + 1;
        let deallocates = entry.cdw10_11 >> 34 & 1 != 0;
        let limits = &self.config.nvm;
        let most = u64::from(limits.dmrl);
        if most != 0 && count > most {
            return Err(refused(1, 0x83));
        }
        let data = self.fetch_data(entry, count * 16)?;
        let mut ranges = Vec::new();
        for range in data.as_chunks::<16>().0 {
            let [_, len, low, high] = dwords(range);
            let first = u64::from(low) | u64::from(high) << 32;
            if first
                .checked_add(u64::from(len))
                .is_none_or(|end| end > shape.blocks)
            {
                return Err(refused(0, 0x80));
            }
            ranges.push((first, u64::from(len)));
        }
        let limits = &self.config.nvm;
        let longest = ranges.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let total = ranges.iter().map(|(_, len)| *len).sum::<u64>();
        let is_too_long = limits.dmrsl != 0 && longest > u64::from(limits.dmrsl);
        let is_too_much = limits.dmsl != 0 && total > limits.dmsl;
        if is_too_long || is_too_much {
            return Err(refused(1, 0x83));
        }
        if deallocates {
            for (first, len) in ranges {
                self.deallocate(entry.nsid, &shape, first, len);
            }
        }
        Ok(status(0, 0))
    }

    pub(crate) fn write_zeroes(&mut self, entry: &SubmissionEntry) -> Result<Status, Status> {
        let shape = self.shape(entry.nsid)?;
        let first = entry.cdw10_11;
        let count = (entry.cdw12_13 & 0xffff) + 1;
        let deallocates = entry.cdw12_13 >> 25 & 1 != 0;
        let is_forced = entry.cdw12_13 >> 30 & 1 != 0;
        self.check_blocks(&shape, first, count)?;
        self.check_protected(entry.nsid)?;
        self.check_zone_write(entry.nsid, first, count)?;
        let limit = self.config.nvm.wzsl;
        if limit != 0 && count << shape.shift > self.smallest_page() << limit.min(40) {
            return Err(refused(0, 0x02));
        }
        for block in first..first + count {
            // Zeros ask for no check of their protection.
            let metadata = match shape.protection {
                Some(_) => vec![0xff; shape.metadata],
                None => vec![0; shape.metadata],
            };
            let content = Content::Written(vec![0; 1 << shape.shift], metadata);
            self.store(entry.nsid, block, content, is_forced);
            if deallocates {
                self.deallocated.insert((entry.nsid, block));
            }
        }
        self.zone_was_written(entry.nsid, first, count);
        Ok(status(0, 0))
    }

    /// Copy, source ranges of format 0.
    pub(crate) fn copy(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        let mut copied = 0;
        match self.try_copy(entry, &mut copied) {
            Ok(()) => (0, status(0, 0)),
            // Dword 0 says which source range was the first that was not copied.
            Err(status) => (copied, status),
        }
    }

    fn try_copy(&mut self, entry: &SubmissionEntry, copied: &mut u64) -> Result<(), Status> {
        const SIZE_LIMIT: u8 = 0x83;
        let shape = self.shape(entry.nsid)?;
        self.check_protected(entry.nsid)?;
        let format = entry.cdw12_13 >> 8 & 0xf;
        if format != 0 || self.config.identify.ocfs & 1 == 0 {
            return Err(refused(0, 0x02));
        }
        let count = (entry.cdw12_13 & 0xff) + 1;
        let Some(namespace) = self.namespace(entry.nsid) else {
            return Err(refused(0, 0x0b));
        };
        let (longest, most, ranges) = (namespace.mssrl, namespace.mcl, namespace.msrc);
        if count > u64::from(ranges) + 1 {
            return Err(refused(1, SIZE_LIMIT));
        }
        let data = self.fetch_data(entry, count * 32)?;
        let mut sources = Vec::new();
        for range in data.as_chunks::<32>().0 {
            let mut head = [0; 16];
            head.copy_from_slice(&range[8..24]);
            let [low, high, len, _] = dwords(&head);
            sources.push((
                u64::from(low) | u64::from(high) << 32,
                u64::from(len & 0xffff) + 1,
            ));
        }
        let total = sources.iter().map(|(_, len)| *len).sum::<u64>();
        let is_too_long = sources.iter().any(|(_, len)| *len > u64::from(longest));
        if is_too_long || total > u64::from(most) {
            return Err(refused(1, SIZE_LIMIT));
        }
        let mut target = entry.cdw10_11;
        if target
            .checked_add(total)
            .is_none_or(|end| end > shape.blocks)
        {
            return Err(refused(0, 0x80));
        }
        self.check_zone_write(entry.nsid, target, total)?;
        for (first, len) in sources {
            self.check_blocks(&shape, first, len)?;
            self.check_blocks(&shape, target, len)?;
            let blocks = (first..first + len).map(|block| self.block(entry.nsid, block, &shape));
            let blocks = blocks.collect();
            self.store_blocks(entry.nsid, target, blocks, false);
            self.zone_was_written(entry.nsid, target, len);
            target += len;
            *copied += 1;
        }
        Ok(())
    }
}

fn dwords(bytes: &[u8; 16]) -> [u32; 4] {
    let (dwords, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|index| u32::from_le_bytes(dwords[index]))
}
