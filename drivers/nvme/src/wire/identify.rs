//! Identify Controller (NVMe base specification 2.0, section 5.17.2.1).
//!
//! The words are raw here. What their bits mean, the users of the structure say.

use super::fields::structure;
use super::power::PowerState;

structure! {
    /// Identify Controller data structure (CNS 01h).
    IdentifyController: 4096 {
        /// PCI Vendor ID (VID).
        0 => vid: u16,
        /// PCI Subsystem Vendor ID (SSVID).
        2 => ssvid: u16,
        /// Serial Number (SN), padded with spaces.
        4 => sn: [u8; 20],
        /// Model Number (MN), padded with spaces.
        24 => mn: [u8; 40],
        /// Firmware Revision (FR), padded with spaces.
        64 => fr: [u8; 8],
        /// Recommended Arbitration Burst (RAB), as a power of two.
        72 => rab: u8,
        /// IEEE OUI Identifier of the vendor.
        73 => ieee: [u8; 3],
        /// Multi-Path I/O and Namespace Sharing Capabilities (CMIC).
        76 => cmic: u8,
        /// Maximum Data Transfer Size (MDTS): a power of two in units of the smallest
        /// memory page; 0 means no limit.
        77 => mdts: u8,
        /// Controller ID (CNTLID).
        78 => cntlid: u16,
        /// Version (VER), as in the register VS.
        80 => ver: u32,
        /// RTD3 Resume Latency (RTD3R): microseconds to come back from no power.
        84 => rtd3r: u32,
        /// RTD3 Entry Latency (RTD3E): microseconds that a shutdown may take; 0 is unknown.
        88 => rtd3e: u32,
        /// Optional Asynchronous Events Supported (OAES).
        92 => oaes: u32,
        /// Controller Attributes (CTRATT).
        96 => ctratt: u32,
        /// Controller Type (CNTRLTYPE): 1 is an I/O controller, 0 is unsaid.
        111 => cntrltype: u8,
        /// FRU Globally Unique Identifier (FGUID).
        112 => fguid: [u8; 16],
        /// Command Retry Delay Times 1 to 3 (CRDT), in units of 100 ms.
        128 => crdt: [u16; 3],
        /// Optional Admin Command Support (OACS).
        256 => oacs: u16,
        /// Abort Command Limit (ACL): Abort commands at a time, zero-based.
        258 => acl: u8,
        /// Asynchronous Event Request Limit (AERL), zero-based.
        259 => aerl: u8,
        /// Firmware Updates (FRMW).
        260 => frmw: u8,
        /// Log Page Attributes (LPA).
        261 => lpa: u8,
        /// Error Log Page Entries (ELPE), zero-based.
        262 => elpe: u8,
        /// Number of Power States Support (NPSS), zero-based.
        263 => npss: u8,
        /// Autonomous Power State Transition Attributes (APSTA); bit 0 is support.
        265 => apsta: u8,
        /// Warning Composite Temperature Threshold (WCTEMP), in kelvins; 0 is none.
        266 => wctemp: u16,
        /// Critical Composite Temperature Threshold (CCTEMP), in kelvins; 0 is none.
        268 => cctemp: u16,
        /// Maximum Time for Firmware Activation (MTFA), in units of 100 ms.
        270 => mtfa: u16,
        /// Host Memory Buffer Preferred Size (HMPRE), in units of 4 KiB; 0 is no support.
        272 => hmpre: u32,
        /// Host Memory Buffer Minimum Size (HMMIN), in units of 4 KiB.
        276 => hmmin: u32,
        /// Total NVM Capacity (TNVMCAP) in bytes.
        280 => tnvmcap: u128,
        /// Unallocated NVM Capacity (UNVMCAP) in bytes.
        296 => unvmcap: u128,
        /// Extended Device Self-test Time (EDSTT) in minutes.
        316 => edstt: u16,
        /// Device Self-test Options (DSTO).
        318 => dsto: u8,
        /// Firmware Update Granularity (FWUG), in units of 4 KiB; FFh is no restriction.
        319 => fwug: u8,
        /// Keep Alive Support (KAS): granularity in units of 100 ms; 0 is no support.
        320 => kas: u16,
        /// Host Controlled Thermal Management Attributes (HCTMA); bit 0 is support.
        322 => hctma: u16,
        /// Minimum Thermal Management Temperature (MNTMT) in kelvins.
        324 => mntmt: u16,
        /// Maximum Thermal Management Temperature (MXTMT) in kelvins.
        326 => mxtmt: u16,
        /// Sanitize Capabilities (SANICAP).
        328 => sanicap: u32,
        /// Host Memory Buffer Minimum Descriptor Entry Size (HMMINDS), in units of 4 KiB.
        332 => hmminds: u32,
        /// Host Memory Maximum Descriptors Entries (HMMAXD); 0 is no limit.
        336 => hmmaxd: u16,
        /// ANA Transition Time (ANATT) in seconds.
        342 => anatt: u8,
        /// Asymmetric Namespace Access Capabilities (ANACAP).
        343 => anacap: u8,
        /// Submission Queue Entry Size (SQES): smallest and largest, as powers of two.
        512 => sqes: u8,
        /// Completion Queue Entry Size (CQES): smallest and largest, as powers of two.
        513 => cqes: u8,
        /// Maximum Outstanding Commands (MAXCMD); 0 is unsaid.
        514 => maxcmd: u16,
        /// Number of Namespaces (NN): the largest valid NSID.
        516 => nn: u32,
        /// Optional NVM Command Support (ONCS).
        520 => oncs: u16,
        /// Fused Operation Support (FUSES).
        522 => fuses: u16,
        /// Format NVM Attributes (FNA).
        524 => fna: u8,
        /// Volatile Write Cache (VWC); bit 0 says that there is one.
        525 => vwc: u8,
        /// Atomic Write Unit Normal (AWUN) in blocks, zero-based.
        526 => awun: u16,
        /// Atomic Write Unit Power Fail (AWUPF) in blocks, zero-based.
        528 => awupf: u16,
        /// Namespace Write Protection Capabilities (NWPC).
        531 => nwpc: u8,
        /// Atomic Compare & Write Unit (ACWU) in blocks, zero-based.
        532 => acwu: u16,
        /// Optional Copy Formats Supported (OCFS), a bit for each.
        534 => ocfs: u16,
        /// SGL Support (SGLS).
        536 => sgls: u32,
        /// Maximum Number of Allowed Namespaces (MNAN); 0 is unsaid.
        540 => mnan: u32,
        /// NVM Subsystem NVMe Qualified Name (SUBNQN), ended by a zero.
        768 => subnqn: [u8; 256],
        /// Power State Descriptors (PSD).
        2048 => psd: [PowerState; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controller_fields_are_at_their_offsets() {
        let mut bytes = [0; 4096];
        bytes[0..2].copy_from_slice(&[0x36, 0x1b]);
        bytes[4] = b's';
        bytes[24] = b'm';
        bytes[63] = b'M';
        bytes[64] = b'f';
        bytes[77] = 7;
        bytes[80..84].copy_from_slice(&[0, 4, 1, 0]);
        bytes[93] = 1;
        bytes[97] = 0x80;
        bytes[128] = 10;
        bytes[132] = 30;
        bytes[256..258].copy_from_slice(&[0x0a, 0x01]);
        bytes[258] = 3;
        bytes[272] = 4;
        bytes[280] = 9;
        bytes[295] = 1;
        bytes[332] = 2;
        bytes[336] = 3;
        bytes[512] = 0x66;
        bytes[513] = 0x44;
        bytes[517] = 1;
        bytes[520..522].copy_from_slice(&[0x5d, 0x01]);
        bytes[525] = 7;
        bytes[534] = 3;
        bytes[768] = b'n';
        bytes[2048] = 0x10;
        bytes[3040 + 4] = 5;
        let identify = IdentifyController::decode(&bytes);
        assert_eq!(identify.vid, 0x1b36);
        assert_eq!(identify.sn[0], b's');
        assert_eq!((identify.mn[0], identify.mn[39]), (b'm', b'M'));
        assert_eq!(identify.fr[0], b'f');
        assert_eq!(identify.mdts, 7);
        assert_eq!(identify.ver, 0x0001_0400);
        assert_eq!(identify.oaes, 0x100);
        assert_eq!(identify.ctratt, 0x8000);
        assert_eq!(identify.crdt, [10, 0, 30]);
        assert_eq!((identify.oacs, identify.acl), (0x10a, 3));
        assert_eq!(identify.hmpre, 4);
        assert_eq!(identify.tnvmcap, 9 | 1 << 120);
        assert_eq!((identify.hmminds, identify.hmmaxd), (2, 3));
        assert_eq!((identify.sqes, identify.cqes), (0x66, 0x44));
        assert_eq!(identify.nn, 256);
        assert_eq!(identify.oncs, 0x15d);
        assert_eq!(identify.vwc, 7);
        assert_eq!(identify.ocfs, 3);
        assert_eq!(identify.subnqn[0], b'n');
        assert_eq!(identify.psd[0].mp, 0x10);
        assert_eq!(identify.psd[31].enlat, 5);
        let mut again = [0; 4096];
        identify.encode(&mut again);
        assert_eq!(again, bytes);
    }
}
