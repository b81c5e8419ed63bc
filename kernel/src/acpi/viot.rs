//! VIOT: which devices are behind which virtio IOMMU (ACPI specification 6.5, section 5.2.34).
//!
//! The table is a list of nodes: IOMMUs, and ranges of PCI functions that lead to one by its offset in the
//! table. A range also says how functions are called in requests to the IOMMU. Nodes about devices that
//! are not on PCI are passed over. One that is cut ends the list.

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use alloc::vec::Vec;
use pci_types::PciAddress;

/// A virtio IOMMU on PCI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtioIommu {
    /// The function that it is.
    pub function: PciAddress,
    /// The functions that are behind it.
    pub endpoints: Vec<Endpoints>,
}

/// PCI functions behind a virtio IOMMU, and how they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// What the first function is called.
    pub first: u32,
    /// The first and the last segment.
    pub segments: (u16, u16),
    /// The first and the last function of each: bus, device and function as one number.
    pub functions: (u16, u16),
}

/// Bus, device and function as one number.
fn number(function: PciAddress) -> u16 {
    u16::from(function.bus()) << 8
        | u16::from(function.device()) << 3
        | u16::from(function.function())
}

impl Endpoints {
    /// What a function is called, if it is in the range.
    pub fn endpoint(&self, function: PciAddress) -> Option<u32> {
        let within = |(first, last): (u16, u16), value| (first..=last).contains(&value);
        let is_inside =
            within(self.segments, function.segment()) && within(self.functions, number(function));
        is_inside.then(|| self.call(function))
    }

    /// What a function would be called if the range went so far.
    pub fn call(&self, function: PciAddress) -> u32 {
        let place = |segment: u16, function: u16| u32::from(segment) << 16 | u32::from(function);
        let start = place(self.segments.0, self.functions.0);
        let here = place(function.segment(), number(function));
        self.first.wrapping_add(here.wrapping_sub(start))
    }

    /// The number of the function that is called so, in its segment, likewise.
    pub fn function(&self, endpoint: u32) -> u16 {
        let offset = endpoint.wrapping_sub(self.first);
        self.functions.0.wrapping_add(offset as u16)
    }
}

/// The IOMMUs, each with what is behind it, and the first thing that is wrong.
pub(super) fn read(table: &Table) -> Result<(Vec<VirtioIommu>, Option<Flaw>), Flaw> {
    const PCI_RANGE: u8 = 1;
    const IOMMU_ON_PCI: u8 = 3;
    let count = table.fields().u16(HEADER)?;
    let mut offset = table.fields().u16(HEADER + 2)?;
    // By the offsets of their nodes.
    let mut iommus: Vec<(u16, VirtioIommu)> = Vec::new();
    let mut ranges: Vec<(u16, Endpoints)> = Vec::new();
    let mut flaw = None;
    for _ in 0..count {
        let bytes = table.bytes().get(usize::from(offset)..).unwrap_or_default();
        let node = match node(bytes) {
            Ok(node) => node,
            Err(error) => {
                flaw = Some(error);
                break;
            }
        };
        let entry = match node[0] {
            PCI_RANGE => read_range(node).map(|range| ranges.push(range)),
            IOMMU_ON_PCI => read_iommu(node).map(|iommu| iommus.push((offset, iommu))),
            _ => Ok(()),
        };
        flaw = flaw.or(entry.err());
        offset += node.len() as u16;
    }
    for (at, range) in ranges {
        match iommus.iter_mut().find(|(offset, _)| *offset == at) {
            Some((_, iommu)) => iommu.endpoints.push(range),
            // It leads to an IOMMU of another kind, or to none.
            None => continue,
        }
    }
    Ok((iommus.into_iter().map(|(_, iommu)| iommu).collect(), flaw))
}

/// The first node.
fn node(rest: &[u8]) -> Result<&[u8], Flaw> {
    let len = usize::from(Fields(rest).u16(2)?);
    let node = rest.get(..len).filter(|_| len >= 4);
    // An offset in a table has 16 bits.
    node.filter(|_| len <= 4096).ok_or(Flaw::Truncated)
}

