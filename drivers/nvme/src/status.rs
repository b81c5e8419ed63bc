//! Status of a completed command (NVMe base specification 2.0, section 3.3.3.2.1).
//!
//! A command has succeeded only if the Status Code Type (SCT) and the Status Code (SC) are
//! both zero. Code 0 of another type is an error, and code 80h means different things for
//! different types. So the two always travel together, and Do Not Retry (DNR) with them.

use bitfield_struct::bitfield;
use core::fmt;

/// The upper half of a completion's dword 3: the phase tag and the status field.
#[bitfield(u16, debug = false)]
#[derive(PartialEq, Eq)]
pub struct Status {
    /// Phase Tag (P). No part of the status; it only shares the word.
    pub phase: bool,
    /// Status Code (SC).
    pub sc: u8,
    /// Status Code Type (SCT).
    #[bits(3)]
    pub sct: u8,
    /// Command Retry Delay (CRD).
    #[bits(2)]
    pub crd: u8,
    /// More (M): the error log page says more.
    pub more: bool,
    /// Do Not Retry (DNR): the same command would fail again.
    pub dnr: bool,
}

impl Status {
    /// True if the command did what it was asked to do.
    pub const fn is_success(&self) -> bool {
        self.sct() == 0 && self.sc() == 0
    }

