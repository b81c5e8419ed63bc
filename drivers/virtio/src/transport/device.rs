//! Which PCI functions are virtio devices (sections 4.1.2 and 5).

/// The vendor of all virtio devices, whoever made them.
const VENDOR: u16 = 0x1af4;

/// Device IDs of modern devices, less the kind of device.
const MODERN: u16 = 0x1040;

/// The vector that is none.
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// A kind of device, by its number in section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceKind(pub u16);

impl DeviceKind {
    /// A network card.
    pub const NET: Self = Self(1);
    /// A block device.
    pub const BLOCK: Self = Self(2);
    /// Ports for streams of bytes.
    pub const CONSOLE: Self = Self(3);
    /// An entropy device.
    pub const ENTROPY: Self = Self(4);
    /// A memory balloon.
    pub const BALLOON: Self = Self(5);
    /// A folder of the host's, by 9P.
    pub const SHARE: Self = Self(9);
    /// A graphics device.
    pub const GPU: Self = Self(16);
    /// An IOMMU.
    pub const IOMMU: Self = Self(23);

    /// A persistent memory device.
    pub const PMEM: Self = Self(27);

    /// The kind of a PCI function; `None` if it is no virtio device.
    ///
    /// A transitional device has an ID of its own for each kind, and modern capabilities like any
    /// other. It is driven by them, and nothing here depends on which of the two it is.
    pub fn of(vendor: u16, device: u16) -> Option<Self> {
        let kind = match device {
            _ if vendor != VENDOR => return None,
            0x1000 => 1,
            0x1001 => 2,
            0x1002 => 5,
            0x1003 => 3,
            0x1004 => 8,
            0x1005 => 4,
            0x1009 => 9,
            0x1041..=0x107f => device - MODERN,
            _ => return None,
        };
        Some(Self(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transitional_device_is_of_the_same_kind_as_a_modern_one() {
        assert_eq!(DeviceKind::of(0x1af4, 0x1001), Some(DeviceKind::BLOCK));
        assert_eq!(DeviceKind::of(0x1af4, 0x1042), Some(DeviceKind::BLOCK));
        assert_eq!(DeviceKind::of(0x1af4, 0x1005), Some(DeviceKind(4)));
        assert_eq!(DeviceKind::of(0x1af4, 0x1044), Some(DeviceKind(4)));
    }

    #[test]
    fn others_are_none() {
        assert_eq!(DeviceKind::of(0x8086, 0x1001), None);
        for device in [0x0fff, 0x1006, 0x1008, 0x100a, 0x1040, 0x1080, 0x1110] {
            assert_eq!(DeviceKind::of(0x1af4, device), None, "{device:#x}");
        }
    }
}
