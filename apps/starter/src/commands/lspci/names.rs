//! Class codes and capabilities in words (PCI Code and ID Assignment specification, sections 1
//! and 2).

/// What a function is: base class, subclass, programming interface.
pub(super) fn class(class: [u8; 3]) -> &'static str {
    match class {
        [0x00, 0x01, _] => "VGA device of before class codes",
        [0x00, ..] => "device of before class codes",
        [0x01, 0x00, _] => "SCSI controller",
        [0x01, 0x01, _] => "IDE controller",
        [0x01, 0x02, _] => "floppy controller",
        [0x01, 0x04, _] => "RAID controller",
        [0x01, 0x06, 0x01] => "SATA controller (AHCI)",
        [0x01, 0x06, _] => "SATA controller",
        [0x01, 0x07, _] => "SAS controller",
        [0x01, 0x08, 0x02] => "NVMe controller",
        [0x01, 0x08, _] => "non-volatile memory controller",
        [0x01, 0x09, _] => "UFS controller",
        [0x01, ..] => "storage controller",
        [0x02, 0x00, _] => "Ethernet controller",
        [0x02, ..] => "network controller",
        [0x03, 0x00, _] => "VGA controller",
        [0x03, 0x02, _] => "3D controller",
        [0x03, ..] => "display controller",
        [0x04, 0x03, _] => "HD audio device",
        [0x04, ..] => "multimedia device",
        [0x05, 0x00, _] => "RAM controller",
        [0x05, 0x02, _] => "CXL memory device",
        [0x05, ..] => "memory controller",
        [0x06, 0x00, _] => "host bridge",
        [0x06, 0x01, _] => "ISA bridge",
        [0x06, 0x04, _] => "PCI bridge",
        [0x06, ..] => "bridge",
        [0x07, 0x00, _] => "serial port",
        [0x07, 0x01, _] => "parallel port",
        [0x07, ..] => "communication controller",
        [0x08, 0x00, _] => "interrupt controller",
        [0x08, 0x05, _] => "SD host controller",
        [0x08, 0x06, _] => "IOMMU",
        [0x08, ..] => "system peripheral",
        [0x09, ..] => "input device",
        [0x0a, ..] => "docking station",
        [0x0b, ..] => "processor",
        [0x0c, 0x03, 0x00] => "USB controller (UHCI)",
        [0x0c, 0x03, 0x10] => "USB controller (OHCI)",
        [0x0c, 0x03, 0x20] => "USB controller (EHCI)",
        [0x0c, 0x03, 0x30] => "USB controller (xHCI)",
        [0x0c, 0x03, _] => "USB controller",
        [0x0c, 0x05, _] => "SMBus controller",
        [0x0c, ..] => "serial bus controller",
        [0x0d, ..] => "wireless controller",
        [0x0e, ..] => "intelligent controller",
        [0x0f, ..] => "satellite controller",
        [0x10, ..] => "encryption controller",
        [0x11, ..] => "signal processing controller",
        [0x12, ..] => "processing accelerator",
        [0x40, ..] => "co-processor",
        [0xff, ..] => "device of no class",
        _ => "device of unknown class",
    }
}

/// What a capability identifier stands for, if it has a name.
pub(super) fn capability(id: u8) -> Option<&'static str> {
    Some(match id {
        0x01 => "power management",
        0x02 => "AGP",
        0x03 => "vital product data",
        0x04 => "slot number",
        0x05 => "MSI",
        0x06 => "CompactPCI hot swap",
        0x07 => "PCI-X",
        0x08 => "HyperTransport",
        0x09 => "vendor specific",
        0x0a => "debug port",
        0x0b => "CompactPCI resources",
        0x0c => "hot plug",
        0x0d => "bridge subsystem ID",
        0x0e => "AGP 8x",
        0x0f => "secure device",
        0x10 => "PCI Express",
        0x11 => "MSI-X",
        0x12 => "SATA registers",
        0x13 => "advanced features",
        0x14 => "enhanced allocation",
        0x15 => "flattening portal",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_name_wins() {
        assert_eq!(class([1, 8, 2]), "NVMe controller");
        assert_eq!(class([1, 8, 1]), "non-volatile memory controller");
        assert_eq!(class([1, 0x80, 0]), "storage controller");
        assert_eq!(class([6, 4, 0]), "PCI bridge");
        assert_eq!(class([0x0c, 3, 0x30]), "USB controller (xHCI)");
        assert_eq!(class([0x77, 0, 0]), "device of unknown class");
    }

    #[test]
    fn capabilities_have_names_up_to_the_last_defined_one() {
        assert_eq!(capability(0x11), Some("MSI-X"));
        assert!((0x01..=0x15).all(|id| capability(id).is_some()));
        assert_eq!(capability(0), None);
        assert_eq!(capability(0x16), None);
    }
}
