//! Start info in, running kernel out: the loader's main line.

use crate::entry::{enter_kernel, loader_bounds, trampoline_address};
use crate::error::LoadError;
use crate::image::{Access, Image, Segment};
use crate::memory_map::{Kind, MemoryMap};
use crate::placement::Placement;
use crate::serial::print;
use crate::tables::{Tables, zeroed};
use crate::{PAGE, faults, serial};
use bootloader_api::BootInfo;
use bootloader_api::config::Mapping;
use bootloader_api::info::{MemoryRegion, Optional};
use core::panic::PanicInfo;
use phyr::{Phyr, PhysAddr};
use pvh::start_info::reader::{IdentityMap, StartInfoReader};
use rt::exit::{Outcome, end};

/// The kernel, stripped of symbols, in a section of its own so that it is easy to find.
static KERNEL: &[u8] = {
    const FILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernel.elf"));
    #[unsafe(link_section = ".kernel")]
    static BYTES: Aligned<{ FILE.len() }> =
        Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kernel.elf")));
    &BYTES.0
};

#[repr(C, align(4096))]
struct Aligned<const N: usize>([u8; N]);

/// Where the RSDP of a PC may lie when the monitor does not say (ACPI specification, section 5.2.5.1).
const RSDP_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;

/// Called by the entry code, in long mode on the loader's stack.
pub(crate) extern "C" fn start(start_info: u32) -> ! {
    serial::init();
    faults::install();
    // SAFETY: the PVH protocol passes the address of a start info in memory below 4 GiB, which is
    // mapped at its own address and which nothing has overwritten yet.
    let info = unsafe { StartInfoReader::from_paddr_identity(start_info) };
    let result = info
        .ok_or(LoadError::NoStartInfo)
        .and_then(|info| prepare(&info));
    match result {
        // SAFETY: `prepare` has built tables that map the trampoline, the stack and the entry.
        Ok(ready) => unsafe {
            enter_kernel(ready.boot_info, ready.tables, ready.stack_top, ready.entry)
        },
        Err(error) => {
            print!("loader: {error}\n");
            end(Outcome::Failure)
        }
    }
}

/// What `enter_kernel` needs.
struct Ready {
    boot_info: u64,
    tables: u64,
    stack_top: u64,
    entry: u64,
}

