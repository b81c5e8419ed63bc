//! The model's admin commands.

use super::{Model, prp, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;

impl Model {
    /// Executes an admin command. Returns dwords 0 and 1 of the completion, and the status.
    pub(crate) fn admin(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        const INVALID_OPCODE: u8 = 0x01;
        self.check_entry(entry);
        let opcode = entry.cdw0.opcode();
        if let Some(bad) = self.bad_admin.get(&opcode) {
            return (0, *bad);
        }
        let result = match opcode {
            0x00 => self.delete(entry.cdw10_11 as u16, false),
            0x01 => self.create(entry, false),
            0x04 => self.delete(entry.cdw10_11 as u16, true),
            0x05 => self.create(entry, true),
            0x06 => self.identify(entry),
            0x09 => return self.set_features(entry),
            _ => status(0, INVALID_OPCODE).with_dnr(true),
        };
        (0, result)
    }

    fn set_features(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        let (feature, value) = (entry.cdw10_11 as u32, entry.cdw10_11 >> 32);
        let is_legal = value & 0xffff != 0xffff && value >> 16 != 0xffff;
        if feature != 0x07 || !is_legal {
            return (0, status(0, 0x02).with_dnr(true));
        }
        // 64 pairs, whatever was asked for.
        (0x003f_003f, status(0, 0))
    }

    fn identify(&mut self, entry: &SubmissionEntry) -> Status {
        const INVALID_FIELD: u8 = 0x02;
        const INVALID_NAMESPACE: u8 = 0x0b;
        let mut data = [0; 4096];
        if let Some((nsid, bad)) = self.config.bad_namespace
            && (entry.cdw10_11, entry.nsid) == (0, nsid)
        {
            return bad;
        }
        match entry.cdw10_11 {
            0x00 => match self.namespace(entry.nsid) {
                Some(namespace) => namespace.encode(&mut data),
                None if entry.nsid == 0 || entry.nsid > self.config.identify.nn => {
                    return status(0, INVALID_NAMESPACE).with_dnr(true);
                }
                // Inactive: all zeros.
                None => {}
            },
            0x01 => self.config.identify.encode(&mut data),
            0x02 if self.config.active_list => self.active_list(entry.nsid, &mut data),
            _ => return status(0, INVALID_FIELD).with_dnr(true),
        }
        if let Some(false_data) = &self.config.false_identify {
            data = **false_data;
        }
        self.send(entry, &data)
    }

    fn active_list(&self, after: u32, data: &mut [u8; 4096]) {
        let mut ids: Vec<u32> = match &self.config.false_list {
            Some(ids) => ids.clone(),
            None => {
                let ids = self.config.namespaces.iter().map(|(id, _)| *id);
                ids.filter(|id| *id > after).collect()
            }
        };
        ids.truncate(1024);
        for (index, id) in ids.into_iter().enumerate() {
            data[index * 4..index * 4 + 4].copy_from_slice(&id.to_le_bytes());
        }
    }

    /// Writes a page of data to where the command wants it.
    fn send(&mut self, entry: &SubmissionEntry, data: &[u8; 4096]) -> Status {
        let pages = match prp::pages(&mut self.memory, entry.prp1, entry.prp2, 4096) {
            Ok(pages) => pages,
            Err(status) => return status,
        };
        let mut left = &data[..];
        for (bus, len) in pages {
            let (now, later) = left.split_at(len as usize);
            if self.memory.device_write(bus, now).is_err() {
                return status(0, 0x04);
            }
            left = later;
        }
        status(0, 0)
    }
}
