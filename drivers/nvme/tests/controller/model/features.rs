//! Features: current, default and saved values, and what follows from them.

use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::SubmissionEntry;

/// A feature whose value is one dword.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Feature {
    pub(crate) current: u32,
    default: u32,
    saved: Option<u32>,
}

impl Feature {
    fn new(default: u32) -> Self {
        Self {
            current: default,
            default,
            saved: None,
        }
    }
}

/// Features that carry a structure: identifier and bytes.
const LARGE: [(u8, usize); 3] = [(0x0c, 256), (0x0e, 8), (0x16, 512)];

impl Model {
    /// The features of a controller that has just been made.
    pub(crate) fn default_features(&mut self) {
        let identify = &self.config.identify;
        let mut put = |id: u8, default: u32| {
            self.features.insert(id, Feature::new(default));
        };
        put(0x01, 0x7);
        put(0x02, 0);
        put(0x04, 0x157);
        put(0x05, 0);
        if identify.vwc & 1 != 0 {
            put(0x06, 1);
        }
        put(0x08, 0);
        put(0x0a, 0);
        put(0x0b, 0);
        if identify.apsta & 1 != 0 {
            put(0x0c, 0);
        }
        if identify.hmpre != 0 {
            put(0x0d, 0);
        }
        if identify.oncs & 1 << 6 != 0 {
            put(0x0e, 0);
        }
        if identify.kas != 0 {
            put(0x0f, 0);
        }
        if identify.hctma & 1 != 0 {
            put(0x10, 0);
        }
        put(0x16, 0);
    }

    /// The value of a feature that is a dword; 0 if there is no such feature.
    pub(crate) fn feature(&self, id: u8) -> u32 {
        self.features.get(&id).map_or(0, |feature| feature.current)
    }

    /// A controller reset: what was saved comes back, the rest becomes the default.
    pub(crate) fn reset_features(&mut self) {
        for feature in self.features.values_mut() {
            feature.current = feature.saved.unwrap_or(feature.default);
        }
        self.uncoalesced.clear();
        self.large_features.retain(|id, _| *id == 0x0e);
    }

    pub(crate) fn set_features(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        const NOT_SAVEABLE: u8 = 0x0d;
        let (id, value) = (entry.cdw10_11 as u8, (entry.cdw10_11 >> 32) as u32);
        let save = entry.cdw10_11 >> 31 & 1 != 0;
        if id == 0x07 {
            return self.grant_queues(value);
        }
        if id == 0x84 {
            return (0, self.protect_namespace(entry.nsid, value));
        }
        if id == 0x09 {
            return (0, self.set_vector(value));
        }
        if !self.features.contains_key(&id) {
            return (0, refused(0, 0x02));
        }
        let can_save = self.config.identify.oncs & 1 << 4 != 0 && !matches!(id, 0x0d | 0x0e);
        if save && !can_save {
            return (0, refused(1, NOT_SAVEABLE));
        }
        let done = match id {
            0x02 => self.set_power_state((value & 0x1f) as u8),
            0x06 => {
                if value & 1 == 0 {
                    self.cache.flush_all();
                }
                Ok(())
            }
            0x0d => self.set_host_memory(entry),
            0x0f => {
                self.kept_alive = self.clock;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(status) = done {
            return (0, status);
        }
        if let Some((_, bytes)) = LARGE.iter().find(|(large, _)| *large == id) {
            match self.fetch_data(entry, *bytes as u64) {
                Ok(data) => self.take_large(id, data),
                Err(status) => return (0, status),
            }
        }
        if let Some(feature) = self.features.get_mut(&id) {
            feature.current = value;
            if save {
                feature.saved = Some(value);
            }
        }
        (0, status(0, 0))
    }

    fn take_large(&mut self, id: u8, mut data: Vec<u8>) {
        if id == 0x0e {
            // The timestamp goes on from what it is set to.
            let mut bytes = [0; 8];
            bytes[..6].copy_from_slice(&data[..6]);
            let set_at = self.clock / 1000;
            let base = u64::from_le_bytes(bytes).wrapping_sub(set_at);
            data = base.to_le_bytes().to_vec();
        }
        self.large_features.insert(id, data);
    }

    pub(crate) fn get_features(&mut self, entry: &SubmissionEntry) -> (u64, Status) {
        let id = entry.cdw10_11 as u8;
        let select = entry.cdw10_11 >> 8 & 0x7;
        if id == 0x07 {
            let (submission, completion) = self.config.granted;
            let granted = u64::from(submission - 1) | u64::from(completion - 1) << 16;
            return (granted, status(0, 0));
        }
        if id == 0x84 {
            return self.protection_of_namespace(entry.nsid);
        }
        if id == 0x09 {
            let vector = (entry.cdw10_11 >> 32) as u16;
            if vector >= self.config.vectors {
                return (0, refused(0, 0x02));
            }
            let disabled = u64::from(self.uncoalesced.contains(&vector));
            return (u64::from(vector) | disabled << 16, status(0, 0));
        }
        let Some(feature) = self.features.get(&id).copied() else {
            return (0, refused(0, 0x02));
        };
        let value = match select {
            0 => feature.current,
            1 => feature.default,
            2 => feature.saved.unwrap_or(feature.default),
            // Changeable, and saveable if the controller saves anything.
            3 => 0x4 | u32::from(self.config.identify.oncs >> 4 & 1),
            _ => return (0, refused(0, 0x02)),
        };
        if select == 0
            && let Some((_, bytes)) = LARGE.iter().find(|(large, _)| *large == id)
        {
            let data = self.large(id, *bytes);
            if let Err(status) = self.send_data(entry, &data) {
                return (0, status);
            }
        }
        (u64::from(value), status(0, 0))
    }

    fn large(&self, id: u8, bytes: usize) -> Vec<u8> {
        let mut data = self.large_features.get(&id).cloned().unwrap_or_default();
        if id == 0x0e {
            let is_set = !data.is_empty();
            let mut base = [0; 8];
            base[..data.len()].copy_from_slice(&data);
            let now = u64::from_le_bytes(base).wrapping_add(self.clock / 1000);
            data = now.to_le_bytes()[..6].to_vec();
            // Origin: set by the host, or counted since the last reset.
            data.extend([u8::from(is_set) << 1, 0]);
        }
        data.resize(bytes, 0);
        data
    }

    /// Interrupt Vector Configuration: bit 16 switches coalescing off for a vector.
    fn set_vector(&mut self, value: u32) -> Status {
        let vector = value as u16;
        if vector >= self.config.vectors {
            return refused(0, 0x02);
        }
        match value >> 16 & 1 {
            0 => self.uncoalesced.remove(&vector),
            _ => self.uncoalesced.insert(vector),
        };
        status(0, 0)
    }
}
