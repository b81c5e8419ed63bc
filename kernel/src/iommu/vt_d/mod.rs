//! Intel's VT-d: registers, and tables in memory that the IOMMU reads.
//!
//! `hardware` is what an IOMMU can do, `unit` its registers and its tables of devices, and `table` the page
//! tables of a device.

mod hardware;
mod table;
mod unit;

use super::iova::PAGE;
use super::space::{self, Space};
use super::{Fault, Kind, RESERVED};
use crate::acpi::{Platform, RemappingUnit, ReservedMemory, Scope};
use crate::dma::{Access, DmaDomain, DmaError, Domain};
use crate::lock::Mutex;
use crate::mmio::RegisterWindow;
use crate::pci::{Function, PciAddress};
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use hardware::Capabilities;
use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList, PhysAddr};
use table::{NoMemory, Tables};
use unit::Unit;

/// All IOMMUs of this kind.
pub(super) struct VtD {
    units: Vec<(RemappingUnit, Arc<Unit>)>,
    /// Those that cannot be used; what is behind them is not translated.
    unused: Vec<RemappingUnit>,
    reserved: Vec<ReservedMemory>,
    functions: fn() -> Vec<Function>,
}

impl VtD {
    /// Turns the IOMMUs on, of which firmware tells. `None` if there are none. From now on no device
    /// behind them reaches memory without a domain.
    ///
    /// `functions` says what is on the bus now.
    ///
    /// # Safety
    /// The firmware's IOMMUs are IOMMUs, and nobody else uses them.
    pub(super) unsafe fn start(
        platform: &Platform,
        functions: fn() -> Vec<Function>,
    ) -> Option<Self> {
        let mut iommu = Self {
            units: Vec::new(),
            unused: Vec::new(),
            reserved: platform.reserved_memory.clone(),
            functions,
        };
        for unit in &platform.remapping {
            // SAFETY: the caller's promise.
            let registers = unsafe { RegisterWindow::map(unit.registers) };
            let registers = match registers {
                Ok(registers) => registers,
                Err(error) => {
                    println!(
                        "iommu: registers at {} cannot be mapped: {error}",
                        unit.registers
                    );
                    iommu.unused.push(unit.clone());
                    continue;
                }
            };
            match Unit::start(registers) {
                Ok(started) => {
                    let bits = started.capabilities.addresses().last().get().ilog2() + 1;
                    println!("iommu: on; {bits} bits of bus address for each device");
                    iommu.units.push((unit.clone(), Arc::new(started)));
                }
                Err(error) => {
                    println!("iommu: the one at {} is not used: {error}", unit.registers);
                    iommu.unused.push(unit.clone());
                }
            }
        }
        (!iommu.units.is_empty()).then_some(iommu)
    }

    /// The IOMMU that a device is behind.
    fn unit_of(&self, device: PciAddress) -> Option<&Arc<Unit>> {
        let functions = (self.functions)();
        let covers = |scopes: &[Scope]| scopes.iter().any(|scope| names(scope, device, &functions));
        let is_named =
            |unit: &RemappingUnit| unit.segment == device.segment() && covers(&unit.scopes);
        if self.unused.iter().any(is_named) {
            return None;
        }
        let named = self.units.iter().find(|(unit, _)| is_named(unit));
        let rest = |unit: &RemappingUnit| unit.segment == device.segment() && unit.serves_the_rest;
        let found = named.or_else(|| self.units.iter().find(|(unit, _)| rest(unit)));
        found.map(|(_, unit)| unit)
    }

    /// What a device must see at any time.
    fn always(&self, device: PciAddress) -> Vec<Phyr> {
        let functions = (self.functions)();
        let reserved = self.reserved.iter().filter(|reserved| {
            let names = |scope| names(scope, device, &functions);
            reserved.segment == device.segment() && reserved.scopes.iter().any(names)
        });
        reserved.map(|reserved| reserved.memory).collect()
    }
}