fn prepare(info: &StartInfoReader<'_, IdentityMap>) -> Result<Ready, LoadError> {
    if KERNEL.is_empty() {
        return Err(LoadError::NoKernel);
    }
    let image = Image::parse(KERNEL)?;
    let mut memory = memory_map(info)?;
    let mut tables = Tables::new(&mut memory)?;
    let mappings = &image.config.mappings;
    let mut placement = Placement::new(mappings.dynamic_range_start, mappings.dynamic_range_end);

    let trampoline = phyr(trampoline_address(), PAGE)?;
    placement.occupy(trampoline.addr().get(), PAGE)?;
    tables.map(
        trampoline.addr().get(),
        trampoline,
        Access::ReadExecute,
        &mut memory,
    )?;
    for segment in image.segments() {
        placement.occupy(segment.virt, segment.len)?;
        load_segment(&segment, &mut tables, &mut memory)?;
    }
    // Fixed addresses first, so that no dynamic mapping takes their place.
    let physical_len = memory
        .regions()
        .filter(|region| region.kind == Kind::Ram)
        .map(|region| region.range.last().get())
        .max()
        .unwrap_or(0);
    let physical_fixed = mappings.physical_memory.and_then(fixed);
    for (address, len) in [
        (physical_fixed, physical_len),
        (fixed(mappings.kernel_stack), image.config.kernel_stack_size),
        (fixed(mappings.boot_info), PAGE),
        (fixed(mappings.ramdisk_memory), PAGE),
    ] {
        if let Some(address) = address {
            placement.occupy(address, len)?;
        }
    }

    // The guard page is the unmapped page below the stack.
    let stack_len = image
        .config
        .kernel_stack_size
        .max(PAGE)
        .checked_next_multiple_of(PAGE)
        .unwrap_or(u64::MAX);
    let stack = memory.allocate(stack_len)?;
    let stack_bottom = match fixed(mappings.kernel_stack) {
        Some(address) => address,
        None => placement.place(None, stack_len.saturating_add(PAGE))? + PAGE,
    };
    zeroed(stack);
    tables.map(stack_bottom, stack, Access::ReadWrite, &mut memory)?;

    let ramdisk = match info.modlist().next() {
        Some(module) => Some(map_ramdisk(
            &module.raw().clone(),
            mappings.ramdisk_memory,
            &mut placement,
            &mut tables,
            &mut memory,
        )?),
        None => None,
    };

    let physical_offset = match mappings.physical_memory {
        Some(mapping) => {
            let offset = match fixed(mapping) {
                Some(address) => address,
                None => placement.place(None, physical_len)?,
            };
            map_physical_memory(offset, &mut tables, &mut memory)?;
            Some(offset)
        }
        None => None,
    };
    let recursive = match mappings.page_table_recursive {
        Some(mapping) => {
            let index = match fixed(mapping) {
                Some(address) => {
                    placement.occupy(address, PAGE)?;
                    crate::placement::slot_of(address) as u16
                }
                None => placement.place_entry()?,
            };
            tables.map_recursively(index);
            Some(index)
        }
        None => None,
    };

    // From here on the map only changes within the pages set aside for it.
    let regions_offset = size_of::<BootInfo>().next_multiple_of(align_of::<MemoryRegion>());
    let bound = memory.regions().count() + 8;
    let boot_info_len = (regions_offset + bound * size_of::<MemoryRegion>()) as u64;
    let boot_info_memory = memory.allocate(boot_info_len)?;
    let boot_info_virt = match fixed(mappings.boot_info) {
        Some(address) => address,
        None => placement.place(None, boot_info_memory.len())?,
    };
    tables.map(
        boot_info_virt,
        boot_info_memory,
        Access::ReadWrite,
        &mut memory,
    )?;

    let page = zeroed(boot_info_memory);
    let mut count = 0;
    for region in memory.regions().take(bound) {
        let entry = MemoryRegion {
            start: region.range.addr().get(),
            end: region.range.last().get().saturating_add(1),
            kind: region.kind.for_kernel(),
        };
        let place = page
            .as_ptr()
            .wrapping_add(regions_offset)
            .cast::<MemoryRegion>()
            .wrapping_add(count);
        // SAFETY: `count` stays below `bound`, for which the pages were taken; the place is aligned.
        unsafe { place.write(entry) };
        count += 1;
    }
    let regions = core::ptr::slice_from_raw_parts_mut(
        core::ptr::with_exposed_provenance_mut::<MemoryRegion>(
            boot_info_virt as usize + regions_offset,
        ),
        count,
    );
    // SAFETY: the slice is not read here; at this address the kernel's tables map the entries above.
    let regions: &'static mut [MemoryRegion] = unsafe { &mut *regions };
    let mut boot_info = BootInfo::new(regions.into());
    boot_info.physical_memory_offset = optional(physical_offset);
    boot_info.recursive_index = optional(recursive);
    boot_info.rsdp_addr = optional(rsdp(info));
    boot_info.tls_template = optional(image.tls);
    boot_info.ramdisk_addr = optional(ramdisk.map(|ramdisk| ramdisk.0));
    boot_info.ramdisk_len = ramdisk.map_or(0, |ramdisk| ramdisk.1);
    boot_info.kernel_addr = KERNEL.as_ptr().addr() as u64;
    boot_info.kernel_len = KERNEL.len() as u64;
    boot_info.kernel_stack_bottom = stack_bottom;
    boot_info.kernel_stack_len = stack_len;
    // SAFETY: the pages are zeroed, large enough and page-aligned, and nothing refers to them.
    unsafe { page.cast::<BootInfo>().write(boot_info) };

    Ok(Ready {
        boot_info: boot_info_virt,
        tables: tables.root(),
        stack_top: stack_bottom + stack_len,
        entry: image.entry,
    })
}

/// The monitor's map, less what is in use: the loader itself and what the start info points to.
fn memory_map(info: &StartInfoReader<'_, IdentityMap>) -> Result<MemoryMap, LoadError> {
    let entries = info.memmap().iter().filter_map(|entry| {
        Some((
            Phyr::new(PhysAddr::new(entry.addr), entry.size).ok()?,
            u32::from(entry.ty()),
        ))
    });
    let mut memory = MemoryMap::new(entries)?;
    let (first, last) = loader_bounds();
    memory.claim(phyr(first, last - first + 1)?)?;

    let raw = info.raw();
    let entry_len = size_of::<pvh::start_info::MemmapTableEntry>() as u64;
    let module_len = size_of::<pvh::start_info::ModlistEntry>() as u64;
    let mut in_use = |addr: u64, len: u64| match Phyr::new(PhysAddr::new(addr), len) {
        Ok(range) if addr != 0 => memory.claim(range),
        _ => Ok(()),
    };
    in_use(
        core::ptr::from_ref(raw).addr() as u64,
        size_of_val(raw) as u64,
    )?;
    in_use(raw.memmap_paddr, u64::from(raw.memmap_entries) * entry_len)?;
    in_use(raw.modlist_paddr, u64::from(raw.nr_modules) * module_len)?;
    for module in info.modlist() {
        in_use(module.raw().paddr, module.raw().size)?;
    }
    Ok(memory)
}

