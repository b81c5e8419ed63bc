//! The Host Memory Buffer: memory of the host that the controller has for itself.
//!
//! The model really uses it. It leaves marks there and looks whether they are still as it
//! has left them: a driver that touches the memory, or gives it to somebody else, is found
//! out.

use super::memory::Claim;
use super::{Model, refused};
use nvme::Status;
use nvme::wire::SubmissionEntry;
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct HostMemory {
    /// Bus address and bytes of each piece, while the buffer is enabled.
    pub(crate) pieces: Vec<(u64, u64)>,
    /// What the model has left where.
    marks: BTreeMap<u64, u64>,
}

impl Model {
    /// Set Features, Host Memory Buffer.
    pub(crate) fn set_host_memory(&mut self, entry: &SubmissionEntry) -> Result<(), Status> {
        const SEQUENCE_ERROR: u8 = 0x0c;
        let enable = entry.cdw10_11 >> 32 & 1 != 0;
        let is_enabled = !self.host_memory.pieces.is_empty();
        if !enable {
            self.look_at_host_memory();
            self.forget_host_memory();
            return Ok(());
        }
        if is_enabled {
            return Err(refused(0, SEQUENCE_ERROR));
        }
        let size = (entry.cdw12_13 & 0xffff_ffff) * self.page();
        let list = entry.cdw12_13 >> 32 | (entry.cdw14_15 << 32);
        let count = entry.cdw14_15 >> 32;
        let identify = &self.config.identify;
        let (least, piece) = (identify.hmmin, identify.hmminds);
        let most = u64::from(identify.hmmaxd);
        let is_good = size >= u64::from(least) * 4096
            && size > 0
            && list.is_multiple_of(16)
            && (1..=4096).contains(&count)
            && (most == 0 || count <= most);
        if !is_good {
            return Err(refused(0, 0x02));
        }
        let mut pieces = Vec::new();
        for index in 0..count {
            let at = list + index * 16;
            let fault = |_| refused(0, 0x04);
            let address = self.memory.device_read64(at).map_err(fault)?;
            let pages = self.memory.device_read64(at + 8).map_err(fault)?;
            let bytes = (pages & 0xffff_ffff) * self.page();
            if address % self.page() != 0 || bytes < u64::from(piece) * 4096 || bytes == 0 {
                return Err(refused(0, 0x02));
            }
            pieces.push((address, bytes));
        }
        if pieces.iter().map(|(_, bytes)| bytes).sum::<u64>() < size {
            return Err(refused(0, 0x02));
        }
        for (address, bytes) in &pieces {
            self.memory.claim(Claim::HostMemory, *address, *bytes);
        }
        self.host_memory.pieces = pieces;
        Ok(())
    }

    /// Uses the buffer a little: looks at an old mark and leaves a new one.
    pub(crate) fn use_host_memory(&mut self) {
        if self.host_memory.pieces.is_empty() {
            return;
        }
        let random = self.random();
        let pieces = &self.host_memory.pieces;
        let (address, bytes) = pieces[(random >> 40) as usize % pieces.len()];
        let at = address + (random % (bytes / 8)) * 8;
        self.look_at_mark(at);
        if self.memory.device_write(at, &random.to_le_bytes()).is_ok() {
            self.host_memory.marks.insert(at, random);
        }
    }

    fn look_at_mark(&mut self, at: u64) {
        if let Some(mark) = self.host_memory.marks.get(&at).copied()
            && self.memory.device_read64(at) != Ok(mark)
        {
            self.offence(format!("host memory buffer was touched at {at:#x}"));
        }
    }

    /// Looks at all marks.
    pub(crate) fn look_at_host_memory(&mut self) {
        let marks: Vec<u64> = self.host_memory.marks.keys().copied().collect();
        for at in marks {
            self.look_at_mark(at);
        }
    }

    pub(crate) fn forget_host_memory(&mut self) {
        self.host_memory = HostMemory::default();
        self.memory.release(Claim::HostMemory);
    }
}
