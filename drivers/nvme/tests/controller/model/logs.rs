//! Log pages.

use super::io::Action;
use super::rings::Fetched;
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::{
    ActiveFirmware, CommandEffects, Effects, ErrorEntry, FirmwareSlots, Health, SubmissionEntry,
};
use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Logs {
    /// Errors, the latest first.
    pub(crate) errors: VecDeque<ErrorEntry>,
    error_count: u64,
    pub(crate) health: Option<Health>,
    units_read: u128,
    units_written: u128,
    reads: u128,
    writes: u128,
    /// Log pages are noise.
    pub(crate) are_rubbish: bool,
    /// Log pages that were read, by identifier.
    pub(crate) read: Vec<u8>,
}

impl Model {
    /// Get Log Page.
    pub(crate) fn get_log_page(&mut self, entry: &SubmissionEntry) -> Status {
        const INVALID_LOG_PAGE: u8 = 0x09;
        let dw10 = entry.cdw10_11 as u32;
        let (page, retain) = (dw10 as u8, dw10 >> 15 & 1 != 0);
        let dwords = u64::from(dw10 >> 16) | (entry.cdw10_11 >> 32 & 0xffff) << 16;
        let bytes = (dwords + 1) * 4;
        let offset = entry.cdw12_13;
        if bytes > 1 << 20 || bytes > self.most_bytes() || !offset.is_multiple_of(4) {
            return refused(0, 0x02);
        }
        let whole = match page {
            0x01 => self.error_log(),
            0x02 => self.health_log(),
            0x03 => self.firmware_log(),
            0x04 => self.changed_namespaces(),
            0x05 => self.effects_log(),
            0x81 if self.config.identify.sanicap & 7 != 0 => self.sanitize_log(),
            _ => return refused(1, INVALID_LOG_PAGE),
        };
        if offset > whole.len() as u64 {
            return refused(0, 0x02);
        }
        self.logs.read.push(page);
        let mut data = whole[offset as usize..].to_vec();
        data.resize(bytes as usize, 0);
        if self.logs.are_rubbish {
            for chunk in data.chunks_mut(8) {
                chunk.copy_from_slice(&self.random().to_le_bytes()[..chunk.len()]);
            }
        }
        if let Err(status) = self.send_data(entry, &data) {
            return status;
        }
        if !retain {
            self.page_was_read(page);
        }
        status(0, 0)
    }

    /// Enters a command that failed into the error log.
    pub(crate) fn log_error(&mut self, fetched: &Fetched, status: Status) {
        let log = &mut self.logs;
        log.error_count += 1;
        log.errors.push_front(ErrorEntry {
            count: log.error_count,
            sqid: fetched.queue,
            cid: fetched.entry.cdw0.cid(),
            status,
            lba: fetched.entry.cdw10_11,
            nsid: fetched.entry.nsid,
            ..ErrorEntry::default()
        });
        log.errors
            .truncate(usize::from(self.config.identify.elpe) + 1);
    }

    fn error_log(&self) -> Vec<u8> {
        let entries = usize::from(self.config.identify.elpe) + 1;
        let mut data = Vec::new();
        for entry in self.logs.errors.iter() {
            let mut bytes = [0; ErrorEntry::BYTES];
            entry.encode(&mut bytes);
            data.extend_from_slice(&bytes);
        }
        data.resize(entries * ErrorEntry::BYTES, 0);
        data
    }

    /// Counts for the health log: data units are thousands of 512 bytes.
    pub(crate) fn count_transfer(&mut self, action: Action, bytes: u64) {
        let units = u128::from(bytes / 512);
        match action {
            Action::Write => {
                self.logs.writes += 1;
                self.logs.units_written += units;
            }
            Action::Read | Action::Compare => {
                self.logs.reads += 1;
                self.logs.units_read += units;
            }
            Action::Verify => {}
        }
    }

    fn health_log(&self) -> Vec<u8> {
        let mut health = self.logs.health.clone().unwrap_or_default();
        if self.logs.health.is_none() {
            (health.temperature, health.spare, health.spare_threshold) = (310, 100, 10);
        }
        health.units_read = self.logs.units_read.div_ceil(1000);
        health.units_written = self.logs.units_written.div_ceil(1000);
        (health.reads, health.writes) = (self.logs.reads, self.logs.writes);
        health.error_entries = u128::from(self.logs.error_count);
        health.power_cycles = self.power_cycles;
        health.unsafe_shutdowns = self.unsafe_shutdowns;
        let mut bytes = [0; Health::BYTES];
        health.encode(&mut bytes);
        bytes.to_vec()
    }

    fn firmware_log(&self) -> Vec<u8> {
        let mut slots = FirmwareSlots {
            afi: ActiveFirmware::new()
                .with_active(1)
                .with_next(self.next_firmware),
            frs: [[0; 8]; 7],
        };
        slots.frs[0] = self.config.identify.fr;
        if self.next_firmware > 1 {
            slots.frs[usize::from(self.next_firmware) - 1] = *b"2.0     ";
        }
        let mut bytes = [0; FirmwareSlots::BYTES];
        slots.encode(&mut bytes);
        bytes.to_vec()
    }

    fn changed_namespaces(&self) -> Vec<u8> {
        let mut data = vec![0; 4096];
        let changed = &self.events.changed;
        // More than 1024 do not fit; the list says so by its first entry.
        let ids = match changed.len() {
            0..=1024 => changed.iter().copied().collect(),
            _ => vec![u32::MAX],
        };
        for (place, id) in data.chunks_mut(4).zip(ids) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        data
    }

    fn effects_log(&self) -> Vec<u8> {
        let none = CommandEffects::new();
        let supported = none.with_csupp(true);
        let writes = supported.with_lbcc(true);
        let mut effects = Effects {
            admin: [none; 256],
            io: [none; 256],
        };
        for opcode in [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c] {
            effects.admin[opcode] = supported;
        }
        let oacs = self.config.identify.oacs;
        if oacs & 1 << 1 != 0 {
            effects.admin[0x80] = writes.with_ncc(true).with_cse(1);
        }
        if oacs & 1 << 3 != 0 {
            effects.admin[0x0d] = supported.with_nic(true);
            effects.admin[0x15] = supported.with_nic(true);
        }
        if oacs & 1 << 8 != 0 {
            effects.admin[0x7c] = supported;
        }
        if self.config.identify.sanicap & 7 != 0 {
            effects.admin[0x84] = writes.with_cse(2);
        }
        (effects.io[0], effects.io[1], effects.io[2]) = (supported, writes, supported);
        let oncs = self.config.identify.oncs;
        for (bit, opcode, effect) in [
            (0, 0x05, supported),
            (2, 0x09, writes),
            (3, 0x08, writes),
            (7, 0x0c, supported),
            (8, 0x19, writes),
        ] {
            if oncs >> bit & 1 != 0 {
                effects.io[opcode] = effect;
            }
        }
        let mut bytes = [0; Effects::BYTES];
        effects.encode(&mut bytes);
        bytes.to_vec()
    }
}
