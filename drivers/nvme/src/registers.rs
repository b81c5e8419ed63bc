//! Controller registers (NVMe base specification 2.0, section 3.1.3).
//!
//! Offsets and layouts only. Nothing here touches a device.

use bitfield_struct::bitfield;

/// Controller Capabilities (CAP), 64 bits.
pub const CAP: usize = 0x00;
/// Version (VS), 32 bits.
pub const VS: usize = 0x08;
/// Controller Configuration (CC), 32 bits.
pub const CC: usize = 0x14;
/// Controller Status (CSTS), 32 bits.
pub const CSTS: usize = 0x1c;
/// Admin Queue Attributes (AQA), 32 bits.
pub const AQA: usize = 0x24;
/// Admin Submission Queue Base Address (ASQ), 64 bits.
pub const ASQ: usize = 0x28;
/// Admin Completion Queue Base Address (ACQ), 64 bits.
pub const ACQ: usize = 0x30;
/// Controller Memory Buffer Location (CMBLOC), 32 bits.
pub const CMBLOC: usize = 0x38;
/// Controller Memory Buffer Size (CMBSZ), 32 bits.
pub const CMBSZ: usize = 0x3c;
/// Controller Memory Buffer Memory Space Control (CMBMSC), 64 bits.
pub const CMBMSC: usize = 0x50;
/// Controller Ready Timeouts (CRTO), 32 bits, since version 2.0.
pub const CRTO: usize = 0x68;
/// Persistent Memory Region Capabilities (PMRCAP), 32 bits.
pub const PMRCAP: usize = 0xe00;
/// Persistent Memory Region Control (PMRCTL), 32 bits.
pub const PMRCTL: usize = 0xe04;
/// Persistent Memory Region Status (PMRSTS), 32 bits.
pub const PMRSTS: usize = 0xe08;
/// The first doorbell.
pub const DOORBELLS: usize = 0x1000;

/// Controller Capabilities (CAP). Read only.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Capabilities {
    /// Maximum Queue Entries Supported (MQES) of an I/O queue, zero-based.
    pub mqes: u16,
    /// Contiguous Queues Required (CQR).
    pub cqr: bool,
    /// Arbitration Mechanism Supported (AMS).
    #[bits(2)]
    pub ams: u8,
    #[bits(5)]
    __: u8,
    /// Timeout (TO): longest wait for CSTS.RDY to follow CC.EN, in units of 500 ms.
    pub to: u8,
    /// Doorbell Stride (DSTRD): doorbells are `4 << dstrd` bytes apart.
    #[bits(4)]
    pub dstrd: u8,
    /// NVM Subsystem Reset Supported (NSSRS).
    pub nssrs: bool,
    /// Command Sets Supported, bit 0: the NVM command set.
    pub css_nvm: bool,
    #[bits(5)]
    __: u8,
    /// Command Sets Supported, bit 6: I/O command sets can be selected.
    pub css_selectable: bool,
    /// Command Sets Supported, bit 7: the controller can do without an I/O command set.
    pub css_none: bool,
    /// Boot Partition Support (BPS).
    pub bps: bool,
    /// Controller Power Scope (CPS).
    #[bits(2)]
    pub cps: u8,
    /// Memory Page Size Minimum (MPSMIN): `4096 << mpsmin` bytes.
    #[bits(4)]
    pub mpsmin: u8,
    /// Memory Page Size Maximum (MPSMAX): `4096 << mpsmax` bytes.
    #[bits(4)]
    pub mpsmax: u8,
    /// Persistent Memory Region Supported (PMRS).
    pub pmrs: bool,
    /// Controller Memory Buffer Supported (CMBS).
    pub cmbs: bool,
    /// NVM Subsystem Shutdown Supported (NSSS).
    pub nsss: bool,
    /// Controller Ready Modes Supported, bit 0: CRTO gives the time until media is ready.
    pub crms_with_media: bool,
    /// Controller Ready Modes Supported, bit 1: ready independent of media.
    pub crms_independent: bool,
    #[bits(3)]
    __: u8,
}

/// Version (VS) of the base specification that the controller follows. Read only.
#[bitfield(u32, debug = false)]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Tertiary version number (TER).
    pub tertiary: u8,
    /// Minor version number (MNR).
    pub minor: u8,
    /// Major version number (MJR).
    pub major: u16,
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())?;
        match self.tertiary() {
            0 => Ok(()),
            tertiary => write!(f, ".{tertiary}"),
        }
    }
}

