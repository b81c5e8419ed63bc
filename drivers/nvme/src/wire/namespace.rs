//! Identify Namespace of the NVM command set (NVM command set specification 1.0, sections
//! 4.1.5.1 and 4.1.5.3).

use super::fields::{bitfields, structure};
use bitfield_struct::bitfield;

structure! {
    /// Identify Namespace data structure of the NVM command set (CNS 00h).
    IdentifyNamespace: 4096 {
        /// Namespace Size (NSZE) in logical blocks.
        0 => nsze: u64,
        /// Namespace Capacity (NCAP) in logical blocks.
        8 => ncap: u64,
        /// Namespace Utilization (NUSE) in logical blocks.
        16 => nuse: u64,
        /// Namespace Features (NSFEAT).
        24 => nsfeat: u8,
        /// Number of LBA Formats (NLBAF), zero-based.
        25 => nlbaf: u8,
        /// Formatted LBA Size (FLBAS): which format is in use, and where metadata goes.
        26 => flbas: u8,
        /// Metadata Capabilities (MC): bit 0 extended blocks, bit 1 separate memory.
        27 => mc: u8,
        /// End-to-end Data Protection Capabilities (DPC).
        28 => dpc: u8,
        /// End-to-end Data Protection Type Settings (DPS); bits 2:0 are the type, 0 is none,
        /// and bit 3 says that protection information comes first in the metadata.
        29 => dps: u8,
        /// Namespace Multi-path I/O and Namespace Sharing Capabilities (NMIC).
        30 => nmic: u8,
        /// Reservation Capabilities (RESCAP).
        31 => rescap: u8,
        /// Format Progress Indicator (FPI): bit 7 is support, bits 6:0 the percentage left.
        32 => fpi: u8,
        /// Deallocate Logical Block Features (DLFEAT).
        33 => dlfeat: u8,
        /// Namespace Atomic Write Unit Normal (NAWUN), zero-based.
        34 => nawun: u16,
        /// Namespace Atomic Write Unit Power Fail (NAWUPF), zero-based.
        36 => nawupf: u16,
        /// Namespace Atomic Compare & Write Unit (NACWU), zero-based.
        38 => nacwu: u16,
        /// Namespace Atomic Boundary Size Normal (NABSN), zero-based.
        40 => nabsn: u16,
        /// Namespace Atomic Boundary Offset (NABO).
        42 => nabo: u16,
        /// Namespace Atomic Boundary Size Power Fail (NABSPF), zero-based.
        44 => nabspf: u16,
        /// Namespace Optimal I/O Boundary (NOIOB) in blocks; 0 is none.
        46 => noiob: u16,
        /// NVM Capacity (NVMCAP) in bytes.
        48 => nvmcap: u128,
        /// Namespace Preferred Write Granularity (NPWG) in blocks, zero-based.
        64 => npwg: u16,
        /// Namespace Preferred Write Alignment (NPWA) in blocks, zero-based.
        66 => npwa: u16,
        /// Namespace Preferred Deallocate Granularity (NPDG) in blocks, zero-based.
        68 => npdg: u16,
        /// Namespace Preferred Deallocate Alignment (NPDA) in blocks, zero-based.
        70 => npda: u16,
        /// Namespace Optimal Write Size (NOWS) in blocks, zero-based.
        72 => nows: u16,
        /// Maximum Single Source Range Length (MSSRL) of a Copy, in blocks.
        74 => mssrl: u16,
        /// Maximum Copy Length (MCL) in blocks.
        76 => mcl: u32,
        /// Maximum Source Range Count (MSRC) of a Copy, zero-based.
        80 => msrc: u8,
        /// ANA Group Identifier (ANAGRPID).
        92 => anagrpid: u32,
        /// Namespace Attributes (NSATTR); bit 0 says write protected.
        99 => nsattr: u8,
        /// NVM Set Identifier (NVMSETID).
        100 => nvmsetid: u16,
        /// Endurance Group Identifier (ENDGID).
        102 => endgid: u16,
        /// Namespace Globally Unique Identifier (NGUID), big-endian; zeros are none.
        104 => nguid: [u8; 16],
        /// IEEE Extended Unique Identifier (EUI64), big-endian; zeros are none.
        120 => eui64: [u8; 8],
        /// LBA Formats (LBAF).
        128 => lbaf: [LbaFormat; 64],
    }
}

impl IdentifyNamespace {
    /// Index of the LBA format in use: FLBAS bits 3:0, and bits 6:5 above them.
    pub const fn format_index(&self) -> usize {
        (self.flbas & 0xf | (self.flbas >> 5 & 0x3) << 4) as usize
    }

