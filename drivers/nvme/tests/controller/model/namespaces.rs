//! Namespaces come, go, change and are protected: by commands, and behind the driver's back.

use super::events::Event;
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::{IdentifyNamespace, SubmissionEntry, controllers};

impl Model {
    /// Something has happened to a namespace that the driver has not done.
    fn changed(&mut self, nsid: u32) {
        self.events.changed.insert(nsid);
        self.event(Event::NAMESPACES);
    }

    /// A namespace has another size, and what is behind it is gone.
    pub(crate) fn resize(&mut self, nsid: u32, blocks: u64) {
        for (id, namespace) in &mut self.config.namespaces {
            if *id == nsid {
                (namespace.nsze, namespace.ncap) = (blocks, blocks);
            }
        }
        let is_inside = |(id, block): &(u32, u64)| *id != nsid || *block < blocks;
        self.blocks.retain(|place, _| is_inside(place));
        self.metadata.retain(|place, _| is_inside(place));
        self.changed(nsid);
    }

    /// A namespace appears.
    pub(crate) fn plug(&mut self, nsid: u32, namespace: IdentifyNamespace) {
        self.attach(nsid, namespace);
        self.changed(nsid);
    }

    /// A namespace disappears, as if another controller had detached it.
    pub(crate) fn unplug(&mut self, nsid: u32) {
        if let Some(namespace) = self.detach(nsid) {
            self.config.detached.push((nsid, namespace));
        }
        self.changed(nsid);
    }

    fn attach(&mut self, nsid: u32, namespace: IdentifyNamespace) {
        self.config.namespaces.push((nsid, namespace));
        self.config.namespaces.sort_by_key(|(id, _)| *id);
    }

    fn detach(&mut self, nsid: u32) -> Option<IdentifyNamespace> {
        let namespaces = &mut self.config.namespaces;
        let index = namespaces.iter().position(|(id, _)| *id == nsid)?;
        Some(namespaces.remove(index).1)
    }

    /// Namespace Attachment.
    pub(crate) fn attach_namespace(&mut self, entry: &SubmissionEntry) -> Status {
        const ALREADY_ATTACHED: u8 = 0x18;
        const NOT_ATTACHED: u8 = 0x1a;
        const LIST_INVALID: u8 = 0x1c;
        let list = match self.fetch_data(entry, 4096) {
            Ok(data) => data,
            Err(status) => return status,
        };
        let Ok(list) = <[u8; 4096]>::try_from(list) else {
            return refused(1, LIST_INVALID);
        };
        let own = self.config.identify.cntlid;
        let ids: Vec<u16> = controllers(&list).collect();
        if ids != [own] {
            return refused(1, LIST_INVALID);
        }
        let nsid = entry.nsid;
        let mut detached = self.config.detached.iter();
        let waiting = detached.position(|(id, _)| *id == nsid);
        let is_attached = self.namespace(nsid).is_some();
        match (entry.cdw10_11 & 0xf, waiting) {
            (0, _) if is_attached => return refused(1, ALREADY_ATTACHED),
            (1, Some(_)) => return refused(1, NOT_ATTACHED),
            (0, Some(index)) => {
                let (_, namespace) = self.config.detached.remove(index);
                self.attach(nsid, namespace);
            }
            (1, None) if is_attached => {
                if let Some(namespace) = self.detach(nsid) {
                    self.config.detached.push((nsid, namespace));
                }
            }
            (0 | 1, None) => return refused(0, 0x0b),
            _ => return refused(0, 0x02),
        }
        self.changed(nsid);
        status(0, 0)
    }

    /// Namespace Management: create, or delete.
    pub(crate) fn manage_namespace(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        const NO_CAPACITY: u8 = 0x15;
        const NO_IDENTIFIER: u8 = 0x16;
        match entry.cdw10_11 & 0xf {
            0 => {
                let data = match self.fetch_data(entry, 4096) {
                    Ok(data) => data,
                    Err(status) => return (0, status),
                };
                let Ok(data) = <[u8; 4096]>::try_from(data) else {
                    return (0, refused(0, 0x02));
                };
                let wanted = IdentifyNamespace::decode(&data);
                let mut namespace = self.config.template.clone();
                let format = wanted.format_index();
                if format > usize::from(namespace.nlbaf) {
                    return (0, refused(1, 0x0a));
                }
                let bytes = u128::from(wanted.nsze) << namespace.lbaf[format].lbads();
                if wanted.nsze == 0 || bytes > self.config.identify.unvmcap {
                    return (0, refused(1, NO_CAPACITY));
                }
                let is_taken = |id: &u32| {
                    let all = self.config.namespaces.iter().chain(&self.config.detached);
                    !all.clone().any(|(other, _)| other == id)
                };
                let Some(nsid) = (1..=self.config.identify.nn.min(1024)).find(is_taken) else {
                    return (0, refused(1, NO_IDENTIFIER));
                };
                (namespace.nsze, namespace.ncap) = (wanted.nsze, wanted.ncap);
                (namespace.flbas, namespace.dps) = (wanted.flbas, wanted.dps);
                self.config.identify.unvmcap -= bytes;
                self.config.detached.push((nsid, namespace));
                (u64::from(nsid), status(0, 0))
            }
            1 => (0, self.delete_namespace(entry.nsid)),
            _ => (0, refused(0, 0x02)),
        }
    }

    fn delete_namespace(&mut self, nsid: u32) -> Status {
        let is_all = nsid == u32::MAX;
        let is_known = |id: u32| is_all || id == nsid;
        let before = self.config.namespaces.len() + self.config.detached.len();
        let attached: Vec<u32> = self.config.namespaces.iter().map(|(id, _)| *id).collect();
        self.config.namespaces.retain(|(id, _)| !is_known(*id));
        self.config.detached.retain(|(id, _)| !is_known(*id));
        if before == self.config.namespaces.len() + self.config.detached.len() {
            return refused(0, 0x0b);
        }
        self.blocks.retain(|(id, _), _| !is_known(*id));
        self.metadata.retain(|(id, _), _| !is_known(*id));
        for id in attached.into_iter().filter(|id| is_known(*id)) {
            self.changed(id);
        }
        status(0, 0)
    }

    /// Set Features, namespace write protection.
    pub(crate) fn protect_namespace(&mut self, nsid: u32, value: u32) -> Status {
        const NOT_CHANGEABLE: u8 = 0x0e;
        if self.config.identify.nwpc & 1 == 0 || value & 7 > 3 {
            return refused(0, 0x02);
        }
        if self.namespace(nsid).is_none() {
            return refused(0, 0x0b);
        }
        match self.write_protected.get(&nsid) {
            // Until the next power cycle, or for ever.
            Some(2 | 3) => refused(1, NOT_CHANGEABLE),
            _ => {
                self.write_protected.insert(nsid, (value & 7) as u8);
                status(0, 0)
            }
        }
    }

    pub(crate) fn protection_of_namespace(&self, nsid: u32) -> (u64, Status) {
        if self.config.identify.nwpc & 1 == 0 {
            return (0, refused(0, 0x02));
        }
        let state = self.write_protected.get(&nsid).copied();
        (u64::from(state.unwrap_or(0)), status(0, 0))
    }
}