impl core::fmt::Debug for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Controller Configuration (CC).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Configuration {
    /// Enable (EN). Falling from 1 to 0 is a controller reset.
    pub en: bool,
    #[bits(3)]
    __: u8,
    /// I/O Command Set Selected (CSS); 0 is the NVM command set.
    #[bits(3)]
    pub css: u8,
    /// Memory Page Size (MPS): `4096 << mps` bytes.
    #[bits(4)]
    pub mps: u8,
    /// Arbitration Mechanism Selected (AMS); 0 is round robin.
    #[bits(3)]
    pub ams: u8,
    /// Shutdown Notification (SHN); 1 is a normal shutdown.
    #[bits(2)]
    pub shn: u8,
    /// I/O Submission Queue Entry Size (IOSQES), as a power of two.
    #[bits(4)]
    pub iosqes: u8,
    /// I/O Completion Queue Entry Size (IOCQES), as a power of two.
    #[bits(4)]
    pub iocqes: u8,
    /// Controller Ready Independent of Media Enable (CRIME).
    pub crime: bool,
    #[bits(7)]
    __: u8,
}

/// Controller Status (CSTS). Read only.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ControllerStatus {
    /// Ready (RDY): follows CC.EN.
    pub rdy: bool,
    /// Controller Fatal Status (CFS).
    pub cfs: bool,
    /// Shutdown Status (SHST); 2 is shutdown complete.
    #[bits(2)]
    pub shst: u8,
    /// NVM Subsystem Reset Occurred (NSSRO).
    pub nssro: bool,
    /// Processing Paused (PP).
    pub pp: bool,
    /// Shutdown Type (ST).
    pub st: bool,
    #[bits(25)]
    __: u32,
}

impl ControllerStatus {
    /// SHST: shutdown processing complete.
    pub const SHUTDOWN_COMPLETE: u8 = 2;
}

/// Admin Queue Attributes (AQA).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct AdminQueueAttributes {
    /// Admin Submission Queue Size (ASQS), zero-based.
    #[bits(12)]
    pub asqs: u16,
    #[bits(4)]
    __: u8,
    /// Admin Completion Queue Size (ACQS), zero-based.
    #[bits(12)]
    pub acqs: u16,
    #[bits(4)]
    __: u8,
}

/// Controller Memory Buffer Location (CMBLOC). Read only, and zeros before CMBMSC.CRE.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct MemoryLocation {
    /// Base Indicator Register (BIR): the base address register of the memory.
    #[bits(3)]
    pub bir: u8,
    #[bits(9)]
    __: u16,
    /// Offset (OFST) in it, in the unit of CMBSZ.
    #[bits(20)]
    pub ofst: u32,
}

/// Controller Memory Buffer Size (CMBSZ). Read only, and zeros before CMBMSC.CRE.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct MemorySize {
    /// Submission Queue Support (SQS).
    pub sqs: bool,
    /// Completion Queue Support (CQS).
    pub cqs: bool,
    /// PRP SGL List Support (LISTS).
    pub lists: bool,
    /// Read Data Support (RDS).
    pub rds: bool,
    /// Write Data Support (WDS).
    pub wds: bool,
    #[bits(3)]
    __: u8,
    /// Size Units (SZU): `4096 << (4 * szu)` bytes, up to 6.
    #[bits(4)]
    pub szu: u8,
    /// Size (SZ) in that unit.
    #[bits(20)]
    pub sz: u32,
}

/// Controller Memory Buffer Memory Space Control (CMBMSC).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct MemorySpace {
    /// Capabilities Registers Enabled (CRE): CMBLOC and CMBSZ say something.
    pub cre: bool,
    /// Controller Memory Space Enable (CMSE): the controller knows its memory by CBA.
    pub cmse: bool,
    #[bits(10)]
    __: u16,
    /// Controller Base Address (CBA), in units of 4 KiB.
    #[bits(52)]
    pub cba: u64,
}

