//! The model's I/O commands: which there are, and reading and writing.

use super::cache::Content;
use super::protection::{self, Instructions};
use super::sgl::{self, Support};
use super::shape::Shape;
use super::{Model, prp, refused, status};
use nvme::Status;
use nvme::wire::{IdentifyNamespace, SubmissionEntry};

/// What is done with the blocks of a command that has data or compares it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write,
    Read,
    Compare,
    Verify,
}

/// Blocks as they are: data and metadata.
type Blocks = Vec<(Vec<u8>, Vec<u8>)>;

impl Model {
    /// Executes an I/O command. Returns dwords 0 and 1 of the completion, and the status.
    pub(crate) fn io(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        const INVALID_OPCODE: u8 = 0x01;
        self.check_entry(entry);
        self.use_host_memory();
        if self.sanitize.is_going_on() {
            return (0, status(0, 0x1d));
        }
        let zoned = self.is_zoned(entry.nsid);
        let result = match entry.cdw0.opcode() {
            0x00 => Ok(self.flush(entry)),
            0x01 => self.transfer(entry, Action::Write),
            0x02 => self.transfer(entry, Action::Read),
            0x05 if self.offers(0) => self.transfer(entry, Action::Compare),
            0x08 if self.offers(3) => self.write_zeroes(entry),
            0x09 if self.offers(2) => self.dataset_management(entry),
            0x0c if self.offers(7) => self.transfer(entry, Action::Verify),
            0x19 if self.offers(8) => return self.copy(entry),
            0x79 if zoned => self.zone_send(entry),
            0x7a if zoned => self.zone_receive(entry),
            0x7d if zoned => return self.zone_append(entry),
            _ => Err(refused(0, INVALID_OPCODE)),
        };
        (0, result.unwrap_or_else(|error| error))
    }

    /// Whether a bit of Optional NVM Command Support (ONCS) is set.
    fn offers(&self, bit: u8) -> bool {
        self.config.identify.oncs >> bit & 1 != 0
    }

    pub(crate) fn namespace(&self, nsid: u32) -> Option<&IdentifyNamespace> {
        let mut namespaces = self.config.namespaces.iter();
        namespaces.find(|(id, _)| *id == nsid).map(|(_, ns)| ns)
    }

    /// What no command may have, whatever it is.
    pub(crate) fn check_entry(&mut self, entry: &SubmissionEntry) {
        let cdw0 = entry.cdw0;
        let shape = self.shape(entry.nsid).ok();
        let has_metadata = shape.is_some_and(|shape| shape.metadata > 0);
        let is_strange = cdw0.fuse() != 0
            || (cdw0.psdt() != 0 && !self.support().has_lists())
            || (!has_metadata && entry.mptr != 0)
            || (!has_metadata && entry.cdw2_3 != 0);
        if is_strange {
            self.offence(format!("reserved fields: {entry:?}"));
        }
    }

    /// Most bytes that a command may move.
    pub(crate) fn most_bytes(&self) -> u64 {
        match self.config.identify.mdts {
            0 => u64::MAX,
            mdts => self.smallest_page() << mdts.min(40),
        }
    }

    /// What the command says about protection, and the bytes of metadata that the host gives
    /// or takes with each block.
    pub(crate) fn instructions(
        &mut self,
        entry: &SubmissionEntry,
        shape: &Shape,
        first: u64,
    ) -> Result<(Option<Instructions>, usize), Status> {
        let Some(protection) = shape.protection else {
            let info = entry.cdw12_13 as u32 >> 26 & 0xf;
            if info != 0 || entry.cdw14_15 != 0 {
                self.offence(format!("protection where there is none: {entry:?}"));
            }
            return Ok((None, shape.metadata));
        };
        let told = Instructions::new(entry, protection, first)?;
        let is_all = protection.bytes() == shape.metadata;
        let metadata = if told.act && is_all {
            0
        } else {
            shape.metadata
        };
        Ok((Some(told), metadata))
    }