/// A range, and where the node of its IOMMU is.
fn read_range(node: &[u8]) -> Result<(u16, Endpoints), Flaw> {
    let fields = Fields(node);
    let endpoints = Endpoints {
        first: fields.u32(4)?,
        segments: (fields.u16(8)?, fields.u16(10)?),
        functions: (fields.u16(12)?, fields.u16(14)?),
    };
    Ok((fields.u16(16)?, endpoints))
}

fn read_iommu(node: &[u8]) -> Result<VirtioIommu, Flaw> {
    let (segment, function) = (Fields(node).u16(4)?, Fields(node).u16(6)?);
    let [low, bus] = function.to_le_bytes();
    Ok(VirtioIommu {
        function: PciAddress::new(segment, bus, low >> 3, low & 7),
        endpoints: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn range(first: u32, functions: (u16, u16), output: u16) -> Vec<u8> {
        let mut bytes = vec![1, 0, 24, 0];
        bytes.extend(first.to_le_bytes());
        for field in [0, 1, functions.0, functions.1, output, 0, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes
    }

    fn iommu(function: u16) -> Vec<u8> {
        let mut bytes = vec![3, 0, 16, 0, 0, 0];
        bytes.extend(function.to_le_bytes());
        bytes.extend([0; 8]);
        bytes
    }

    fn table(count: u16, nodes: &[Vec<u8>]) -> Table {
        let mut bytes = vec![0; HEADER];
        bytes.extend(count.to_le_bytes());
        bytes.extend(48_u16.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(nodes.concat());
        Table::of(bytes)
    }

    #[test]
    fn functions_are_behind_their_iommu_by_its_names_for_them() {
        let nodes = [
            iommu(0x10),
            range(0, (0, 0xf), 48),
            range(0x11, (0x11, 0x2ff), 48),
            // What is not on PCI.
            vec![4, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            range(7, (0x300, 0x3ff), 112),
        ];
        let (found, flaw) = read(&table(5, &nodes)).unwrap();
        assert_eq!((found.len(), flaw), (1, None));
        assert_eq!(found[0].function, PciAddress::new(0, 0, 2, 0));
        let endpoint = |bus, device, function| {
            let function = PciAddress::new(0, bus, device, function);
            let mut ranges = found[0].endpoints.iter();
            ranges.find_map(|range| range.endpoint(function))
        };
        assert_eq!(endpoint(0, 1, 7), Some(0xf));
        assert_eq!(endpoint(0, 2, 0), None, "itself");
        assert_eq!(endpoint(0, 2, 1), Some(0x11));
        assert_eq!(endpoint(2, 31, 7), Some(0x2ff));
        assert_eq!(endpoint(3, 0, 0), None);
        let shifted = Endpoints {
            first: 0x100,
            segments: (1, 2),
            functions: (0x20, 0x3f),
        };
        assert_eq!(shifted.endpoint(PciAddress::new(1, 0, 5, 0)), Some(0x108));
        assert_eq!(shifted.endpoint(PciAddress::new(0, 0, 5, 0)), None);
        assert_eq!(shifted.function(0x108), 0x28);
        let next = shifted.endpoint(PciAddress::new(2, 0, 5, 0));
        assert_eq!(next, Some(0x1_0108));
    }

    #[test]
    fn a_node_that_is_cut_ends_the_list() {
        let cut = |count, nodes: &[Vec<u8>]| read(&table(count, nodes)).unwrap();
        let (found, flaw) = cut(2, &[iommu(8), vec![1, 0, 24, 0, 0]]);
        assert_eq!((found.len(), flaw), (1, Some(Flaw::Truncated)));
        assert_eq!(cut(3, &[iommu(8)]).1, Some(Flaw::Truncated));
        let endless = cut(0xffff, &[vec![9, 0, 0, 0]]);
        assert_eq!((endless.0.len(), endless.1), (0, Some(Flaw::Truncated)));
        let short = cut(2, &[vec![3, 0, 4, 0], iommu(8)]);
        assert_eq!((short.0.len(), short.1), (1, Some(Flaw::Truncated)));
        assert!(read(&Table::of(vec![0; HEADER])).is_err());
    }
}