    /// True if metadata follows the data of each block (FLBAS bit 4), and false if it has
    /// memory of its own.
    pub const fn is_metadata_interleaved(&self) -> bool {
        self.flbas & 0x10 != 0
    }
}

/// LBA Format (LBAF).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct LbaFormat {
    /// Metadata Size (MS) in bytes.
    pub ms: u16,
    /// LBA Data Size (LBADS), as a power of two.
    pub lbads: u8,
    /// Relative Performance (RP).
    #[bits(2)]
    pub rp: u8,
    #[bits(6)]
    __: u8,
}

structure! {
    /// Identify Namespace data structure specific to the NVM command set (CNS 05h, CSI 00h).
    NvmNamespace: 4096 {
        /// Logical Block Storage Tag Mask (LBSTM).
        0 => lbstm: u64,
        /// Protection Information Capabilities (PIC).
        8 => pic: u8,
        /// Extended LBA Formats (ELBAF).
        12 => elbaf: [ExtendedLbaFormat; 64],
    }
}

/// Extended LBA Format (ELBAF).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ExtendedLbaFormat {
    /// Storage Tag Size (STS) in bits.
    #[bits(7)]
    pub sts: u8,
    /// Protection Information Format (PIF): 0 has a guard of 16 bits, 1 of 32, 2 of 64.
    #[bits(2)]
    pub pif: u8,
    #[bits(23)]
    __: u32,
}

structure! {
    /// Identify Controller data structure specific to the NVM command set (CNS 06h, CSI 00h).
    NvmController: 4096 {
        /// Verify Size Limit (VSL): a power of two of the smallest page; 0 is none.
        0 => vsl: u8,
        /// Write Zeroes Size Limit (WZSL): a power of two of the smallest page; 0 is none.
        1 => wzsl: u8,
        /// Write Uncorrectable Size Limit (WUSL).
        2 => wusl: u8,
        /// Dataset Management Ranges Limit (DMRL): ranges in a command; 0 is none.
        3 => dmrl: u8,
        /// Dataset Management Range Size Limit (DMRSL): blocks in a range; 0 is none.
        4 => dmrsl: u32,
        /// Dataset Management Size Limit (DMSL): blocks in a command; 0 is none.
        8 => dmsl: u64,
    }
}

bitfields!(LbaFormat: u32 ExtendedLbaFormat: u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_fields_are_at_their_offsets() {
        let mut bytes = [0; 4096];
        bytes[7] = 0x01;
        bytes[26] = 0x25;
        bytes[29] = 3;
        bytes[74] = 128;
        bytes[76] = 0x11;
        bytes[80] = 127;
        bytes[104] = 0xaa;
        bytes[127] = 0xbb;
        bytes[128..132].copy_from_slice(&[8, 0, 9, 2]);
        bytes[380..384].copy_from_slice(&[0, 0, 12, 0]);
        let identify = IdentifyNamespace::decode(&bytes);
        assert_eq!(identify.nsze, 1 << 56);
        assert_eq!(identify.format_index(), 0x15);
        assert_eq!(identify.dps, 3);
        assert_eq!(
            (identify.mssrl, identify.mcl, identify.msrc),
            (128, 0x11, 127)
        );
        assert_eq!((identify.nguid[0], identify.eui64[7]), (0xaa, 0xbb));
        assert_eq!(identify.lbaf[0].ms(), 8);
        assert_eq!(identify.lbaf[0].lbads(), 9);
        assert_eq!(identify.lbaf[63].lbads(), 12);
        let mut again = [0; 4096];
        identify.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn format_index_has_six_bits_and_no_metadata_bit() {
        let mut bytes = [0; 4096];
        bytes[26] = 0xff;
        assert_eq!(IdentifyNamespace::decode(&bytes).format_index(), 63);
        bytes[26] = 0x10;
        let identify = IdentifyNamespace::decode(&bytes);
        assert_eq!(identify.format_index(), 0);
        assert!(identify.is_metadata_interleaved());
    }

    /// The guard of a format lies above the seven bits of the storage tag's size.
    #[test]
    fn extended_formats_say_the_guard() {
        let mut bytes = [0; 4096];
        bytes[8] = 0x3;
        bytes[12..16].copy_from_slice(&0x0000_0110_u32.to_le_bytes());
        bytes[264..268].copy_from_slice(&0x0000_0080_u32.to_le_bytes());
        let identify = NvmNamespace::decode(&bytes);
        assert_eq!((identify.elbaf[0].pif(), identify.elbaf[0].sts()), (2, 16));
        assert_eq!((identify.elbaf[63].pif(), identify.elbaf[63].sts()), (1, 0));
    }
}
