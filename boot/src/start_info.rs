//! What the monitor passed: the memory map, a ramdisk, the way to the ACPI tables.
//!
//! The start info lies in memory that the map calls free, and so does all that it points to.
//! What is still needed is claimed before anything is allocated.

use crate::error::LoadError;
use crate::memory_map::MemoryMap;
use phyr::{Phyr, PhysAddr, RangeError};
use pvh::start_info::reader::{IdentityMap, StartInfoReader};
use pvh::start_info::{MemmapTableEntry, ModlistEntry};

/// Where the RSDP of a PC may lie when the monitor does not say (ACPI specification, section 5.2.5.1).
const RSDP_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;

/// The start info, read.
pub struct StartInfo<'a>(StartInfoReader<'a, IdentityMap>);

impl StartInfo<'_> {
    /// Reads the start info at a physical address.
    ///
    /// # Safety
    /// The PVH entry code received the address, and nothing has been written to memory since but
    /// the loader's own image.
    pub unsafe fn read(address: u32) -> Result<Self, LoadError> {
        // SAFETY: the protocol puts a start info there, below 4 GiB, where memory is mapped at its
        // own address.
        let reader = unsafe { StartInfoReader::from_paddr_identity(address) };
        reader.map(Self).ok_or(LoadError::NoStartInfo)
    }

    /// The monitor's map, less what is in use: `loader` and what the start info points to.
    pub fn memory_map(&self, loader: Phyr) -> Result<MemoryMap, LoadError> {
        let entries = self.0.memmap().iter().filter_map(|entry| {
            let range = Phyr::new(PhysAddr::new(entry.addr), entry.size).ok()?;
            Some((range, u32::from(entry.ty())))
        });
        let mut memory = MemoryMap::new(entries)?;
        memory.claim(loader)?;

        let raw = self.0.raw();
        let entries = u64::from(raw.memmap_entries) * size_of::<MemmapTableEntry>() as u64;
        let modules = u64::from(raw.nr_modules) * size_of::<ModlistEntry>() as u64;
        let start_info = core::ptr::from_ref(raw).addr() as u64;
        let used = [
            Phyr::new(PhysAddr::new(start_info), size_of_val(raw) as u64),
            Phyr::new(PhysAddr::new(raw.memmap_paddr), entries),
            Phyr::new(PhysAddr::new(raw.modlist_paddr), modules),
        ];
        let module_ranges = self.0.modlist().map(|module| module_range(module.raw()));
        // An absent table has address 0, which is in the part of memory that is never allocated.
        for range in used.into_iter().chain(module_ranges).flatten() {
            memory.claim(range)?;
        }
        Ok(memory)
    }

    /// The first module, which the kernel gets as its ramdisk.
    pub fn ramdisk(&self) -> Option<Phyr> {
        module_range(self.0.modlist().next()?.raw()).ok()
    }

    /// The physical address of the RSDP: the start info's, or (Firecracker passes none) the one
    /// in the BIOS area.
    pub fn rsdp(&self) -> Option<u64> {
        let told = self.0.raw().rsdp_paddr;
        if told != 0 {
            return Some(told);
        }
        RSDP_AREA.step_by(16).find(|&address| {
            let place = core::ptr::with_exposed_provenance::<[u8; 20]>(address as usize);
            // SAFETY: the BIOS area is mapped at its own address and readable; any bytes are valid.
            let bytes = unsafe { place.read() };
            let sum = bytes
                .iter()
                .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
            bytes.starts_with(b"RSD PTR ") && sum == 0
        })
    }
}

fn module_range(module: &ModlistEntry) -> Result<Phyr, RangeError> {
    Phyr::new(PhysAddr::new(module.paddr), module.size)
}