    /// The specification's name of the status.
    pub fn name(&self) -> &'static str {
        let names = match self.sct() {
            0 => GENERIC,
            1 => COMMAND_SPECIFIC,
            2 => MEDIA,
            3 => PATH,
            7 => return "Vendor Specific",
            _ => return "Reserved Status Code Type",
        };
        match names.binary_search_by_key(&self.sc(), |(code, _)| *code) {
            Ok(index) => names[index].1,
            Err(_) if self.sc() >= 0xc0 => "Vendor Specific",
            Err(_) => "Reserved Status Code",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (SCT {:x}h, SC {:02x}h",
            self.name(),
            self.sct(),
            self.sc()
        )?;
        if self.dnr() {
            f.write_str(", do not retry")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Status codes of one type with their names, sorted by code.
type Names = &'static [(u8, &'static str)];

/// SCT 0h: Generic Command Status.
const GENERIC: Names = &[
    (0x00, "Successful Completion"),
    (0x01, "Invalid Command Opcode"),
    (0x02, "Invalid Field in Command"),
    (0x03, "Command ID Conflict"),
    (0x04, "Data Transfer Error"),
    (0x05, "Commands Aborted due to Power Loss Notification"),
    (0x06, "Internal Error"),
    (0x07, "Command Abort Requested"),
    (0x08, "Command Aborted due to SQ Deletion"),
    (0x09, "Command Aborted due to Failed Fused Command"),
    (0x0a, "Command Aborted due to Missing Fused Command"),
    (0x0b, "Invalid Namespace or Format"),
    (0x0c, "Command Sequence Error"),
    (0x0d, "Invalid SGL Segment Descriptor"),
    (0x0e, "Invalid Number of SGL Descriptors"),
    (0x0f, "Data SGL Length Invalid"),
    (0x10, "Metadata SGL Length Invalid"),
    (0x11, "SGL Descriptor Type Invalid"),
    (0x12, "Invalid Use of Controller Memory Buffer"),
    (0x13, "PRP Offset Invalid"),
    (0x14, "Atomic Write Unit Exceeded"),
    (0x15, "Operation Denied"),
    (0x16, "SGL Offset Invalid"),
    (0x18, "Host Identifier Inconsistent Format"),
    (0x19, "Keep Alive Timer Expired"),
    (0x1a, "Keep Alive Timeout Invalid"),
    (0x1b, "Command Aborted due to Preempt and Abort"),
    (0x1c, "Sanitize Failed"),
    (0x1d, "Sanitize In Progress"),
    (0x1e, "SGL Data Block Granularity Invalid"),
    (0x1f, "Command Not Supported for Queue in CMB"),
    (0x20, "Namespace is Write Protected"),
    (0x21, "Command Interrupted"),
    (0x22, "Transient Transport Error"),
    (0x23, "Command Prohibited by Command and Feature Lockdown"),
    (0x24, "Admin Command Media Not Ready"),
    (0x80, "LBA Out of Range"),
    (0x81, "Capacity Exceeded"),
    (0x82, "Namespace Not Ready"),
    (0x83, "Reservation Conflict"),
    (0x84, "Format In Progress"),
    (0x85, "Invalid Value Size"),
    (0x86, "Invalid Key Size"),
    (0x87, "KV Key Does Not Exist"),
    (0x88, "Unrecovered Error"),
    (0x89, "Key Exists"),
];

/// SCT 1h: Command Specific Status.
const COMMAND_SPECIFIC: Names = &[
    (0x00, "Completion Queue Invalid"),
    (0x01, "Invalid Queue Identifier"),
    (0x02, "Invalid Queue Size"),
    (0x03, "Abort Command Limit Exceeded"),
    (0x05, "Asynchronous Event Request Limit Exceeded"),
    (0x06, "Invalid Firmware Slot"),
    (0x07, "Invalid Firmware Image"),
    (0x08, "Invalid Interrupt Vector"),
    (0x09, "Invalid Log Page"),
    (0x0a, "Invalid Format"),
    (0x0b, "Firmware Activation Requires Conventional Reset"),
    (0x0c, "Invalid Queue Deletion"),
    (0x0d, "Feature Identifier Not Saveable"),
    (0x0e, "Feature Not Changeable"),
    (0x0f, "Feature Not Namespace Specific"),
    (0x10, "Firmware Activation Requires NVM Subsystem Reset"),
    (0x11, "Firmware Activation Requires Controller Level Reset"),
    (0x12, "Firmware Activation Requires Maximum Time Violation"),
    (0x13, "Firmware Activation Prohibited"),
    (0x14, "Overlapping Range"),
    (0x15, "Namespace Insufficient Capacity"),
    (0x16, "Namespace Identifier Unavailable"),
    (0x18, "Namespace Already Attached"),
    (0x19, "Namespace Is Private"),
    (0x1a, "Namespace Not Attached"),
    (0x1b, "Thin Provisioning Not Supported"),
    (0x1c, "Controller List Invalid"),
    (0x1d, "Device Self-test In Progress"),
    (0x1e, "Boot Partition Write Prohibited"),
    (0x1f, "Invalid Controller Identifier"),
    (0x20, "Invalid Secondary Controller State"),
    (0x21, "Invalid Number of Controller Resources"),
    (0x22, "Invalid Resource Identifier"),
    (
        0x23,
        "Sanitize Prohibited While Persistent Memory Region is Enabled",
    ),
    (0x24, "ANA Group Identifier Invalid"),
    (0x25, "ANA Attach Failed"),
    (0x26, "Insufficient Capacity"),
    (0x27, "Namespace Attachment Limit Exceeded"),
    (0x28, "Prohibition of Command Execution Not Supported"),
    (0x29, "I/O Command Set Not Supported"),
    (0x2a, "I/O Command Set Not Enabled"),
    (0x2b, "I/O Command Set Combination Rejected"),
    (0x2c, "Invalid I/O Command Set"),
    (0x2d, "Identifier Unavailable"),
    (0x80, "Conflicting Attributes"),
    (0x81, "Invalid Protection Information"),
    (0x82, "Attempted Write to Read Only Range"),
    (0x83, "Command Size Limit Exceeded"),
    (0xb8, "Zoned Boundary Error"),
    (0xb9, "Zone Is Full"),
    (0xba, "Zone Is Read Only"),
    (0xbb, "Zone Is Offline"),
    (0xbc, "Zone Invalid Write"),
    (0xbd, "Too Many Active Zones"),
    (0xbe, "Too Many Open Zones"),
    (0xbf, "Invalid Zone State Transition"),
];

/// SCT 2h: Media and Data Integrity Errors.
const MEDIA: Names = &[
    (0x80, "Write Fault"),
    (0x81, "Unrecovered Read Error"),
    (0x82, "End-to-end Guard Check Error"),
    (0x83, "End-to-end Application Tag Check Error"),
    (0x84, "End-to-end Reference Tag Check Error"),
    (0x85, "Compare Failure"),
    (0x86, "Access Denied"),
    (0x87, "Deallocated or Unwritten Logical Block"),
    (0x88, "End-to-End Storage Tag Check Error"),
];

/// SCT 3h: Path Related Status.
const PATH: Names = &[
    (0x00, "Internal Path Error"),
    (0x01, "Asymmetric Access Persistent Loss"),
    (0x02, "Asymmetric Access Inaccessible"),
    (0x03, "Asymmetric Access Transition"),
    (0x60, "Controller Pathing Error"),
    (0x70, "Host Pathing Error"),
    (0x71, "Command Aborted By Host"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn status(sct: u8, sc: u8) -> Status {
        Status::new().with_sct(sct).with_sc(sc)
    }

    #[test]
    fn success_needs_both_type_and_code_zero() {
        assert!(status(0, 0).is_success());
        assert!(!status(0, 1).is_success());
        for sct in 1..8 {
            assert!(!status(sct, 0).is_success(), "SCT {sct}, SC 0");
        }
        assert!(status(0, 0).with_phase(true).is_success());
    }

    #[test]
    fn names_depend_on_the_type() {
        assert_eq!(status(0, 0x80).name(), "LBA Out of Range");
        assert_eq!(status(1, 0x80).name(), "Conflicting Attributes");
        assert_eq!(status(2, 0x80).name(), "Write Fault");
        assert_eq!(status(2, 0x85).name(), "Compare Failure");
        assert_eq!(status(0, 0x13).name(), "PRP Offset Invalid");
        assert_eq!(status(3, 0).name(), "Internal Path Error");
        assert_eq!(status(0, 0xc0).name(), "Vendor Specific");
        assert_eq!(status(7, 0).name(), "Vendor Specific");
        assert_eq!(status(5, 0).name(), "Reserved Status Code Type");
        assert_eq!(status(0, 0x7f).name(), "Reserved Status Code");
    }

    #[test]
    fn every_word_has_a_name_and_prints() {
        for word in 0..=u16::MAX {
            let status = Status::from(word);
            assert!(!status.name().is_empty());
        }
        assert_eq!(
            format!("{}", status(0, 2).with_dnr(true)),
            "Invalid Field in Command (SCT 0h, SC 02h, do not retry)"
        );
    }

    #[test]
    fn tables_are_sorted_without_doubles() {
        for names in [GENERIC, COMMAND_SPECIFIC, MEDIA, PATH] {
            assert!(names.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    /// QEMU answers a bad PRP with this word in dword 3.
    #[test]
    fn bits_are_where_the_specification_has_them() {
        let status = Status::from(0x8027_u16);
        assert!(status.phase());
        assert_eq!(status.sc(), 0x13);
        assert_eq!(status.sct(), 0);
        assert!(status.dnr());
        assert_eq!(u16::from(Status::new().with_sct(7)), 0x0e00);
        assert_eq!(u16::from(Status::new().with_crd(3)), 0x3000);
        assert_eq!(u16::from(Status::new().with_more(true)), 0x4000);
    }
}