fn load_segment(
    segment: &Segment<'_>,
    tables: &mut Tables,
    memory: &mut MemoryMap,
) -> Result<(), LoadError> {
    let frames = memory.allocate(segment.len)?;
    let start = zeroed(frames);
    // SAFETY: the frames have at least `segment.len` bytes, which `Image` checked to be no less
    // than `data.len()`; they were just taken, so they do not overlap the file.
    unsafe {
        start.copy_from_nonoverlapping(
            core::ptr::NonNull::from(segment.data).cast(),
            segment.data.len(),
        )
    };
    tables.map(segment.virt, frames, segment.access, memory)
}

/// Maps the first module as the ramdisk; returns its virtual address and length.
fn map_ramdisk(
    module: &pvh::start_info::ModlistEntry,
    mapping: Mapping,
    placement: &mut Placement,
    tables: &mut Tables,
    memory: &mut MemoryMap,
) -> Result<(u64, u64), LoadError> {
    let exact = phyr(module.paddr, module.size)?;
    let pages = exact.align_outer(PAGE).ok_or(LoadError::NoStartInfo)?;
    let virt = match fixed(mapping) {
        Some(address) => address,
        None => placement.place(None, pages.len())?,
    };
    tables.map(virt, pages, Access::ReadWrite, memory)?;
    Ok((virt + (module.paddr - pages.addr().get()), module.size))
}

/// Maps all RAM, taken or free, at `offset`. Holes and device registers stay unmapped.
fn map_physical_memory(
    offset: u64,
    tables: &mut Tables,
    memory: &mut MemoryMap,
) -> Result<(), LoadError> {
    // New tables change the kinds of regions on the way, but never where RAM is: the map is
    // walked by address, joining free and taken RAM so that large pages fit.
    let mut next = 0;
    while let Some(ram) = ram_from(memory, next) {
        let virt = offset
            .checked_add(ram.addr().get())
            .ok_or(LoadError::Overlap { virt: offset })?;
        tables.map(virt, ram, Access::ReadWrite, memory)?;
        match ram.last().get().checked_add(1) {
            Some(behind) => next = behind,
            None => break,
        }
    }
    Ok(())
}

/// The first piece of RAM at or above `addr`, taken and free parts joined.
fn ram_from(memory: &MemoryMap, addr: u64) -> Option<Phyr> {
    let mut ram: Option<Phyr> = None;
    let of_ram = |kind| !matches!(kind, Kind::Reserved(_));
    for region in memory
        .regions()
        .filter(|region| of_ram(region.kind) && region.range.addr().get() >= addr)
    {
        ram = match ram.map(|before| before.try_merge(region.range)) {
            None => Some(region.range),
            Some(Ok(joined)) => Some(joined),
            Some(Err(_)) => break,
        };
    }
    ram
}

/// The RSDP: the start info's, or (Firecracker passes none) the one in the BIOS area.
fn rsdp(info: &StartInfoReader<'_, IdentityMap>) -> Option<u64> {
    let told = info.raw().rsdp_paddr;
    if told != 0 {
        return Some(told);
    }
    RSDP_AREA.step_by(16).find(|&address| {
        // SAFETY: the BIOS area is mapped at its own address and readable; any bytes are valid.
        let bytes =
            unsafe { core::ptr::with_exposed_provenance::<[u8; 20]>(address as usize).read() };
        bytes.starts_with(b"RSD PTR ")
            && bytes
                .iter()
                .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
                == 0
    })
}

fn fixed(mapping: Mapping) -> Option<u64> {
    match mapping {
        Mapping::FixedAddress(address) => Some(address),
        Mapping::Dynamic => None,
    }
}

fn phyr(addr: u64, len: u64) -> Result<Phyr, LoadError> {
    Phyr::new(PhysAddr::new(addr), len).map_err(|_| LoadError::NoStartInfo)
}

fn optional<T>(value: Option<T>) -> Optional<T> {
    value.map_or(Optional::None, Optional::Some)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print!("loader: {info}: this is a defect of the loader\n");
    end(Outcome::Failure)
}
