//! What a controller can do, beyond what every controller can (NVMe base specification 2.0,
//! section 5.17.2.1: ONCS, OACS, OAES, CTRATT, LPA, SGLS and others).

use crate::power::PowerStates;
use crate::sgl::Granularity;
use crate::wire::IdentifyController;
use bitfield_struct::bitfield;

/// What Identify Controller says that the controller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Optional I/O commands (ONCS).
    pub io: IoAbilities,
    /// Optional admin commands (OACS).
    pub admin: AdminAbilities,
    /// Log pages (LPA).
    pub logs: LogAbilities,
    /// Asynchronous events that it can report (OAES), as the feature that turns them on has
    /// them.
    pub events: u32,
    /// Asynchronous Event Requests that it takes at a time (AERL).
    pub event_requests: u16,
    /// Abort commands that it takes at a time (ACL).
    pub aborts: u16,
    /// Entries of the error log (ELPE).
    pub error_entries: u16,
    /// Command Retry Delay Times 1 to 3 (CRDT), in units of 100 ms.
    pub retry_delays: [u16; 3],
    /// Formats of a Copy command, a bit for each (OCFS).
    pub copy_formats: u16,
    /// There are formats beyond the sixteenth and guards of 64 bits (CTRATT bit 15, ELBAS), if
    /// the host turns them on (LBAFEE).
    pub extended_formats: bool,
    /// Formatting changes all namespaces, and not one (FNA bit 0).
    pub formats_all: bool,
    /// Format NVM can erase the key of everything (FNA bit 2).
    pub crypto_erase: bool,
    /// A flush of all namespaces at a time works (VWC bits 2:1).
    pub flushes_all: bool,
    /// What the controller takes of scatter gather lists.
    pub sgl: Sgl,
    /// Keep Alive granularity in milliseconds (KAS); 0 is no Keep Alive.
    pub keep_alive_milliseconds: u32,
    /// Namespaces may be shared with other controllers (CMIC bit 1).
    pub is_shared: bool,
    /// Power states, and whether it can change them by itself.
    pub power: PowerStates,
    /// Sanitize operations (SANICAP).
    pub sanitize: SanitizeAbilities,
    /// The number of blocks that are written as a whole or not at all if power fails (AWUPF).
    pub atomic_blocks: u32,
}

/// Optional NVM Command Support (ONCS).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct IoAbilities {
    /// Compare.
    pub compare: bool,
    /// Write Uncorrectable.
    pub write_uncorrectable: bool,
    /// Dataset Management.
    pub dataset_management: bool,
    /// Write Zeroes.
    pub write_zeroes: bool,
    /// Features can be saved and selected.
    pub save_select: bool,
    /// Reservations.
    pub reservations: bool,
    /// The Timestamp feature.
    pub timestamp: bool,
    /// Verify.
    pub verify: bool,
    /// Copy.
    pub copy: bool,
    #[bits(7)]
    __: u8,
}

/// Optional Admin Command Support (OACS).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct AdminAbilities {
    /// Security Send and Security Receive.
    pub security: bool,
    /// Format NVM.
    pub format: bool,
    /// Firmware Commit and Firmware Image Download.
    pub firmware: bool,
    /// Namespace Management and Namespace Attachment.
    pub namespaces: bool,
    /// Device Self-test.
    pub self_test: bool,
    /// Directives.
    pub directives: bool,
    /// NVMe-MI Send and Receive.
    pub management_interface: bool,
    /// Virtualization Management.
    pub virtualization: bool,
    /// Doorbell Buffer Config.
    pub doorbell_buffer: bool,
    /// Get LBA Status.
    pub lba_status: bool,
    #[bits(6)]
    __: u8,
}

/// Log Page Attributes (LPA).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct LogAbilities {
    /// The health log of one namespace can be read.
    pub health_of_namespace: bool,
    /// There is a Commands Supported and Effects log.
    pub effects: bool,
    /// Get Log Page takes offsets, and lengths beyond 12 bits.
    pub extended: bool,
    /// There are telemetry logs.
    pub telemetry: bool,
    /// There is a persistent event log.
    pub persistent_events: bool,
    #[bits(3)]
    __: u8,
}

/// Sanitize Capabilities (SANICAP).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct SanitizeAbilities {
    /// Crypto Erase.
    pub crypto_erase: bool,
    /// Block Erase.
    pub block_erase: bool,
    /// Overwrite.
    pub overwrite: bool,
    #[bits(29)]
    __: u32,
}

