//! Get Log Page (NVMe base specification 2.0, section 5.16).

use crate::command::Command;
use crate::wire::SubmissionEntry;

/// A log page, by its Log Page Identifier (LID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogPage {
    /// Error Information.
    Errors,
    /// SMART / Health Information.
    Health,
    /// Firmware Slot Information.
    FirmwareSlots,
    /// Changed Namespace List.
    ChangedNamespaces,
    /// Commands Supported and Effects.
    Effects,
    /// Device Self-test.
    SelfTest,
    /// Sanitize Status.
    Sanitize,
    /// Changed Zone List.
    ChangedZones,
}

impl LogPage {
    /// Log Page Identifier (LID).
    pub const fn id(self) -> u8 {
        match self {
            Self::Errors => 0x01,
            Self::Health => 0x02,
            Self::FirmwareSlots => 0x03,
            Self::ChangedNamespaces => 0x04,
            Self::Effects => 0x05,
            Self::SelfTest => 0x06,
            Self::Sanitize => 0x81,
            Self::ChangedZones => 0xbf,
        }
    }

    /// The page with this identifier; `None` if this driver does not know it.
    pub const fn new(id: u8) -> Option<Self> {
        Some(match id {
            0x01 => Self::Errors,
            0x02 => Self::Health,
            0x03 => Self::FirmwareSlots,
            0x04 => Self::ChangedNamespaces,
            0x05 => Self::Effects,
            0x06 => Self::SelfTest,
            0x81 => Self::Sanitize,
            0xbf => Self::ChangedZones,
            _ => return None,
        })
    }
}

/// Reads `bytes` bytes of a log page, a multiple of 4 and not 0, from byte `offset` of it on.
///
/// `nsid` is FFFFFFFFh for the controller's own. Without `is_retained`, reading the page clears
/// the asynchronous event that led there (Retain Asynchronous Event, RAE). An offset needs the
/// controller's support (LPA bit 2).
pub const fn get_log_page(
    page: LogPage,
    nsid: u32,
    bytes: u32,
    offset: u64,
    is_retained: bool,
) -> SubmissionEntry {
    const RETAIN: u64 = 1 << 15;
    // Number of Dwords (NUMD), zero-based, is in two halves.
    let dwords = (bytes / 4).saturating_sub(1) as u64;
    let retain = if is_retained { RETAIN } else { 0 };
    SubmissionEntry {
        nsid,
        cdw10_11: page.id() as u64 | retain | (dwords & 0xffff) << 16 | (dwords >> 16) << 32,
        cdw12_13: offset,
        ..Command::GetLogPage.entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_laid_out_as_specified() {
        let entry = get_log_page(LogPage::Health, u32::MAX, 512, 0, false);
        assert_eq!(entry.cdw0.opcode(), 0x02);
        assert_eq!((entry.nsid, entry.cdw10_11), (u32::MAX, 0x007f_0002));
        let entry = get_log_page(LogPage::ChangedNamespaces, u32::MAX, 4096, 0, true);
        assert_eq!(entry.cdw10_11, 0x03ff_8004);
        let offset = 0x1_0000_0040;
        let entry = get_log_page(LogPage::Errors, u32::MAX, 0x8_0000, offset, false);
        assert_eq!(entry.cdw10_11, 0x0000_0001_ffff_0001, "NUMD has two halves");
        assert_eq!(entry.cdw12_13, offset);
    }

    #[test]
    fn pages_have_their_numbers() {
        let known = (0..=255).filter_map(|id| LogPage::new(id).map(|page| (id, page)));
        assert!(known.clone().all(|(id, page)| page.id() == id));
        assert_eq!(known.count(), 8);
    }
}