    pub(crate) fn transfer(
        &mut self,
        entry: &SubmissionEntry,
        action: Action,
    ) -> Result<Status, Status> {
        let forbidden = match action {
            Action::Verify => 0x83ff_0000_u64,
            _ => 0x03ff_0000,
        };
        if entry.cdw12_13 & forbidden != 0 || entry.cdw12_13 >> 32 != 0 {
            self.offence(format!("reserved fields: {entry:?}"));
        }
        let shape = self.shape(entry.nsid)?;
        let first = entry.cdw10_11;
        let count = (entry.cdw12_13 & 0xffff) + 1;
        let (told, metadata) = self.instructions(entry, &shape, first)?;
        let interleaved = if shape.is_interleaved {
            metadata as u64
        } else {
            0
        };
        let bytes = count * ((1 << shape.shift) + interleaved);
        if action != Action::Verify && bytes > self.most_bytes() {
            return Err(refused(0, 0x02));
        }
        self.check_blocks(&shape, first, count)?;
        self.count_transfer(action, bytes);
        let is_forced = entry.cdw12_13 >> 30 & 1 != 0;
        match action {
            Action::Write => {
                self.check_protected(entry.nsid)?;
                self.check_zone_write(entry.nsid, first, count)?;
                let blocks = self.take_blocks(entry, &shape, told.as_ref(), metadata, count)?;
                self.store_blocks(entry.nsid, first, blocks, is_forced);
                self.zone_was_written(entry.nsid, first, count);
            }
            Action::Read | Action::Verify => {
                self.check_zone_read(entry.nsid, first, count)?;
                let blocks = self.load_blocks(entry.nsid, &shape, told.as_ref(), first, count)?;
                if action == Action::Read {
                    self.give_blocks(entry, &shape, metadata, &blocks)?;
                }
            }
            Action::Compare => {
                let held = self.load_blocks(entry.nsid, &shape, None, first, count)?;
                let given = self.take_blocks(entry, &shape, told.as_ref(), metadata, count)?;
                // Protection information is checked, not compared.
                let is_equal = held.iter().zip(&given).all(|(held, given)| {
                    held.0 == given.0 && (shape.protection.is_some() || held.1 == given.1)
                });
                if !is_equal {
                    return Err(refused(2, 0x85));
                }
            }
        }
        Ok(status(0, 0))
    }

    /// Reads the blocks of a command from memory, and checks or makes their protection.
    pub(crate) fn take_blocks(
        &mut self,
        entry: &SubmissionEntry,
        shape: &Shape,
        told: Option<&Instructions>,
        metadata: usize,
        count: u64,
    ) -> Result<Blocks, Status> {
        let size = 1_usize << shape.shift;
        let inside = if shape.is_interleaved { metadata } else { 0 };
        let data = self.fetch_data(entry, count * (size + inside) as u64)?;
        let mut apart = vec![0; (metadata - inside) * count as usize];
        if !apart.is_empty() {
            let fault = |_| status(0, 0x04);
            self.check_metadata_pointer(entry)?;
            self.memory
                .device_read(entry.mptr, &mut apart)
                .map_err(fault)?;
        }
        let mut blocks = Vec::new();
        for (index, chunk) in data.chunks(size + inside).enumerate() {
            let bytes = chunk[..size].to_vec();
            let mut meta = match inside {
                0 => apart[index * metadata..][..metadata].to_vec(),
                _ => chunk[size..].to_vec(),
            };
            if let (Some(protection), Some(told)) = (shape.protection, told) {
                match told.act {
                    true => {
                        protection::insert(
                            shape,
                            protection,
                            told,
                            index as u64,
                            &bytes,
                            &mut meta,
                        );
                    }
                    false => protection::check(protection, told, index as u64, &bytes, &meta)?,
                }
            }
            blocks.push((bytes, meta));
        }
        Ok(blocks)
    }

    pub(crate) fn store_blocks(&mut self, nsid: u32, first: u64, blocks: Blocks, is_forced: bool) {
        for (index, (data, metadata)) in blocks.into_iter().enumerate() {
            let content = Content::Written(data, metadata);
            self.store(nsid, first + index as u64, content, is_forced);
        }
    }