fn names(scope: &Scope, device: PciAddress, functions: &[Function]) -> bool {
    let at = |place| {
        functions
            .iter()
            .find(move |function| function.address == place)
    };
    let before = |place: PciAddress| {
        let is_before = |function: &&Function| {
            function.address.segment() == place.segment()
                && function.secondary_bus == Some(place.bus())
        };
        functions
            .iter()
            .find(is_before)
            .map(|function| function.address)
    };
    scope.covers(device, |place| at(place)?.secondary_bus, before)
}

impl Kind for VtD {
    fn domain(&self, device: PciAddress) -> Result<Option<Domain>, DmaError> {
        let Some(unit) = self.unit_of(device) else {
            return Ok(None);
        };
        let always = self.always(device);
        let range =
            |(first, last)| DmaRange::from_inclusive(DmaAddr::new(first), DmaAddr::new(last));
        let taken = RESERVED.into_iter().filter_map(|ends| range(ends).ok());
        let taken = taken.chain(always.iter().map(|memory| memory.to_same_bus_range()));
        let taken: Vec<DmaRange> = taken.collect();
        let space = space(unit.capabilities, &taken, &always);
        let space = space.map_err(|_| DmaError::OutOfMemory)?;
        let root = space.translation().root();
        let number = unit.take_number().ok_or(DmaError::OutOfMemory)?;
        let domain = Arc::new(Remapped {
            unit: unit.clone(),
            device,
            number,
            space: Mutex::new(space),
        });
        let attached = unit.attach(device, number, root);
        attached.ok_or(DmaError::OutOfMemory)?;
        Ok(Some(Domain::new(domain)))
    }

    fn faults(&self) -> Vec<Fault> {
        let units = self.units.iter();
        units
            .flat_map(|(_, unit)| core::iter::from_fn(|| unit.next_fault()))
            .collect()
    }
}

/// The domain of one device.
struct Remapped {
    unit: Arc<Unit>,
    device: PciAddress,
    /// The IOMMU's name for it.
    number: u16,
    space: Mutex<Space<Tables>>,
}

/// Nothing but what the device must always see.
fn space(
    capabilities: Capabilities,
    taken: &[DmaRange],
    always: &[Phyr],
) -> Result<Space<Tables>, NoMemory> {
    let mut tables = Tables::new(capabilities)?;
    for memory in always {
        // Firmware knows it at the same address.
        let memory = memory.align_outer(PAGE).ok_or(NoMemory)?;
        tables.map_pages(memory.to_same_bus_range(), memory, Access::Both)?;
    }
    Space::new(tables, capabilities.addresses(), taken).ok_or(NoMemory)
}

impl fmt::Debug for Remapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "domain {} of {}", self.number, self.device)
    }
}

// SAFETY: a range is bus addresses that no other mapping of the domain has, and the page tables say that the bytes
// of the phyrs are there, in their order (`Space::map`). `unmap` removes them, and waits until the IOMMU
// has forgotten them and what was on its way is done.
unsafe impl DmaDomain for Remapped {
    fn granule(&self) -> Option<u64> {
        Some(PAGE)
    }

    fn fixed(&self, _: Phyr) -> Option<DmaAddr> {
        None
    }

    fn below(&self, _: DmaAddr) -> Option<PhysAddr> {
        None
    }

    unsafe fn map(
        &self,
        list: PhyrList,
        access: Access,
        last: DmaAddr,
    ) -> Result<DmaList, (DmaError, PhyrList)> {
        let mut space = self.space.lock();
        let ranges = match space.map(&list, access, last) {
            Ok(ranges) => ranges,
            Err(error) => {
                // No device was told of what was there for a moment, but one may guess.
                self.unit
                    .forget(self.number, self.unit.capabilities.addresses());
                return Err((error, list));
            }
        };
        if let Some(window) = space::window_of(&ranges) {
            self.unit.notice(self.number, window);
        }
        Ok(ranges)
    }

    fn unmap(&self, list: &DmaList) {
        let mut space = self.space.lock();
        if let Some(window) = space.hide(list) {
            self.unit.forget(self.number, window);
            space.free(window);
        }
    }
}

impl Drop for Remapped {
    fn drop(&mut self) {
        self.unit.detach(self.device, self.number);
        self.unit.return_number(self.number);
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
