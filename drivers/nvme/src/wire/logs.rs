//! Log pages (NVMe base specification 2.0, section 5.16.1).

use super::fields::{bitfields, structure};
use crate::status::Status;
use bitfield_struct::bitfield;

structure! {
    /// Error Information Log Entry (log identifier 01h).
    ErrorEntry: 64 {
        /// Error Count: a number for each error since the controller left the factory; 0 marks
        /// an entry that is not used.
        0 => count: u64,
        /// Submission Queue ID.
        8 => sqid: u16,
        /// Command ID.
        10 => cid: u16,
        /// Status Field of the command, with the phase tag.
        12 => status: Status,
        /// Parameter Error Location: byte in bits 7:0 and bit in bits 10:8 of the command.
        14 => location: u16,
        /// First logical block with the error.
        16 => lba: u64,
        /// Namespace of the command.
        24 => nsid: u32,
        /// Log identifier of a page with more about it; 0 is none.
        28 => vendor: u8,
        /// Transport Type (TRTYPE).
        29 => trtype: u8,
        /// Command Specific Information.
        32 => specific: u64,
    }
}

structure! {
    /// SMART / Health Information (log identifier 02h).
    Health: 512 {
        /// Critical Warning.
        0 => warning: CriticalWarning,
        /// Composite Temperature in kelvins.
        1 => temperature: u16,
        /// Available Spare in percent.
        3 => spare: u8,
        /// Available Spare Threshold in percent.
        4 => spare_threshold: u8,
        /// Percentage Used; may be more than 100.
        5 => used: u8,
        /// Endurance Group Critical Warning Summary.
        6 => endurance_warning: u8,
        /// Data Units Read, in thousands of 512 bytes.
        32 => units_read: u128,
        /// Data Units Written, in thousands of 512 bytes.
        48 => units_written: u128,
        /// Host Read Commands.
        64 => reads: u128,
        /// Host Write Commands.
        80 => writes: u128,
        /// Controller Busy Time in minutes.
        96 => busy_minutes: u128,
        /// Power Cycles.
        112 => power_cycles: u128,
        /// Power On Hours.
        128 => power_on_hours: u128,
        /// Unsafe Shutdowns.
        144 => unsafe_shutdowns: u128,
        /// Media and Data Integrity Errors.
        160 => media_errors: u128,
        /// Number of Error Information Log Entries.
        176 => error_entries: u128,
        /// Warning Composite Temperature Time in minutes.
        192 => warm_minutes: u32,
        /// Critical Composite Temperature Time in minutes.
        196 => hot_minutes: u32,
        /// Temperature Sensors 1 to 8 in kelvins; 0 is none.
        200 => sensors: [u16; 8],
    }
}

/// Critical Warning of the health log.
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct CriticalWarning {
    /// The available spare is below its threshold.
    pub spare: bool,
    /// A temperature is beyond a threshold.
    pub temperature: bool,
    /// The subsystem is not reliable any more.
    pub reliability: bool,
    /// The media is read-only.
    pub read_only: bool,
    /// The backup of the volatile memory has failed.
    pub backup: bool,
    /// The Persistent Memory Region is read-only or unreliable.
    pub persistent_memory: bool,
    #[bits(2)]
    __: u8,
}

structure! {
    /// Firmware Slot Information (log identifier 03h).
    FirmwareSlots: 512 {
        /// Active Firmware Info (AFI).
        0 => afi: ActiveFirmware,
        /// Firmware Revision for Slots 1 to 7 (FRS); zeros are an empty slot.
        8 => frs: [[u8; 8]; 7],
    }
}

/// Active Firmware Info (AFI).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ActiveFirmware {
    /// Slot of the firmware that runs.
    #[bits(3)]
    pub active: u8,
    __: bool,
    /// Slot of the firmware that runs after the next controller reset; 0 is the same.
    #[bits(3)]
    pub next: u8,
    __: bool,
}

structure! {
    /// Commands Supported and Effects (log identifier 05h).
    Effects: 4096 {
        /// Admin commands by opcode (ACS).
        0 => admin: [CommandEffects; 256],
        /// I/O commands by opcode (IOCS).
        1024 => io: [CommandEffects; 256],
    }
}

