//! The model's I/O commands.

use super::{Model, prp, status};
use nvme::Status;
use nvme::wire::{IdentifyNamespace, SubmissionEntry};

impl Model {
    /// Executes an I/O command. Returns dwords 0 and 1 of the completion, and the status.
    pub(crate) fn io(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        const INVALID_OPCODE: u8 = 0x01;
        self.check_entry(entry);
        let result = match entry.cdw0.opcode() {
            0x00 => self.flush(entry),
            0x01 => self.transfer(entry, true),
            0x02 => self.transfer(entry, false),
            _ => status(0, INVALID_OPCODE).with_dnr(true),
        };
        (0, result)
    }

    pub(crate) fn namespace(&self, nsid: u32) -> Option<&IdentifyNamespace> {
        let mut namespaces = self.config.namespaces.iter();
        namespaces.find(|(id, _)| *id == nsid).map(|(_, ns)| ns)
    }

    /// What no command of this driver may have.
    pub(crate) fn check_entry(&mut self, entry: &SubmissionEntry) {
        let cdw0 = entry.cdw0;
        if cdw0.fuse() != 0 || cdw0.psdt() != 0 || entry.mptr != 0 || entry.cdw2_3 != 0 {
            self.offence(format!("reserved fields: {entry:?}"));
        }
    }

    fn flush(&mut self, entry: &SubmissionEntry) -> Status {
        if self.config.identify.vwc & 1 == 0 {
            self.offence("flush without a write cache");
        }
        match self.namespace(entry.nsid) {
            Some(_) => self.bad_blocks.get(&u64::MAX).copied().unwrap_or_default(),
            None => status(0, 0x0b).with_dnr(true),
        }
    }

    fn transfer(&mut self, entry: &SubmissionEntry, is_write: bool) -> Status {
        const INVALID_FIELD: u8 = 0x02;
        const TRANSFER_ERROR: u8 = 0x04;
        const INVALID_NAMESPACE: u8 = 0x0b;
        const OUT_OF_RANGE: u8 = 0x80;
        if entry.cdw12_13 >> 16 != 0 || entry.cdw14_15 != 0 {
            self.offence(format!("reserved fields: {entry:?}"));
        }
        let Some(namespace) = self.namespace(entry.nsid) else {
            return status(0, INVALID_NAMESPACE).with_dnr(true);
        };
        let shift = namespace.lbaf[namespace.format_index()].lbads();
        let first = entry.cdw10_11;
        let count = (entry.cdw12_13 & 0xffff) + 1;
        let size = namespace.nsze;
        let len = count << shift;
        let mdts = self.config.identify.mdts;
        if mdts != 0 && len > 4096 << mdts {
            return status(0, INVALID_FIELD).with_dnr(true);
        }
        if first.checked_add(count).is_none_or(|end| end > size) {
            return status(0, OUT_OF_RANGE).with_dnr(true);
        }
        if let Some((_, bad)) = self.bad_blocks.range(first..first + count).next() {
            return *bad;
        }
        let pages = match prp::pages(&mut self.memory, entry.prp1, entry.prp2, len) {
            Ok(pages) => pages,
            Err(status) => return status,
        };
        let moved = match is_write {
            true => self.write_blocks(entry.nsid, first, shift, &pages),
            false => self.read_blocks(entry.nsid, first, count, shift, &pages),
        };
        moved.map_or(status(0, TRANSFER_ERROR), |()| status(0, 0))
    }

    fn write_blocks(
        &mut self,
        nsid: u32,
        first: u64,
        shift: u8,
        pages: &[(u64, u64)],
    ) -> Option<()> {
        let mut data = Vec::new();
        for (bus, len) in pages {
            let start = data.len();
            data.resize(start + *len as usize, 0);
            self.memory.device_read(*bus, &mut data[start..]).ok()?;
        }
        for (index, block) in data.chunks(1 << shift).enumerate() {
            self.blocks
                .insert((nsid, first + index as u64), block.to_vec());
        }
        Some(())
    }

    fn read_blocks(
        &mut self,
        nsid: u32,
        first: u64,
        count: u64,
        shift: u8,
        pages: &[(u64, u64)],
    ) -> Option<()> {
        let data = self.contents(nsid, first, count, shift);
        let mut left = &data[..];
        for (bus, len) in pages {
            let (now, later) = left.split_at(*len as usize);
            self.memory.device_write(*bus, now).ok()?;
            left = later;
        }
        Some(())
    }

    /// What the disk holds. Blocks that were never written are made of their number.
    pub(crate) fn contents(&self, nsid: u32, first: u64, count: u64, shift: u8) -> Vec<u8> {
        let mut data = Vec::new();
        for block in first..first + count {
            match self.blocks.get(&(nsid, block)) {
                Some(bytes) => data.extend_from_slice(bytes),
                None => data.extend_from_slice(&blank(nsid, block, shift)),
            }
        }
        data
    }
}

/// A block that was never written: no two of them are the same.
fn blank(nsid: u32, block: u64, shift: u8) -> Vec<u8> {
    let mut state = (block << 8 | u64::from(nsid)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; 1 << shift];
    let (words, _) = bytes.as_chunks_mut();
    for word in words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
    bytes
}
