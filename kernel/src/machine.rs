//! The machine that the kernel found itself in: firmware tables, clock, PCI functions, IOMMUs.

use crate::acpi::{Firmware, Platform};
use crate::drivers::virtio;
use crate::iommu::Iommu;
use crate::memory::mapping::Mapping;
use crate::memory::paging::Features;
use crate::memory::paging::{Cache, Rights};
use crate::memory::{boot_regions, is_ram, ram_end};
use crate::pci::device::Owners;
use crate::pci::ecam::Ecam;
use crate::pci::hotplug::Tree;
use crate::pci::scan::{Bus, Holes, scan};
use crate::pci::{Function, resources};
use crate::{fw_cfg, println, time};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bootloader_api::info::MemoryRegionKind;
use phyr::{Phyr, PhysAddr};
use spin::Once;

/// What was found at boot, and what has come and gone since.
pub struct Machine {
    /// What the firmware says.
    pub platform: Platform,
    /// Every PCI function that is there. `None` on a machine without PCI Express.
    pub pci: Option<Tree<Ecam>>,
    /// Configuration space, and who drives what. `None` on a machine without PCI Express.
    pub owners: Option<Arc<Owners<Ecam>>>,
    /// What keeps devices from memory that is not theirs. `None` on a machine without an IOMMU.
    pub iommu: Option<Arc<Iommu>>,
    /// The virtio devices that are on no bus.
    pub windows: Vec<virtio::window::Found>,
}

impl Machine {
    /// Every PCI function that is there now, in the order of their addresses.
    pub fn functions(&self) -> Vec<Function> {
        self.pci.as_ref().map(Tree::functions).unwrap_or_default()
    }
}

static MACHINE: Once<Machine> = Once::new();

/// The machine.
///
/// # Panics
/// Before [`init`].
pub fn machine() -> &'static Machine {
    MACHINE.get().expect("the machine is discovered first")
}

/// Firmware memory, mapped for the length of one read.
struct FirmwareMemory;

impl Firmware for FirmwareMemory {
    fn read(&self, range: Phyr) -> Option<Vec<u8>> {
        // SAFETY: the memory is only read, and cached as the direct map is. Firmware that sends a reader
        // to registers with side effects breaks its own machine and no memory of the kernel's.
        let mapping = unsafe { Mapping::map(range, Rights::ReadOnly, Cache::WriteBack) }.ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(mapping.len()).ok()?;
        for index in 0..mapping.len() {
            // SAFETY: `index` is within the mapping. Volatile, because the memory is not ours alone.
            bytes.push(unsafe {
                mapping
                    .pointer()
                    .as_ptr()
                    .wrapping_add(index)
                    .read_volatile()
            });
        }
        Some(bytes)
    }
}

/// Reads the firmware's tables, starts the clock, enumerates PCI, and turns IOMMUs on.
pub fn init(rsdp: Option<u64>) {
    MACHINE.call_once(|| {
        let platform = Platform::discover(rsdp.map(PhysAddr::new), &FirmwareMemory);
        for (signature, flaw) in &platform.flaws {
            println!(
                "acpi: table {} is ignored, or a part of it: {flaw}",
                signature.escape_ascii()
            );
        }
        time::init(
            platform.hpet.filter(|hpet| !is_ram(hpet.registers())),
            platform.pm_timer,
        );
        let pci = enumerate(&platform);
        let owners = pci.as_ref().map(|pci| pci.owners().clone());
        let windows = virtio::window::find_all(&platform.virtio);
        let iommu = pci.as_ref().and_then(|pci| remap(&platform, pci));
        Machine {
            platform,
            pci,
            owners,
            iommu,
            windows,
        }
    });
}

/// Turns the IOMMUs on, if there are any. After enumeration, because drivers come later, and before them.
fn remap(platform: &Platform, pci: &Tree<Ecam>) -> Option<Arc<Iommu>> {
    let in_ram = |unit: &&crate::acpi::RemappingUnit| is_ram(unit.registers);
    if let Some(unit) = platform.remapping.iter().find(in_ram) {
        println!(
            "iommu: the firmware reports registers in RAM, at {}",
            unit.registers
        );
        return None;
    }
    let functions = || machine().functions();
    let others = virtio::iommu::start_all(platform, pci.owners(), &pci.functions(), functions);
    // SAFETY: the firmware reports them as IOMMUs, they are no RAM, and there is no other user.
    let iommu = unsafe { Iommu::start(platform, others, functions) }?;
    pci.owners().use_domains(iommu.clone());
    Some(iommu)
}

/// Finds and places every PCI function. Without configuration space there are none.
fn enumerate(platform: &Platform) -> Option<Tree<Ecam>> {
    if platform.ecam.is_empty() {
        println!("pci: the firmware reports no PCI Express configuration space (MCFG)");
        return None;
    }
    if let Some(region) = platform.ecam.iter().find(|region| is_ram(region.window)) {
        println!(
            "pci: the firmware reports configuration space in RAM, at {}",
            region.window
        );
        return None;
    }
    // SAFETY: the firmware reports configuration space, it is no RAM, and `Owners` is its only user.
    let ecam = match unsafe { Ecam::map(&platform.ecam) } {
        Ok(ecam) => ecam,
        Err(error) => {
            println!("pci: configuration space cannot be mapped: {error}");
            return None;
        }
    };
    let mut holes = holes(platform);
    let mut bus = Bus::default();
    for region in &platform.ecam {
        let (first, last) = (region.first_bus, region.last_bus);
        let found = scan(&ecam, region.segment, first, last, &mut holes);
        bus.functions.extend(found.functions);
        bus.unplaced.extend(found.unplaced);
        bus.ports.extend(found.ports);
    }
    Some(Tree::new(Arc::new(Owners::new(ecam)), bus))
}

/// The end of what the hypervisor keeps above RAM for memory that is a device's, and may come later. No
/// map mentions it; QEMU tells its firmware, which has to place devices, too.
fn reserved_end() -> PhysAddr {
    let item = fw_cfg::read("etc/reserved-memory-end");
    let end = item.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    PhysAddr::new(end.unwrap_or_default())
}

/// Address space for devices: what the memory map leaves free.
fn holes(platform: &Platform) -> Holes {
    const FOUR_GIB: PhysAddr = PhysAddr::new(1 << 32);
    let reserved = boot_regions().iter().filter(|region| {
        !matches!(
            region.kind,
            MemoryRegionKind::Usable | MemoryRegionKind::Bootloader
        )
    });
    let reserved = reserved.filter_map(|region| {
        Phyr::new(
            PhysAddr::new(region.start),
            region.end.checked_sub(region.start)?,
        )
        .ok()
    });
    Holes {
        low: resources::low_bounds(ram_end(FOUR_GIB)),
        high: resources::high_bounds(
            ram_end(PhysAddr::new(u64::MAX)).max(reserved_end()),
            Features::detect().physical_bits,
        ),
        taken: reserved
            .chain(platform.ecam.iter().map(|region| region.window))
            // No memory map mentions it, and it begins where devices would, too.
            .chain(platform.persistent.iter().copied())
            .collect(),
    }
}
