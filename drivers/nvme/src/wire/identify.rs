//! Identify data structures (NVMe base specification 2.0, section 5.17.2; NVM command set
//! specification 1.0, section 4.1.5). Only the fields that the driver looks at.
//!
//! Each field stands with its byte offset, as in the specification's tables. The compiler
//! checks that fields neither overlap nor leave the structure.

use bitfield_struct::bitfield;

/// A field that lies in a structure as little-endian bytes.
trait Field: Sized {
    /// Reads the field from the front of `bytes`.
    fn get(bytes: &[u8]) -> Self;
    /// Writes the field to the front of `bytes`.
    fn put(&self, bytes: &mut [u8]);
}

macro_rules! integers {
    ($($integer:ty)*) => { $(
        impl Field for $integer {
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$integer>()];
                raw.copy_from_slice(&bytes[..size_of::<$integer>()]);
                Self::from_le_bytes(raw)
            }
            fn put(&self, bytes: &mut [u8]) {
                bytes[..size_of::<$integer>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

integers!(u8 u16 u32 u64);

impl<T: Field + Copy + Default, const N: usize> Field for [T; N] {
    fn get(bytes: &[u8]) -> Self {
        let mut all = [T::default(); N];
        for (index, item) in all.iter_mut().enumerate() {
            *item = T::get(&bytes[index * size_of::<T>()..]);
        }
        all
    }
    fn put(&self, bytes: &mut [u8]) {
        for (index, item) in self.iter().enumerate() {
            item.put(&mut bytes[index * size_of::<T>()..]);
        }
    }
}

impl Field for LbaFormat {
    fn get(bytes: &[u8]) -> Self {
        Self::from_bits(u32::get(bytes))
    }
    fn put(&self, bytes: &mut [u8]) {
        self.into_bits().put(bytes);
    }
}

macro_rules! identify {
    (
        $(#[$about:meta])*
        $name:ident { $( $(#[$doc:meta])* $offset:literal => $field:ident: $kind:ty, )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $kind, )*
        }

        impl $name {
            /// Size of the structure in bytes.
            pub const BYTES: usize = 4096;

            /// The fields of a structure that lies in memory as `bytes`.
            pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
                Self { $( $field: Field::get(&bytes[$offset..]), )* }
            }

            /// Writes the fields to their places, and nothing else.
            pub fn encode(&self, bytes: &mut [u8; Self::BYTES]) {
                $( self.$field.put(&mut bytes[$offset..]); )*
            }
        }

        const _: () = {
            let end = 0;
            $(
                assert!($offset >= end, "fields overlap or are out of order");
                let end = $offset + size_of::<$kind>();
            )*
            assert!(end <= $name::BYTES, "a field leaves the structure");
        };
    };
}

identify! {
    /// Identify Controller data structure (CNS 01h).
    IdentifyController {
        /// PCI Vendor ID (VID).
        0 => vid: u16,
        /// Serial Number (SN), padded with spaces.
        4 => sn: [u8; 20],
        /// Model Number (MN), padded with spaces.
        24 => mn: [u8; 40],
        /// Firmware Revision (FR), padded with spaces.
        64 => fr: [u8; 8],
        /// Maximum Data Transfer Size (MDTS): a power of two in units of the smallest
        /// memory page; 0 means no limit.
        77 => mdts: u8,
        /// Controller ID (CNTLID).
        78 => cntlid: u16,
        /// Version (VER), as in the register VS.
        80 => ver: u32,
        /// RTD3 Entry Latency (RTD3E): microseconds that a shutdown may take; 0 is unknown.
        88 => rtd3e: u32,
        /// Submission Queue Entry Size (SQES): smallest and largest, as powers of two.
        512 => sqes: u8,
        /// Completion Queue Entry Size (CQES): smallest and largest, as powers of two.
        513 => cqes: u8,
        /// Number of Namespaces (NN): the largest valid NSID.
        516 => nn: u32,
        /// Optional NVM Command Support (ONCS).
        520 => oncs: u16,
        /// Volatile Write Cache (VWC); bit 0 says that there is one.
        525 => vwc: u8,
    }
}

identify! {
    /// Identify Namespace data structure of the NVM command set (CNS 00h).
    IdentifyNamespace {
        /// Namespace Size (NSZE) in logical blocks.
        0 => nsze: u64,
        /// Namespace Capacity (NCAP) in logical blocks.
        8 => ncap: u64,
        /// Number of LBA Formats (NLBAF), zero-based.
        25 => nlbaf: u8,
        /// Formatted LBA Size (FLBAS): which format is in use, and where metadata goes.
        26 => flbas: u8,
        /// End-to-end Data Protection Type Settings (DPS); bits 2:0 are the type, 0 is none.
        29 => dps: u8,
        /// Namespace Attributes (NSATTR); bit 0 says write protected.
        99 => nsattr: u8,
        /// LBA Formats (LBAF).
        128 => lbaf: [LbaFormat; 64],
    }
}

impl IdentifyNamespace {
    /// Index of the LBA format in use: FLBAS bits 3:0, and bits 6:5 above them.
    pub const fn format_index(&self) -> usize {
        (self.flbas & 0xf | (self.flbas >> 5 & 0x3) << 4) as usize
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
        bytes[512] = 0x66;
        bytes[513] = 0x44;
        bytes[517] = 1;
        bytes[525] = 7;
        let identify = IdentifyController::decode(&bytes);
        assert_eq!(identify.vid, 0x1b36);
        assert_eq!(identify.sn[0], b's');
        assert_eq!((identify.mn[0], identify.mn[39]), (b'm', b'M'));
        assert_eq!(identify.fr[0], b'f');
        assert_eq!(identify.mdts, 7);
        assert_eq!(identify.ver, 0x0001_0400);
        assert_eq!((identify.sqes, identify.cqes), (0x66, 0x44));
        assert_eq!(identify.nn, 256);
        assert_eq!(identify.vwc, 7);
        let mut again = [0; 4096];
        identify.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn namespace_fields_are_at_their_offsets() {
        let mut bytes = [0; 4096];
        bytes[7] = 0x01;
        bytes[26] = 0x25;
        bytes[29] = 3;
        bytes[128..132].copy_from_slice(&[8, 0, 9, 2]);
        bytes[380..384].copy_from_slice(&[0, 0, 12, 0]);
        let identify = IdentifyNamespace::decode(&bytes);
        assert_eq!(identify.nsze, 1 << 56);
        assert_eq!(identify.format_index(), 0x15);
        assert_eq!(identify.dps, 3);
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
        assert_eq!(IdentifyNamespace::decode(&bytes).format_index(), 0);
    }
}