/// What a controller takes of scatter gather lists (SGLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sgl {
    /// None: PRPs only.
    No,
    /// Lists whose pieces may lie anywhere.
    Bytes {
        /// There may be a Bit Bucket descriptor.
        bit_bucket: bool,
    },
    /// Lists whose pieces start and end at multiples of 4 bytes.
    Dwords {
        /// There may be a Bit Bucket descriptor.
        bit_bucket: bool,
    },
}

impl Sgl {
    const fn new(sgls: u32) -> Self {
        let bit_bucket = sgls >> 16 & 1 != 0;
        match sgls & 3 {
            1 => Self::Bytes { bit_bucket },
            2 => Self::Dwords { bit_bucket },
            _ => Self::No,
        }
    }

    /// What pieces of a list must be multiples of; `None` if there are no lists.
    pub(crate) const fn granularity(self) -> Option<Granularity> {
        match self {
            Self::No => None,
            Self::Bytes { .. } => Some(Granularity::Byte),
            Self::Dwords { .. } => Some(Granularity::Dword),
        }
    }
}

impl Abilities {
    /// Reads them from what the controller says of itself.
    pub fn new(identify: &IdentifyController) -> Self {
        Self {
            io: IoAbilities::from_bits(identify.oncs),
            admin: AdminAbilities::from_bits(identify.oacs),
            logs: LogAbilities::from_bits(identify.lpa),
            events: identify.oaes,
            event_requests: u16::from(identify.aerl) + 1,
            aborts: u16::from(identify.acl) + 1,
            error_entries: u16::from(identify.elpe) + 1,
            retry_delays: identify.crdt,
            copy_formats: identify.ocfs,
            extended_formats: identify.ctratt >> 15 & 1 != 0,
            formats_all: identify.fna & 1 != 0,
            crypto_erase: identify.fna & 4 != 0,
            // 11b says that it works, 00b that nobody knows.
            flushes_all: identify.vwc >> 1 & 3 == 3,
            sgl: Sgl::new(identify.sgls),
            keep_alive_milliseconds: u32::from(identify.kas) * 100,
            is_shared: identify.cmic & 2 != 0,
            power: PowerStates::new(identify),
            sanitize: SanitizeAbilities::from_bits(identify.sanicap),
            atomic_blocks: u32::from(identify.awupf) + 1,
        }
    }

    /// True if a Copy command with descriptions of this format can be sent.
    pub const fn can_copy(&self, format: u8) -> bool {
        self.io.copy() && format < 16 && self.copy_formats >> format & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that QEMU 7.2 sends.
    #[test]
    fn the_words_of_qemu_mean_what_it_can_do() {
        let identify = IdentifyController {
            oacs: 0x10a,
            oncs: 0x15d,
            oaes: 0x100,
            acl: 3,
            aerl: 3,
            lpa: 7,
            sgls: 1,
            vwc: 7,
            ocfs: 3,
            ctratt: 1 << 15,
            ..IdentifyController::default()
        };
        let abilities = Abilities::new(&identify);
        let io = abilities.io;
        assert!(io.compare() && io.dataset_management() && io.write_zeroes() && io.copy());
        assert!(io.save_select() && io.timestamp());
        assert!(!io.write_uncorrectable() && !io.reservations() && !io.verify());
        let admin = abilities.admin;
        assert!(admin.format() && admin.namespaces() && admin.doorbell_buffer());
        assert!(!admin.firmware() && !admin.self_test() && !admin.security());
        assert_eq!((abilities.aborts, abilities.event_requests), (4, 4));
        assert!(abilities.logs.effects() && abilities.logs.extended());
        assert_eq!(abilities.sgl, Sgl::Bytes { bit_bucket: false });
        assert!(abilities.flushes_all && abilities.extended_formats);
        assert!(abilities.can_copy(0) && abilities.can_copy(1));
        assert!(!abilities.can_copy(2) && !abilities.can_copy(16));
    }

    #[test]
    fn a_controller_of_zeros_can_do_nothing_extra() {
        let abilities = Abilities::new(&IdentifyController::default());
        assert_eq!(abilities.io, IoAbilities::new());
        assert_eq!(abilities.admin, AdminAbilities::new());
        assert_eq!(abilities.sgl, Sgl::No);
        assert!(!abilities.can_copy(0));
        assert_eq!((abilities.aborts, abilities.event_requests), (1, 1));
    }

    #[test]
    fn lists_have_two_alignments_and_an_unknown_one() {
        assert_eq!(Sgl::new(2), Sgl::Dwords { bit_bucket: false });
        assert_eq!(Sgl::new(0x1_0001), Sgl::Bytes { bit_bucket: true });
        assert_eq!(Sgl::new(3), Sgl::No);
    }
}
