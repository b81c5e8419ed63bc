//! Functions as configuration space describes them.
//!
//! A [`Function`] is a description, free to copy. It is read once; what is read later by its driver, its
//! capabilities, is here as well.

use super::bar::Bar;
use super::{ConfigRead, PciAddress, header};
use alloc::vec::Vec;
use pci_types::capability::{MsixCapability, PciCapability};
use pci_types::device_type::DeviceType;
use pci_types::{ConfigRegionAccess, EndpointHeader, PciHeader};

/// What configuration space says about a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Segment, bus, device, function.
    pub address: PciAddress,
    /// Who made it.
    pub vendor: u16,
    /// What the maker calls it.
    pub device: u16,
    /// Base class, subclass, programming interface.
    pub class: [u8; 3],
    /// The revision.
    pub revision: u8,
    /// The memory behind its base address registers.
    pub bars: Vec<Bar>,
    /// The capability identifiers, in list order.
    pub capabilities: Vec<u8>,
    /// For a bridge, the bus behind it.
    pub secondary_bus: Option<u8>,
}

/// Lets `pci_types` read through a [`ConfigRead`], which checks every access.
///
/// Decoding headers and capabilities only reads. There is nothing to write with.
struct Access<'a, C>(&'a C);

impl<C: ConfigRead> ConfigRegionAccess for Access<'_, C> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.0.read(address, offset)
    }

    unsafe fn write(&self, _: PciAddress, _: u16, _: u32) {}
}

/// Shows bridges as endpoints. The list of capabilities begins at the same place in both headers (PCI-to-PCI
/// Bridge specification 1.2, section 3.2.5.12), but `pci_types` follows it in endpoints only.
struct AsEndpoint<'a, C>(&'a C);

impl<C: ConfigRead> ConfigRegionAccess for AsEndpoint<'_, C> {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        let word = self.0.read(address, offset);
        let is_bridge = offset == header::TYPE && word >> 16 & 0x7f == header::TYPE_BRIDGE;
        if is_bridge {
            word & !(0x7f << 16)
        } else {
            word
        }
    }

    unsafe fn write(&self, _: PciAddress, _: u16, _: u32) {}
}

impl Function {
    pub(super) fn read(config: &impl ConfigRead, address: PciAddress, bars: Vec<Bar>) -> Self {
        let pci_header = PciHeader::new(address);
        let (vendor, device) = pci_header.id(Access(config));
        let (revision, base, sub, interface) = pci_header.revision_and_class(Access(config));
        let is_bridge = config.read(address, header::TYPE) >> 16 & 0x7f == 1;
        let secondary_bus =
            is_bridge.then(|| (config.read(address, header::BUS_NUMBERS) >> 8) as u8);
        let capabilities = capabilities(config, address);
        Self {
            address,
            vendor,
            device,
            class: [base, sub, interface],
            revision,
            bars,
            capabilities,
            secondary_bus,
        }
    }

    /// What the class code says, in words.
    pub fn kind(&self) -> DeviceType {
        DeviceType::from((self.class[0], self.class[1]))
    }

    /// The memory behind base address register `index`.
    pub fn bar(&self, index: u8) -> Option<&Bar> {
        self.bars.iter().find(|bar| bar.index == index)
    }

    /// The capabilities, as `pci_types` decodes them.
    pub(super) fn decoded<C: ConfigRead>(&self, config: &C) -> impl Iterator<Item = PciCapability> {
        let header = PciHeader::new(self.address);
        let endpoint = EndpointHeader::from_header(header, AsEndpoint(config));
        let list = endpoint.map(|endpoint| endpoint.capabilities(AsEndpoint(config)));
        list.into_iter().flatten().take(LONGEST_LIST)
    }

    /// The message-signalled-interrupt capability with a table.
    pub(super) fn msix(&self, config: &impl ConfigRead) -> Option<MsixCapability> {
        self.decoded(config)
            .find_map(|capability| match capability {
                PciCapability::MsiX(msix) => Some(msix),
                _ => None,
            })
    }

