//! Start info in, running kernel out: the loader's main line.

use crate::entry::{enter_kernel, loader_image, trampoline_page};
use crate::error::LoadError;
use crate::handover::{Handover, optional};
use crate::image::{Access, Image, Segment};
use crate::memory_map::{Kind, MemoryMap};
use crate::placement::{Placement, slot_of};
use crate::serial::print;
use crate::start_info::StartInfo;
use crate::tables::{Tables, zeroed};
use crate::{PAGE, faults};
use bootloader_api::config::{Mapping, Mappings};
use core::panic::PanicInfo;
use core::ptr::NonNull;
use phyr::{Phyr, PhysAddr};
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

/// Called by the entry code, in long mode on the loader's stack.
pub(crate) extern "C" fn start(start_info: u32) -> ! {
    faults::install();
    // SAFETY: the entry code passes on what the monitor left in `ebx`, and this runs first.
    let info = unsafe { StartInfo::read(start_info) };
    match info.and_then(|info| prepare(&info)) {
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

fn prepare(info: &StartInfo<'_>) -> Result<Ready, LoadError> {
    if KERNEL.is_empty() {
        return Err(LoadError::NoKernel);
    }
    // Not what it was when this was compiled, but what it is now: the compiler shall not check it in advance.
    let image = Image::parse(core::hint::black_box(KERNEL))?;
    let mappings = &image.config.mappings;
    let mut loader = Loader::new(info, mappings)?;

    loader.map_trampoline()?;
    for segment in image.segments() {
        loader.load_segment(&segment)?;
    }
    loader.reserve_fixed(&image)?;
    // An absurd size fails as an allocation.
    let wanted = image.config.kernel_stack_size.max(PAGE);
    let stack_len = wanted.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    let stack_bottom = loader.make_stack(stack_len, mappings.kernel_stack)?;
    let ramdisk = info.ramdisk();
    let ramdisk_addr = match ramdisk {
        Some(ramdisk) => Some(loader.map_ramdisk(ramdisk, mappings.ramdisk_memory)?),
        None => None,
    };
    let physical_offset = match mappings.physical_memory {
        Some(mapping) => Some(loader.map_physical_memory(mapping)?),
        None => None,
    };
    let recursive = match mappings.page_table_recursive {
        Some(mapping) => Some(loader.map_recursively(mapping)?),
        None => None,
    };

    // A fixed address may have put something there.
    let guard = stack_bottom.wrapping_sub(PAGE);
    if loader.tables.maps(guard) {
        return Err(LoadError::Overlap { virt: guard });
    }

    // From here on the map only changes within what the handover has spare regions for.
    let handover = Handover::allocate(&mut loader.memory)?;
    let boot_info = loader.place(mappings.boot_info, handover.memory.len())?;
    loader.map(boot_info, handover.memory, Access::ReadWrite)?;
    handover.write(boot_info, &loader.memory, |info_for_kernel| {
        info_for_kernel.physical_memory_offset = optional(physical_offset);
        info_for_kernel.recursive_index = optional(recursive);
        info_for_kernel.rsdp_addr = optional(info.rsdp());
        info_for_kernel.tls_template = optional(image.tls);
        info_for_kernel.ramdisk_addr = optional(ramdisk_addr);
        info_for_kernel.ramdisk_len = ramdisk.map_or(0, |ramdisk| ramdisk.len());
        info_for_kernel.kernel_addr = KERNEL.as_ptr().addr() as u64;
        info_for_kernel.kernel_len = KERNEL.len() as u64;
        info_for_kernel.kernel_stack_bottom = stack_bottom;
        info_for_kernel.kernel_stack_len = stack_len;
    });
    Ok(Ready {
        boot_info,
        tables: loader.tables.root(),
        stack_top: stack_bottom.wrapping_add(stack_len),
        entry: image.entry,
    })
}

/// The kernel's address space under construction, and the memory that it is made of.
struct Loader {
    memory: MemoryMap,
    tables: Tables,
    placement: Placement,
}

impl Loader {
    fn new(info: &StartInfo<'_>, mappings: &Mappings) -> Result<Self, LoadError> {
        let loader = loader_image().map_err(|_| LoadError::NoStartInfo)?;
        let mut memory = info.memory_map(loader)?;
        let tables = Tables::new(&mut memory)?;
        let placement = Placement::new(mappings.dynamic_range_start, mappings.dynamic_range_end);
        Ok(Self {
            memory,
            tables,
            placement,
        })
    }

    fn map(&mut self, virt: u64, phyr: Phyr, access: Access) -> Result<(), LoadError> {
        self.tables.map(virt, phyr, access, &mut self.memory)
    }

    /// The fixed address of a mapping, or a free one for `bytes`.
    fn place(&mut self, mapping: Mapping, bytes: u64) -> Result<u64, LoadError> {
        Ok(self.placement.place(fixed(mapping), bytes)?)
    }

    fn map_trampoline(&mut self) -> Result<(), LoadError> {
        let page = trampoline_page().map_err(|_| LoadError::NoStartInfo)?;
        self.placement.occupy(page.addr().get(), PAGE)?;
        self.map(page.addr().get(), page, Access::ReadExecute)
    }

    fn load_segment(&mut self, segment: &Segment<'_>) -> Result<(), LoadError> {
        self.placement.occupy(segment.virt, segment.len)?;
        let frames = self.memory.allocate(segment.len)?;
        let (source, start) = (NonNull::from(segment.data).cast(), zeroed(frames));
        // SAFETY: the frames have at least `segment.len` bytes, which `Image` checked to be no less
        // than `data.len()`; they were just taken, so they do not overlap the file.
        unsafe { start.copy_from_nonoverlapping(source, segment.data.len()) };
        self.map(segment.virt, frames, segment.access)
    }

    /// Notes all fixed addresses, so that no dynamic mapping takes their place.
    fn reserve_fixed(&mut self, image: &Image<'_>) -> Result<(), LoadError> {
        let mappings = &image.config.mappings;
        let all_ram = self.end_of_ram();
        for (mapping, bytes) in [
            (mappings.physical_memory, all_ram),
            (mappings.page_table_recursive, PAGE),
            (Some(mappings.kernel_stack), image.config.kernel_stack_size),
            (Some(mappings.boot_info), PAGE),
            (Some(mappings.ramdisk_memory), PAGE),
        ] {
            if let Some(address) = mapping.and_then(fixed) {
                self.placement.occupy(address, bytes)?;
            }
        }
        Ok(())
    }

    /// Maps a stack and leaves the page below it unmapped. Returns its lowest address.
    fn make_stack(&mut self, bytes: u64, mapping: Mapping) -> Result<u64, LoadError> {
        let stack = self.memory.allocate(bytes)?;
        zeroed(stack);
        let bottom = match fixed(mapping) {
            Some(address) => address,
            None => self.place(mapping, bytes + PAGE)? + PAGE,
        };
        self.map(bottom, stack, Access::ReadWrite)?;
        Ok(bottom)
    }

    /// Maps the pages around the ramdisk. Returns the address of its first byte.
    fn map_ramdisk(&mut self, ramdisk: Phyr, mapping: Mapping) -> Result<u64, LoadError> {
        let pages = ramdisk.align_outer(PAGE).ok_or(LoadError::NoStartInfo)?;
        let virt = self.place(mapping, pages.len())?;
        self.map(virt, pages, Access::ReadWrite)?;
        Ok(virt + ramdisk.addr().offset_from(pages.addr()).unwrap_or(0))
    }

    /// Maps all RAM, taken or free. Holes and device registers stay unmapped.
    fn map_physical_memory(&mut self, mapping: Mapping) -> Result<u64, LoadError> {
        let all_ram = self.end_of_ram();
        let offset = self.place(mapping, all_ram)?;
        // New tables change the kinds of regions on the way, but never where RAM is: the map is
        // walked by address, joining free and taken RAM so that large pages fit.
        let mut next = Some(PhysAddr::new(0));
        while let Some(ram) = next.and_then(|from| self.ram_from(from)) {
            let virt = offset.checked_add(ram.addr().get());
            self.map(
                virt.ok_or(LoadError::Overlap { virt: offset })?,
                ram,
                Access::ReadWrite,
            )?;
            next = ram.last().checked_add(1);
        }
        Ok(offset)
    }

    fn map_recursively(&mut self, mapping: Mapping) -> Result<u16, LoadError> {
        let index = match fixed(mapping) {
            Some(address) => slot_of(address) as u16,
            None => self.placement.place_entry()?,
        };
        self.tables.map_recursively(index);
        Ok(index)
    }

    /// The bytes from address 0 to the end of the last RAM.
    fn end_of_ram(&self) -> u64 {
        let ram = self.memory.regions().filter(|region| is_ram(region.kind));
        ram.map(|region| region.range.last().get() + 1)
            .max()
            .unwrap_or(0)
    }

    /// The first piece of RAM at or above an address, taken and free parts joined.
    fn ram_from(&self, from: PhysAddr) -> Option<Phyr> {
        let above = |range: Phyr| range.addr() >= from;
        let mut ram: Option<Phyr> = None;
        for region in self
            .memory
            .regions()
            .filter(|region| is_ram(region.kind) && above(region.range))
        {
            ram = match ram.map(|before| before.try_merge(region.range)) {
                None => Some(region.range),
                Some(Ok(joined)) => Some(joined),
                Some(Err(_)) => break,
            };
        }
        ram
    }
}

fn is_ram(kind: Kind) -> bool {
    !matches!(kind, Kind::Reserved(_))
}

fn fixed(mapping: Mapping) -> Option<u64> {
    match mapping {
        Mapping::FixedAddress(address) => Some(address),
        Mapping::Dynamic => None,
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print!("loader: {info}: this is a defect of the loader\n");
    end(Outcome::Failure)
}
