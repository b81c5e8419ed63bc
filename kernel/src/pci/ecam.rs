//! Configuration space as memory (PCI Express Base specification, section 7.2.2).

use super::{ConfigRead, ConfigSpace, PciAddress};
use crate::acpi::EcamRegion;
use crate::memory::mapping::MapError;
use crate::mmio::RegisterWindow;
use alloc::vec::Vec;

/// Mapped windows of configuration space.
#[derive(Debug)]
pub struct Ecam {
    windows: Vec<(EcamRegion, RegisterWindow)>,
}

impl Ecam {
    /// Maps the windows that the firmware reported.
    ///
    /// # Safety
    /// The regions are configuration space, and nobody else writes to it.
    pub unsafe fn map(regions: &[EcamRegion]) -> Result<Self, MapError> {
        let windows = regions.iter().map(|region| {
            // SAFETY: the caller's promise.
            let window = unsafe { RegisterWindow::map(region.window) }?;
            Ok((*region, window))
        });
        Ok(Self {
            windows: windows.collect::<Result<_, MapError>>()?,
        })
    }

    /// The window and the offset in it of a word; `None` where no window has it.
    fn locate(&self, address: PciAddress, offset: u16) -> Option<(&RegisterWindow, usize)> {
        let (region, window) = self.windows.iter().find(|(region, _)| {
            region.segment == address.segment()
                && (region.first_bus..=region.last_bus).contains(&address.bus())
        })?;
        Some((window, offset_in(region, address, offset)?))
    }
}

/// 4 KiB for each function, 8 functions for each device, 32 devices for each bus.
fn offset_in(region: &EcamRegion, address: PciAddress, offset: u16) -> Option<usize> {
    if offset >= 4096 || !offset.is_multiple_of(4) {
        return None;
    }
    let bus = usize::from(address.bus() - region.first_bus);
    let function = bus << 8 | usize::from(address.device()) << 3 | usize::from(address.function());
    Some(function << 12 | usize::from(offset))
}

impl ConfigRead for Ecam {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.locate(address, offset)
            .map_or(u32::MAX, |(window, offset)| window.read32(offset))
    }
}

impl ConfigSpace for Ecam {
    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some((window, offset)) = self.locate(address, offset) {
            window.write32(offset, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phyr::{Phyr, PhysAddr};

    #[test]
    fn each_function_has_four_kibibytes_of_its_own() {
        let window = Phyr::new(PhysAddr::new(0xb000_0000), 16 << 20).unwrap();
        let region = EcamRegion {
            window,
            segment: 0,
            first_bus: 0x10,
            last_bus: 0x1f,
        };
        let at = |bus, device, function, offset| {
            offset_in(&region, PciAddress::new(0, bus, device, function), offset)
        };
        assert_eq!(at(0x10, 0, 0, 0), Some(0));
        assert_eq!(at(0x10, 0, 1, 0x10), Some(0x1010));
        assert_eq!(at(0x10, 1, 0, 0), Some(0x8000));
        assert_eq!(at(0x11, 0, 0, 0xffc), Some(0x10_0ffc));
        assert_eq!(at(0x1f, 31, 7, 0xffc), Some((16 << 20) - 4));
        assert_eq!(at(0x10, 0, 0, 0x1000), None);
        assert_eq!(at(0x10, 0, 0, 2), None);
    }
}
