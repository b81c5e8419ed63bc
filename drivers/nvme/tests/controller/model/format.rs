//! What erases everything: Format NVM and Sanitize. And new firmware.

use super::events::Event;
use super::{Model, refused, status};
use nvme::Status;
use nvme::wire::{SanitizeLog, SanitizeState, SubmissionEntry};

#[derive(Default)]
pub(crate) struct Sanitize {
    /// When it began and when it will be over.
    going_on: Option<(u64, u64)>,
    progress: u16,
    state: SanitizeState,
    command: u32,
}

impl Sanitize {
    pub(crate) fn is_going_on(&self) -> bool {
        self.going_on.is_some()
    }
}

impl Model {
    /// Format NVM: another LBA format, and nothing that was there before.
    pub(crate) fn format(&mut self, entry: &SubmissionEntry) -> Status {
        const INVALID_FORMAT: u8 = 0x0a;
        let dw10 = entry.cdw10_11 as u32;
        let format = (dw10 & 0xf | (dw10 >> 12 & 3) << 4) as u8;
        let (is_interleaved, kind) = (dw10 >> 4 & 1 != 0, (dw10 >> 5 & 7) as u8);
        let (is_first, erase) = (dw10 >> 8 & 1 != 0, dw10 >> 9 & 7);
        let ids: Vec<u32> = match entry.nsid {
            u32::MAX => self.config.namespaces.iter().map(|(id, _)| *id).collect(),
            nsid if self.namespace(nsid).is_some() => vec![nsid],
            _ => return refused(0, 0x0b),
        };
        if erase > 2 || kind > 3 || (erase == 2 && self.config.identify.fna & 4 == 0) {
            return refused(0, 0x02);
        }
        for nsid in &ids {
            if let Err(status) = self.check_protected(*nsid) {
                return status;
            }
            let is_wide = self
                .config
                .extras
                .get(nsid)
                .is_some_and(|extra| extra.nvm.elbaf[usize::from(format)].pif() == 2);
            let Some(namespace) = self.namespace(*nsid) else {
                return refused(0, 0x0b);
            };
            let lbaf = namespace.lbaf[usize::from(format)];
            let is_possible = format <= namespace.nlbaf
                && lbaf.lbads() >= 9
                && (kind == 0 || namespace.dpc >> (kind - 1) & 1 != 0)
                && (kind == 0 || lbaf.ms() >= if is_wide { 16 } else { 8 })
                && (!is_first || kind == 0 || namespace.dpc & 8 != 0);
            if !is_possible {
                return refused(1, INVALID_FORMAT);
            }
        }
        for (id, namespace) in &mut self.config.namespaces {
            if !ids.contains(id) {
                continue;
            }
            let bytes =
                u128::from(namespace.nsze) << namespace.lbaf[namespace.format_index()].lbads();
            namespace.flbas = format & 0xf | u8::from(is_interleaved) << 4 | (format >> 4) << 5;
            namespace.dps = kind | u8::from(is_first) << 3;
            let blocks = (bytes >> namespace.lbaf[namespace.format_index()].lbads()) as u64;
            (namespace.nsze, namespace.ncap) = (blocks, blocks);
        }
        for nsid in ids {
            self.erase(|id| id == nsid);
        }
        status(0, 0)
    }

    fn erase(&mut self, is_meant: impl Fn(u32) -> bool) {
        self.cache.flush_all();
        self.blocks.retain(|(id, _), _| !is_meant(*id));
        self.metadata.retain(|(id, _), _| !is_meant(*id));
        self.deallocated.retain(|(id, _)| !is_meant(*id));
        self.zones.retain(|id, _| !is_meant(*id));
    }

    /// Sanitize: it begins here and goes on by itself, over resets.
    pub(crate) fn start_sanitize(&mut self, entry: &SubmissionEntry) -> Status {
        let dw10 = entry.cdw10_11 as u32;
        let offered = self.config.identify.sanicap;
        let is_offered = match dw10 & 7 {
            1 => true,
            2 => offered & 2 != 0,
            3 => offered & 4 != 0,
            4 => offered & 1 != 0,
            _ => false,
        };
        if !is_offered {
            return refused(0, 0x02);
        }
        if self.sanitize.is_going_on() {
            return refused(0, 0x1d);
        }
        if dw10 & 7 != 1 {
            self.sanitize.going_on = Some((self.clock, self.clock + self.config.sanitize_time));
            self.sanitize.state = SanitizeState::new().with_status(2);
        }
        self.sanitize.command = dw10;
        status(0, 0)
    }

    /// How far it has come.
    pub(crate) fn follow_sanitize(&mut self) {
        let Some((start, end)) = self.sanitize.going_on else {
            return;
        };
        if self.clock < end {
            let done = (self.clock - start) * 65536 / (end - start).max(1);
            self.sanitize.progress = done.min(65535) as u16;
            return;
        }
        self.erase(|_| true);
        self.sanitize.going_on = None;
        self.sanitize.progress = u16::MAX;
        self.sanitize.state = SanitizeState::new().with_status(1).with_erased(true);
        self.event(Event::SANITIZED);
    }

    pub(crate) fn sanitize_log(&self) -> Vec<u8> {
        let is_new = self.sanitize.state.status() == 0;
        let log = SanitizeLog {
            sprog: if is_new {
                u16::MAX
            } else {
                self.sanitize.progress
            },
            sstat: self.sanitize.state,
            scdw10: self.sanitize.command,
            overwrite_seconds: u32::MAX,
            erase_seconds: (self.config.sanitize_time / 1_000_000) as u32,
            crypto_seconds: u32::MAX,
        };
        let mut bytes = [0; SanitizeLog::BYTES];
        log.encode(&mut bytes);
        bytes.to_vec()
    }

    /// Firmware Image Download: a piece of an image.
    pub(crate) fn download_firmware(&mut self, entry: &SubmissionEntry) -> Status {
        let bytes = ((entry.cdw10_11 & 0xffff_ffff) + 1) * 4;
        let offset = (entry.cdw10_11 >> 32) * 4;
        if bytes > self.most_bytes().min(1 << 20) || offset > 1 << 24 {
            return refused(0, 0x02);
        }
        match self.fetch_data(entry, bytes) {
            Ok(data) => {
                let end = offset as usize + data.len();
                if self.image.len() < end {
                    self.image.resize(end, 0);
                }
                self.image[offset as usize..end].copy_from_slice(&data);
                status(0, 0)
            }
            Err(status) => status,
        }
    }

    /// Firmware Commit: the image goes to a slot, and runs after the next reset.
    pub(crate) fn commit_firmware(&mut self, entry: &SubmissionEntry) -> Status {
        const INVALID_SLOT: u8 = 0x06;
        const INVALID_IMAGE: u8 = 0x07;
        const NEEDS_RESET: u8 = 0x11;
        let (slot, action) = ((entry.cdw10_11 & 7) as u8, entry.cdw10_11 >> 3 & 7);
        let slots = self.config.identify.frmw >> 1 & 7;
        if slot > slots || slot == 1 {
            return refused(1, INVALID_SLOT);
        }
        if action <= 1 && !self.image.starts_with(b"FIRM") {
            return refused(1, INVALID_IMAGE);
        }
        if action == 0 {
            return status(0, 0);
        }
        self.next_firmware = slot.max(2);
        status(1, NEEDS_RESET)
    }

    /// The controller begins to activate new firmware by itself, and pauses for so long.
    pub(crate) fn activate_firmware(&mut self, microseconds: u64) {
        self.paused_until = Some(self.clock + microseconds);
        self.event(Event::FIRMWARE);
    }
}
