//! Identify, in all its kinds.

use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::{Descriptors, SubmissionEntry, controller_list};

/// Command Set Identifiers.
const NVM: u8 = 0;
const ZONED: u8 = 2;

impl Model {
    pub(crate) fn identify(&mut self, entry: &SubmissionEntry) -> Status {
        const INVALID_FIELD: u8 = 0x02;
        let (cns, nsid) = (entry.cdw10_11 as u8, entry.nsid);
        let csi = (entry.cdw10_11 >> 56) as u8;
        if let Some((bad, status)) = self.config.bad_namespace
            && (cns, nsid) == (0, bad)
        {
            return status;
        }
        let data = match cns {
            0x00 => self.identify_namespace(nsid, false),
            0x01 => {
                let mut data = [0; 4096];
                self.config.identify.encode(&mut data);
                Ok(data)
            }
            0x02 if self.config.active_list => Ok(self.active_list(nsid, None)),
            0x03 => self.descriptors(nsid),
            0x05 => self.namespace_of_set(nsid, csi),
            0x06 => self.controller_of_set(csi),
            0x07 => Ok(self.active_list(nsid, Some(csi))),
            0x10 if self.config.identify.oacs & 1 << 3 != 0 => Ok(self.allocated_list(nsid)),
            0x11 if self.config.identify.oacs & 1 << 3 != 0 => self.identify_namespace(nsid, true),
            0x12 => {
                let is_attached = self.namespace(nsid).is_some();
                let own = [self.config.identify.cntlid];
                Ok(controller_list(if is_attached { &own } else { &[] }))
            }
            0x13 => Ok(controller_list(&[self.config.identify.cntlid])),
            0x1c => {
                let mut data = [0; 4096];
                data[0] = 1 | u8::from(self.has_zoned()) << ZONED;
                Ok(data)
            }
            _ => return refused(0, INVALID_FIELD),
        };
        let mut data = match data {
            Ok(data) => data,
            Err(status) => return status,
        };
        if let Some(false_data) = &self.config.false_identify {
            data = **false_data;
        }
        if self.fickle {
            // Another size, another format and another name at each look.
            let random = self.random();
            for (byte, noise) in data.iter_mut().zip(random.to_le_bytes().iter().cycle()) {
                *byte ^= noise & (random >> 17) as u8;
            }
        }
        for (offset, byte) in &self.config.patches {
            data[usize::from(*offset) % 4096] = *byte;
        }
        match self.send_data(entry, &data) {
            Ok(()) => status(0, 0),
            Err(status) => status,
        }
    }

    fn identify_namespace(&self, nsid: u32, is_allocated: bool) -> Result<[u8; 4096], Status> {
        const INVALID_NAMESPACE: u8 = 0x0b;
        let mut data = [0; 4096];
        let found = self.namespace(nsid).or_else(|| {
            let mut detached = self.config.detached.iter();
            let found = detached.find(|(id, _)| *id == nsid).map(|(_, ns)| ns);
            found.filter(|_| is_allocated)
        });
        match found {
            Some(namespace) => {
                let mut namespace = namespace.clone();
                if self
                    .write_protected
                    .get(&nsid)
                    .is_some_and(|kind| *kind != 0)
                {
                    namespace.nsattr |= 1;
                }
                namespace.encode(&mut data);
            }
            None if nsid == 0 || nsid > self.config.identify.nn => {
                return Err(refused(0, INVALID_NAMESPACE));
            }
            // Inactive: all zeros.
            None => {}
        }
        Ok(data)
    }

    fn has_zoned(&self) -> bool {
        self.config
            .extras
            .values()
            .any(|extra| extra.zoned.is_some())
    }

    fn set_of(&self, nsid: u32) -> u8 {
        if self.is_zoned(nsid) { ZONED } else { NVM }
    }

    fn active_list(&self, after: u32, set: Option<u8>) -> [u8; 4096] {
        let ids: Vec<u32> = match &self.config.false_list {
            Some(ids) => ids.clone(),
            None => {
                // Without all command sets selected, only the NVM command set is there.
                let all = self.cc().css() == 6;
                let set = if all { set } else { Some(NVM) };
                let ids = self.config.namespaces.iter().map(|(id, _)| *id);
                ids.filter(|id| *id > after && set.is_none_or(|set| set == self.set_of(*id)))
                    .collect()
            }
        };
        list(ids)
    }

    fn allocated_list(&self, after: u32) -> [u8; 4096] {
        let attached = self.config.namespaces.iter().map(|(id, _)| *id);
        let detached = self.config.detached.iter().map(|(id, _)| *id);
        let mut ids: Vec<u32> = attached.chain(detached).filter(|id| *id > after).collect();
        ids.sort_unstable();
        list(ids)
    }

    fn descriptors(&self, nsid: u32) -> Result<[u8; 4096], Status> {
        let Some(namespace) = self.namespace(nsid) else {
            return Err(refused(0, 0x0b));
        };
        let extra = self.config.extras.get(&nsid);
        let some = |bytes: [u8; 16]| (bytes != [0; 16]).then_some(bytes);
        let descriptors = Descriptors {
            eui64: (namespace.eui64 != [0; 8]).then_some(namespace.eui64),
            nguid: some(namespace.nguid),
            uuid: extra.and_then(|extra| some(extra.uuid)),
            csi: Some(self.set_of(nsid)),
        };
        Ok(descriptors.encode())
    }

    fn namespace_of_set(&self, nsid: u32, csi: u8) -> Result<[u8; 4096], Status> {
        if self.namespace(nsid).is_none() {
            return Err(refused(0, 0x0b));
        }
        let mut data = [0; 4096];
        let extra = self.config.extras.get(&nsid);
        match (csi, extra) {
            (NVM, Some(extra)) => extra.nvm.encode(&mut data),
            (NVM, None) => {}
            (ZONED, Some(extra)) if extra.zoned.is_some() => {
                if let Some(zoned) = &extra.zoned {
                    zoned.encode(&mut data);
                }
            }
            _ => return Err(refused(0, 0x02)),
        }
        Ok(data)
    }

    fn controller_of_set(&self, csi: u8) -> Result<[u8; 4096], Status> {
        let mut data = [0; 4096];
        match csi {
            NVM => self.config.nvm.encode(&mut data),
            ZONED if self.has_zoned() => self.config.zoned.encode(&mut data),
            _ => return Err(refused(0, 0x02)),
        }
        Ok(data)
    }
}

fn list(mut ids: Vec<u32>) -> [u8; 4096] {
    let mut data = [0; 4096];
    ids.truncate(1024);
    for (index, id) in ids.into_iter().enumerate() {
        data[index * 4..index * 4 + 4].copy_from_slice(&id.to_le_bytes());
    }
    data
}