    /// Loads blocks from the disk and checks their protection.
    fn load_blocks(
        &mut self,
        nsid: u32,
        shape: &Shape,
        told: Option<&Instructions>,
        first: u64,
        count: u64,
    ) -> Result<Blocks, Status> {
        let mut blocks = Vec::new();
        for index in 0..count {
            let (data, metadata) = self.block(nsid, first + index, shape);
            if let (Some(protection), Some(told)) = (shape.protection, told) {
                protection::check(protection, told, index, &data, &metadata)?;
            }
            blocks.push((data, metadata));
        }
        Ok(blocks)
    }

    /// Writes blocks to memory.
    fn give_blocks(
        &mut self,
        entry: &SubmissionEntry,
        shape: &Shape,
        metadata: usize,
        blocks: &Blocks,
    ) -> Result<(), Status> {
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for (data, meta) in blocks {
            together.extend_from_slice(data);
            match shape.is_interleaved {
                true => together.extend_from_slice(&meta[..metadata]),
                false => apart.extend_from_slice(&meta[..metadata]),
            }
        }
        self.send_data(entry, &together)?;
        if !apart.is_empty() {
            self.check_metadata_pointer(entry)?;
            let fault = |_| status(0, 0x04);
            self.memory
                .device_write(entry.mptr, &apart)
                .map_err(fault)?;
        }
        Ok(())
    }

    fn check_metadata_pointer(&mut self, entry: &SubmissionEntry) -> Result<(), Status> {
        match entry.mptr % 4 {
            0 => Ok(()),
            _ => Err(refused(0, 0x02)),
        }
    }

    /// Data and metadata of a block.
    pub(crate) fn block(&self, nsid: u32, block: u64, shape: &Shape) -> (Vec<u8>, Vec<u8>) {
        let data = self.contents(nsid, block, 1, shape.shift);
        let metadata = self.metadata.get(&(nsid, block)).cloned();
        // A block that was never written asks for no check.
        (data, metadata.unwrap_or_else(|| vec![0xff; shape.metadata]))
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

    /// What a block reads as that was never written.
    pub(crate) fn blank(&self, nsid: u32, block: u64, shift: u8) -> Vec<u8> {
        blank(nsid, block, shift)
    }

    /// What the controller takes of scatter gather lists.
    fn support(&self) -> Support {
        Support(self.config.identify.sgls)
    }

    /// The memory that a command names for its data: bus addresses and lengths.
    fn data_memory(
        &mut self,
        entry: &SubmissionEntry,
        len: u64,
    ) -> Result<Vec<(u64, u64)>, Status> {
        let (support, page) = (self.support(), self.page());
        let psdt = entry.cdw0.psdt();
        match psdt {
            0 => prp::pages(&mut self.memory, entry.prp1, entry.prp2, len, page),
            1 if support.has_lists() => {
                sgl::blocks(&mut self.memory, support, [entry.prp1, entry.prp2], len)
            }
            // The metadata pointer of 10b leads to a list: nothing here has that.
            _ => Err(refused(0, 0x02)),
        }
    }

    /// Reads what a command gives from memory.
    pub(crate) fn fetch_data(
        &mut self,
        entry: &SubmissionEntry,
        len: u64,
    ) -> Result<Vec<u8>, Status> {
        let pages = self.data_memory(entry, len)?;
        let mut data = vec![0; len as usize];
        let mut left = &mut data[..];
        for (bus, len) in pages {
            let (now, later) = left.split_at_mut(len as usize);
            let fault = |_| status(0, 0x04);
            self.memory.device_read(bus, now).map_err(fault)?;
            left = later;
        }
        Ok(data)
    }

    /// Writes data to where a command wants it.
    pub(crate) fn send_data(&mut self, entry: &SubmissionEntry, data: &[u8]) -> Result<(), Status> {
        let pages = self.data_memory(entry, data.len() as u64)?;
        let mut left = data;
        for (bus, len) in pages {
            let (now, later) = left.split_at(len as usize);
            let fault = |_| status(0, 0x04);
            self.memory.device_write(bus, now).map_err(fault)?;
            left = later;
        }
        Ok(())
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
