//! Structures of the zoned namespace command set (ZNS command set specification 1.1,
//! sections 3.4.2 and 4.1.5).

use super::fields::{bitfields, structure};
use bitfield_struct::bitfield;

structure! {
    /// Identify Namespace data structure specific to zoned namespaces (CNS 05h, CSI 02h).
    ZonedNamespace: 4096 {
        /// Zone Operation Characteristics (ZOC); bit 0: the capacity of zones may change.
        0 => zoc: u16,
        /// Optional Zoned Command Support (OZCS); bit 0: reads may cross zone boundaries.
        2 => ozcs: u16,
        /// Maximum Active Resources (MAR), zero-based; FFFFFFFFh is no limit.
        4 => mar: u32,
        /// Maximum Open Resources (MOR), zero-based; FFFFFFFFh is no limit.
        8 => mor: u32,
        /// Reset Recommended Limit (RRL) in seconds.
        12 => rrl: u32,
        /// Finish Recommended Limit (FRL) in seconds.
        16 => frl: u32,
        /// LBA Format Extensions (LBAFE), as many as there are LBA formats.
        2816 => lbafe: [ZoneFormat; 64],
    }
}

structure! {
    /// LBA Format Extension (LBAFE).
    ZoneFormat: 16 {
        /// Zone Size (ZSZE) in logical blocks.
        0 => zsze: u64,
        /// Zone Descriptor Extension Size (ZDES), in units of 64 bytes.
        8 => zdes: u8,
    }
}

structure! {
    /// Identify Controller data structure specific to zoned namespaces (CNS 06h, CSI 02h).
    ZonedController: 4096 {
        /// Zone Append Size Limit (ZASL): a power of two in units of the smallest page; 0 is
        /// MDTS.
        0 => zasl: u8,
    }
}

structure! {
    /// The head of the data that Report Zones brings.
    ZoneReport: 64 {
        /// Number of Zones: those that match, or those that follow here.
        0 => zones: u64,
    }
}

structure! {
    /// Zone Descriptor.
    ZoneDescriptor: 64 {
        /// Zone Type (ZT): 2 is Sequential Write Required.
        0 => zt: u8,
        /// Zone State (ZS), in bits 7:4.
        1 => zs: u8,
        /// Zone Attributes (ZA).
        2 => za: ZoneAttributes,
        /// Zone Capacity (ZCAP) in logical blocks.
        8 => zcap: u64,
        /// Zone Start Logical Block Address (ZSLBA).
        16 => zslba: u64,
        /// Write Pointer (WP), a logical block.
        24 => wp: u64,
    }
}

/// Zone Attributes (ZA).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ZoneAttributes {
    /// Zone Finished by Controller (ZFC).
    pub zfc: bool,
    /// Finish Zone Recommended (FZR).
    pub fzr: bool,
    /// Reset Zone Recommended (RZR).
    pub rzr: bool,
    #[bits(4)]
    __: u8,
    /// Zone Descriptor Extension Valid (ZDEV).
    pub zdev: bool,
}

bitfields!(ZoneAttributes: u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zoned_fields_are_at_their_offsets() {
        let mut bytes = [0; 4096];
        bytes[4] = 7;
        bytes[8..12].copy_from_slice(&[0xff; 4]);
        bytes[2816 + 1] = 0x40;
        bytes[2816 + 8] = 1;
        bytes[3824] = 9;
        let identify = ZonedNamespace::decode(&bytes);
        assert_eq!((identify.mar, identify.mor), (7, u32::MAX));
        assert_eq!(
            (identify.lbafe[0].zsze, identify.lbafe[0].zdes),
            (0x4000, 1)
        );
        assert_eq!(identify.lbafe[63].zsze, 9);
        let mut again = [0; 4096];
        identify.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn a_zone_descriptor_has_64_bytes() {
        let mut bytes = [0; 64];
        bytes[0] = 2;
        bytes[1] = 0x20;
        bytes[2] = 0x80;
        bytes[8] = 3;
        bytes[16] = 4;
        bytes[24] = 5;
        let zone = ZoneDescriptor::decode(&bytes);
        assert_eq!(
            (zone.zt, zone.zs, zone.zcap, zone.zslba, zone.wp),
            (2, 0x20, 3, 4, 5)
        );
        assert!(zone.za.zdev());
    }
}
