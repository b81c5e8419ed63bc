//! The last page that the loader writes: [`BootInfo`], and behind it the memory regions.

use crate::error::LoadError;
use crate::memory_map::MemoryMap;
use crate::tables::zeroed;
use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, Optional};
use phyr::Phyr;

/// Regions that may yet be split off while the last tables are made.
const SPARE_REGIONS: usize = 8;

/// Memory for the boot information, as the loader and as the kernel see it.
pub struct Handover {
    /// The memory, which the loader sees at its own address.
    pub memory: Phyr,
    /// How many regions fit.
    capacity: usize,
}

impl Handover {
    const REGIONS: usize = size_of::<BootInfo>().next_multiple_of(align_of::<MemoryRegion>());

    /// Takes enough memory for the regions of the map as it is now.
    pub fn allocate(memory: &mut MemoryMap) -> Result<Self, LoadError> {
        let capacity = memory.regions().count() + SPARE_REGIONS;
        let len = Self::REGIONS + capacity * size_of::<MemoryRegion>();
        let memory = memory.allocate(len as u64)?;
        Ok(Self { memory, capacity })
    }

    /// Writes the final memory map and the boot information, which `complete` fills in.
    /// The kernel will see them at `virt`.
    pub fn write(&self, virt: u64, memory: &MemoryMap, complete: impl FnOnce(&mut BootInfo)) {
        let page = zeroed(self.memory).as_ptr();
        let regions = page.wrapping_add(Self::REGIONS).cast::<MemoryRegion>();
        let mut count = 0;
        for region in memory.regions().take(self.capacity) {
            let entry = MemoryRegion {
                start: region.range.addr().get(),
                end: region.range.last().get().saturating_add(1),
                kind: region.kind.for_kernel(),
            };
            // SAFETY: `count` is below the capacity for which memory was taken; `REGIONS` is aligned.
            unsafe { regions.wrapping_add(count).write(entry) };
            count += 1;
        }
        let seen = core::ptr::with_exposed_provenance_mut(virt as usize + Self::REGIONS);
        let seen = core::ptr::slice_from_raw_parts_mut(seen, count);
        // SAFETY: `MemoryRegions` is made of a slice and of nothing else, and keeps only its address
        // and length. Nobody reads it here; where the kernel does, its tables map the entries above.
        let seen: &'static mut [MemoryRegion] = unsafe { &mut *seen };
        let mut info = BootInfo::new(seen.into());
        complete(&mut info);
        // SAFETY: the memory is page-aligned, large enough, and nothing refers to it.
        unsafe { page.cast::<BootInfo>().write(info) };
    }
}

/// `bootloader_api`'s own option type.
pub fn optional<T>(value: Option<T>) -> Optional<T> {
    value.map_or(Optional::None, Optional::Some)
}