/// What a command does, by its effects log entry.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CommandEffects {
    /// Command Supported (CSUPP).
    pub csupp: bool,
    /// Logical Block Content Change (LBCC).
    pub lbcc: bool,
    /// Namespace Capability Change (NCC).
    pub ncc: bool,
    /// Namespace Inventory Change (NIC).
    pub nic: bool,
    /// Controller Capability Change (CCC).
    pub ccc: bool,
    #[bits(11)]
    __: u16,
    /// Command Submission and Execution (CSE): 0 is no restriction, 1 no other command in the
    /// same namespace, 2 no other command in any.
    #[bits(3)]
    pub cse: u8,
    /// UUID Selection Supported.
    pub uuid: bool,
    #[bits(12)]
    __: u16,
}

structure! {
    /// Sanitize Status (log identifier 81h).
    SanitizeLog: 512 {
        /// Sanitize Progress (SPROG), in parts of 65536.
        0 => sprog: u16,
        /// Sanitize Status (SSTAT).
        2 => sstat: SanitizeState,
        /// Sanitize Command Dword 10 Information (SCDW10).
        4 => scdw10: u32,
        /// Estimated Time For Overwrite in seconds; FFFFFFFFh is unsaid.
        8 => overwrite_seconds: u32,
        /// Estimated Time For Block Erase in seconds; FFFFFFFFh is unsaid.
        12 => erase_seconds: u32,
        /// Estimated Time For Crypto Erase in seconds; FFFFFFFFh is unsaid.
        16 => crypto_seconds: u32,
    }
}

/// Sanitize Status (SSTAT).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct SanitizeState {
    /// Status of the most recent operation: 0 never, 1 done, 2 going on, 3 failed, 4 done
    /// without deallocation.
    #[bits(3)]
    pub status: u8,
    /// Completed passes of an overwrite.
    #[bits(5)]
    pub passes: u8,
    /// Global Data Erased: nothing was written since.
    pub erased: bool,
    #[bits(7)]
    __: u8,
}

bitfields!(
    Status: u16
    CriticalWarning: u8
    ActiveFirmware: u8
    CommandEffects: u32
    SanitizeState: u16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_fields_are_at_their_offsets() {
        let mut bytes = [0; 512];
        bytes[0] = 0x02;
        bytes[1..3].copy_from_slice(&323_u16.to_le_bytes());
        bytes[3..6].copy_from_slice(&[100, 10, 1]);
        bytes[64] = 5;
        bytes[80 + 15] = 1;
        bytes[176] = 9;
        bytes[200] = 7;
        let health = Health::decode(&bytes);
        assert!(health.warning.temperature());
        assert_eq!(
            (health.temperature, health.spare, health.spare_threshold),
            (323, 100, 10)
        );
        assert_eq!((health.used, health.reads, health.writes), (1, 5, 1 << 120));
        assert_eq!((health.error_entries, health.sensors[0]), (9, 7));
        let mut again = [0; 512];
        health.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn effects_say_what_a_command_does() {
        let mut bytes = [0; 4096];
        bytes[4 * 0x80..4 * 0x80 + 4].copy_from_slice(&0x0002_0007_u32.to_le_bytes());
        bytes[1024 + 4..1024 + 8].copy_from_slice(&3_u32.to_le_bytes());
        let effects = Effects::decode(&bytes);
        let format = effects.admin[0x80];
        assert!(format.csupp() && format.lbcc() && format.ncc() && !format.nic());
        assert_eq!(format.cse(), 2);
        assert!(effects.io[1].lbcc());
        assert!(!effects.io[2].csupp());
    }

    #[test]
    fn slots_and_sanitize_states_are_decoded() {
        let mut bytes = [0; 512];
        bytes[0] = 0x21;
        bytes[8..16].copy_from_slice(b"1.0     ");
        let slots = FirmwareSlots::decode(&bytes);
        assert_eq!((slots.afi.active(), slots.afi.next()), (1, 2));
        assert_eq!(&slots.frs[0], b"1.0     ");
        let mut bytes = [0; 512];
        bytes[1] = 0x80;
        bytes[2..4].copy_from_slice(&0x011a_u16.to_le_bytes());
        let sanitize = SanitizeLog::decode(&bytes);
        assert_eq!((sanitize.sprog, sanitize.sstat.status()), (0x8000, 2));
        assert_eq!(sanitize.sstat.passes(), 3);
        assert!(sanitize.sstat.erased());
    }
}