    /// Whether it can interrupt by messages from a table.
    pub fn has_msix(&self, config: &impl ConfigRead) -> bool {
        self.msix(config).is_some()
    }
}

/// There is no room for more capabilities in the 192 bytes that may hold them.
const LONGEST_LIST: usize = 48;

/// The identifiers in the capability list.
fn capabilities(config: &impl ConfigRead, address: PciAddress) -> Vec<u8> {
    capability_list(config, address).map(|(id, _)| id).collect()
}

/// Follows the capability list: identifiers, and where they are. A list that loops ends at its longest possible
/// length.
fn capability_list(
    config: &impl ConfigRead,
    address: PciAddress,
) -> impl Iterator<Item = (u8, u16)> {
    let has_list = config.read(address, header::COMMAND) & header::STATUS_CAPABILITIES != 0;
    let mut offset = match has_list {
        true => config.read(address, header::CAPABILITIES) as u16 & 0xfc,
        false => 0,
    };
    let next = move || {
        let here = offset;
        if here < 0x40 {
            return None;
        }
        let word = config.read(address, here);
        offset = (word >> 8) as u16 & 0xfc;
        Some((word as u8, here))
    };
    core::iter::from_fn(next).take(LONGEST_LIST)
}

/// Where the capability of this identifier is.
pub(super) fn find_capability(
    config: &impl ConfigRead,
    address: PciAddress,
    wanted: u8,
) -> Option<u16> {
    let mut list = capability_list(config, address);
    list.find(|(id, _)| *id == wanted).map(|(_, offset)| offset)
}

/// The capability identifier of what only the vendor knows.
const VENDOR_SPECIFIC: u8 = 0x09;

/// Vendor-specific capabilities. Their third byte is their length (PCI Local Bus specification 3.0,
/// appendix H); they end with configuration space, whatever it says.
pub(super) fn vendor_capabilities(config: &impl ConfigRead, address: PciAddress) -> Vec<Vec<u8>> {
    const END: u16 = 0x100;
    let mut found = Vec::new();
    for (id, offset) in capability_list(config, address) {
        if id != VENDOR_SPECIFIC {
            continue;
        }
        let len = (config.read(address, offset) >> 16) as u8;
        let words = (offset..END.min(offset + u16::from(len))).step_by(4);
        let mut bytes: Vec<u8> = words
            .flat_map(|at| config.read(address, at).to_le_bytes())
            .collect();
        bytes.truncate(usize::from(len));
        found.push(bytes);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Mutex;
    use crate::pci::fake::{Fake, Machine};

    #[test]
    fn vendor_capabilities_have_the_bytes_that_they_say_and_end_with_configuration_space() {
        let mut fake = Fake::device(0x1af4, &[]);
        fake.words[1] |= header::STATUS_CAPABILITIES;
        fake.words[0x34 / 4] = 0x40;
        // MSI-X, then three of the vendor's: of 7 bytes, of 32 where there are only 8, of none.
        fake.words[0x40 / 4] = 0x11 | 0x50 << 8;
        fake.words[0x50 / 4] = 0x09 | 0xf8 << 8 | 7 << 16 | 1 << 24;
        fake.words[0x54 / 4] = 0xa4a3_a2a1;
        fake.words[0xf8 / 4] = 0x09 | 0x60 << 8 | 32 << 16;
        fake.words[0xfc / 4] = 0xb4b3_b2b1;
        fake.words[0x60 / 4] = 0x09;
        let machine = Machine(Mutex::new(vec![(0, 0, fake)]));
        let address = PciAddress::new(0, 0, 0, 0);
        let found = vendor_capabilities(&machine, address);
        let expected: [&[u8]; 3] = [
            &[0x09, 0xf8, 7, 1, 0xa1, 0xa2, 0xa3],
            &[0x09, 0x60, 32, 0, 0xb1, 0xb2, 0xb3, 0xb4],
            &[],
        ];
        assert_eq!(found, expected);
    }
}
