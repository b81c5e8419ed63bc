//! The model's admin commands: which there are, and what each says.

use super::rings::Fetched;
use super::{Model, refused, status};
use nvme::Status;

impl Model {
    /// Executes an admin command. Returns dwords 0 and 1 of the completion, and the status,
    /// and nothing if the command is not answered now.
    pub(crate) fn admin(&mut self, fetched: &Fetched) -> Option<(u64, Status)> {
        const INVALID_OPCODE: u8 = 0x01;
        let entry = &fetched.entry;
        self.check_entry(entry);
        if entry.cdw0.psdt() != 0 {
            // Over PCI Express, admin commands have PRPs.
            return Some((0, refused(0, 0x02)));
        }
        let opcode = entry.cdw0.opcode();
        if let Some(bad) = self.bad_admin.get(&opcode) {
            return Some((0, *bad));
        }
        let offers = self.config.identify.oacs;
        let result = match opcode {
            0x00 => self.delete(entry.cdw10_11 as u16, false),
            0x01 => self.create(entry, false),
            0x02 => self.get_log_page(entry),
            0x04 => self.delete(entry.cdw10_11 as u16, true),
            0x05 => self.create(entry, true),
            0x06 => self.identify(entry),
            0x08 => return self.abort(entry.cdw10_11 as u16, (entry.cdw10_11 >> 16) as u16),
            0x09 => return Some(self.set_features(entry)),
            0x0a => return Some(self.get_features(entry)),
            0x0c => {
                self.request_event(fetched.clone());
                return None;
            }
            0x0d if offers & 1 << 3 != 0 => return Some(self.manage_namespace(entry)),
            0x10 if offers & 1 << 2 != 0 => self.commit_firmware(entry),
            0x11 if offers & 1 << 2 != 0 => self.download_firmware(entry),
            0x15 if offers & 1 << 3 != 0 => self.attach_namespace(entry),
            0x18 if self.config.identify.kas != 0 => {
                self.kept_alive = self.clock;
                status(0, 0)
            }
            0x7c => self.configure_shadow(entry),
            0x80 if offers & 1 << 1 != 0 => self.format(entry),
            0x84 if self.config.identify.sanicap & 7 != 0 => self.start_sanitize(entry),
            _ => refused(0, INVALID_OPCODE),
        };
        Some((0, result))
    }
}
