//! The IOMMU: devices reach what they were given, and nothing else.
//!
//! Without one, a device with a driver reaches all memory, and a wrong address in a command
//! overwrites something else. With one (Intel's VT-d, as QEMU and most PCs have it), each device has bus addresses of its
//! own, and page tables that say what is there. At first nothing is. [`dma::map`](crate::dma::map) adds memory and
//! takes it away again; what a device wants besides is refused and recorded as a [`Fault`].
//!
//! - Whether there is an IOMMU is found out when the machine starts. Drivers are the same: they get a
//!   [`Domain`] with their device, and pass it on.
//! - A device gets its domain when its driver asks. Until then, and after its driver has gone, it reaches nothing.
//! - Interrupts are not remapped: a device that masters the bus can send any message to the interrupt controllers.
//! - Memory that firmware reserved for a device stays where the device knows it.
//! - Functions of conventional PCI behind a bridge speak with the bridge's number, and reach nothing here.
//!
//! `hardware` is what an IOMMU can do, `unit` its registers and its tables of devices, `table` the page tables of a
//! device, `iova` its free addresses, and `space` both together.

mod hardware;
mod iova;
mod space;
mod table;
mod unit;

pub use unit::Fault;

use crate::acpi::{Platform, RemappingUnit, ReservedMemory, Scope};
use crate::dma::{Access, DmaDomain, DmaError, Domain, Domains};
use crate::lock::Mutex;
use crate::mmio::RegisterWindow;
use crate::pci::{Function, PciAddress};
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use iova::PAGE;
use phyr::{DmaAddr, DmaList, DmaRange, Phyr, PhyrList, PhysAddr};
use space::Space;
use unit::Unit;

/// Addresses that are no memory for any device.
const RESERVED: [(u64, u64); 2] = [
    // Many a device takes 0 for nothing.
    (0, PAGE - 1),
    // Registers of devices, which a bridge may find before the IOMMU does, and the addresses of
    // interrupts, which are not translated (section 3.14).
    (0x8000_0000, 0xffff_ffff),
];

/// All IOMMUs of the machine.
pub struct Iommu {
    units: Vec<(RemappingUnit, Arc<Unit>)>,
    /// Those that cannot be used; what is behind them is not translated.
    unused: Vec<RemappingUnit>,
    reserved: Vec<ReservedMemory>,
    functions: fn() -> Vec<Function>,
}

impl Iommu {
    /// Turns the IOMMUs on, of which firmware tells. `None` if there are none. From now on no device
    /// reaches memory without a domain.
    ///
    /// `functions` says what is on the bus now.
    ///
    /// # Safety
    /// The firmware's IOMMUs are IOMMUs, and nobody else uses them.
    pub unsafe fn start(
        platform: &Platform,
        functions: fn() -> Vec<Function>,
    ) -> Option<Arc<Self>> {
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
        (!iommu.units.is_empty()).then(|| Arc::new(iommu))
    }

    /// The faults since the last call, oldest first. There is room for one in the hardware of most machines; what
    /// comes before that is taken is lost.
    pub fn take_faults(&self) -> Vec<Fault> {
        let units = self.units.iter();
        units
            .flat_map(|(_, unit)| core::iter::from_fn(|| unit.next_fault()))
            .collect()
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

impl Domains for Iommu {
    fn domain(&self, device: PciAddress) -> Result<Domain, DmaError> {
        let Some(unit) = self.unit_of(device) else {
            return Ok(Domain::DIRECT);
        };
        let always = self.always(device);
        let range =
            |(first, last)| DmaRange::from_inclusive(DmaAddr::new(first), DmaAddr::new(last));
        let taken = RESERVED.into_iter().filter_map(|ends| range(ends).ok());
        let taken = taken.chain(always.iter().map(|memory| memory.to_same_bus_range()));
        let taken: Vec<DmaRange> = taken.collect();
        let space = Space::new(unit.capabilities, &taken, &always);
        let space = space.map_err(|_| DmaError::OutOfMemory)?;
        let root = space.root();
        let number = unit.take_number().ok_or(DmaError::OutOfMemory)?;
        let domain = Arc::new(Remapped {
            unit: unit.clone(),
            device,
            number,
            space: Mutex::new(space),
        });
        let attached = unit.attach(device, number, root);
        attached.ok_or(DmaError::OutOfMemory)?;
        Ok(Domain::new(domain))
    }
}

/// The domain of one device.
struct Remapped {
    unit: Arc<Unit>,
    device: PciAddress,
    /// The IOMMU's name for it.
    number: u16,
    space: Mutex<Space>,
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