/// Persistent Memory Region Capabilities (PMRCAP). Read only.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct PersistentCapabilities {
    #[bits(3)]
    __: u8,
    /// Read Data Support (RDS).
    pub rds: bool,
    /// Write Data Support (WDS).
    pub wds: bool,
    /// Base Indicator Register (BIR): the base address register of the memory.
    #[bits(3)]
    pub bir: u8,
    /// Time Units (PMRTU) of PMRTO: 0 is 500 ms, 1 is a minute.
    #[bits(2)]
    pub pmrtu: u8,
    /// Write Barrier Mechanisms (PMRWBM), bit 0: a read of the memory waits for all writes before.
    pub barrier_by_read: bool,
    /// The same, bit 1: a read of PMRSTS does.
    pub barrier_by_status: bool,
    #[bits(4)]
    __: u8,
    /// Timeout (PMRTO): longest wait for PMRSTS.NRDY to follow PMRCTL.EN.
    pub pmrto: u8,
    /// Controller Memory Space Supported (CMSS).
    pub cmss: bool,
    #[bits(7)]
    __: u8,
}

/// Persistent Memory Region Control (PMRCTL).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct PersistentControl {
    /// Enable (EN).
    pub en: bool,
    #[bits(31)]
    __: u32,
}

/// Persistent Memory Region Status (PMRSTS). Read only.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct PersistentStatus {
    /// Error (ERR): not 0 if writes may have been lost.
    pub err: u8,
    /// Not Ready (NRDY).
    pub nrdy: bool,
    /// Health Status (HSTS): 0 is normal.
    #[bits(3)]
    pub hsts: u8,
    /// Controller Base Address Invalid (CBAI).
    pub cbai: bool,
    #[bits(19)]
    __: u32,
}

/// Controller Ready Timeouts (CRTO). Read only.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ReadyTimeouts {
    /// Controller Ready With Media Timeout (CRWMT), in units of 500 ms.
    pub crwmt: u16,
    /// Controller Ready Independent of Media Timeout (CRIMT), in units of 500 ms.
    pub crimt: u16,
}

/// Offset of the Submission Queue Tail Doorbell (SQyTDBL) of `queue`.
pub const fn submission_doorbell(queue: u16, dstrd: u8) -> usize {
    DOORBELLS + 2 * queue as usize * (4 << dstrd)
}

/// Offset of the Completion Queue Head Doorbell (CQyHDBL) of `queue`.
pub const fn completion_doorbell(queue: u16, dstrd: u8) -> usize {
    DOORBELLS + (2 * queue as usize + 1) * (4 << dstrd)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CAP that QEMU 7.2 shows.
    #[test]
    fn capabilities_of_qemu() {
        let cap = Capabilities::from(0x0040_1820_0f01_07ff_u64);
        assert_eq!(cap.mqes(), 2047);
        assert!(cap.cqr());
        assert_eq!(cap.to(), 15);
        assert_eq!(cap.dstrd(), 0);
        assert!(cap.css_nvm());
        assert!(cap.css_selectable());
        assert!(cap.css_none());
        assert_eq!(cap.mpsmin(), 0);
        assert_eq!(cap.mpsmax(), 4);
    }

    #[test]
    fn configuration_bits_are_where_the_specification_has_them() {
        let cc = Configuration::new()
            .with_en(true)
            .with_iosqes(6)
            .with_iocqes(4);
        assert_eq!(u32::from(cc), 0x0046_0001);
        assert_eq!(u32::from(Configuration::new().with_shn(1)), 0x4000);
        assert_eq!(u32::from(Configuration::new().with_css(7)), 0x70);
    }

    #[test]
    fn status_and_queue_attributes() {
        let csts = ControllerStatus::from(0x9_u32);
        assert!(csts.rdy());
        assert!(!csts.cfs());
        assert_eq!(csts.shst(), ControllerStatus::SHUTDOWN_COMPLETE);
        let aqa = AdminQueueAttributes::new().with_asqs(15).with_acqs(31);
        assert_eq!(u32::from(aqa), 0x001f_000f);
    }

    #[test]
    fn doorbells_follow_the_stride() {
        assert_eq!(submission_doorbell(0, 0), 0x1000);
        assert_eq!(completion_doorbell(0, 0), 0x1004);
        assert_eq!(submission_doorbell(1, 0), 0x1008);
        assert_eq!(completion_doorbell(1, 0), 0x100c);
        assert_eq!(submission_doorbell(1, 4), 0x1080);
        assert_eq!(completion_doorbell(1, 4), 0x10c0);
        assert_eq!(completion_doorbell(1, 15), 0x1000 + 3 * 0x2_0000);
    }

    #[test]
    fn versions_print_as_people_write_them() {
        assert_eq!(format!("{}", Version::from(0x0001_0400)), "1.4");
        assert_eq!(format!("{}", Version::from(0x0001_0201)), "1.2.1");
        assert!(Version::from(0x0001_0400) > Version::from(0x0001_0201));
    }
}
