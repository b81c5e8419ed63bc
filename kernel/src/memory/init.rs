//! The start: from the loader's map and page tables to the kernel's own.

use super::paging::Rights;
use super::virt::{VirtAddr, VirtRange};
use super::window::{DirectMap, PAGE, Window};
use super::{DIRECT_MAP, frames, mapping};
use crate::arch::{cpu, stacks};
use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use phyr::{Phyr, PhysAddr};
use spin::Once;
use x86_64::registers::control::Cr3;

/// The first MiB is left alone: further CPUs start there, and firmware keeps tables there.
const LOWEST: u64 = 1 << 20;

static REGIONS: Once<&'static [MemoryRegion]> = Once::new();

/// The memory map as the loader passed it.
pub fn boot_regions() -> &'static [MemoryRegion] {
    REGIONS.get().copied().unwrap_or(&[])
}

/// The first address above all RAM that lies below `limit`.
pub fn ram_end(limit: PhysAddr) -> PhysAddr {
    let ends = ram(boot_regions())
        .map(|range| range.last().get())
        .filter(|last| *last < limit.get());
    PhysAddr::new(ends.max().map_or(0, |last| last + 1))
}

/// Bytes of all RAM, used or not.
pub fn ram_bytes() -> u64 {
    ram(boot_regions()).map(|range| range.len()).sum()
}

/// Whether any of a range is RAM, so that it cannot be registers.
pub fn is_ram(range: Phyr) -> bool {
    ram(boot_regions()).any(|ram| ram.overlaps(range))
}

/// The unused RAM that is not given to the allocator, because it lies too low.
pub(crate) fn usable_below_1_mib() -> impl Iterator<Item = Phyr> {
    let usable = boot_regions()
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable);
    let low = Phyr::new(PhysAddr::new(0), LOWEST).ok();
    usable
        .filter_map(to_phyr)
        .filter_map(move |range| range.intersect(low?))
}

/// All RAM, used or not.
fn ram(regions: &[MemoryRegion]) -> impl Iterator<Item = Phyr> + '_ {
    let is_ram = |region: &&MemoryRegion| {
        matches!(
            region.kind,
            MemoryRegionKind::Usable | MemoryRegionKind::Bootloader
        )
    };
    regions.iter().filter(is_ram).filter_map(to_phyr)
}

fn to_phyr(region: &MemoryRegion) -> Option<Phyr> {
    Phyr::new(
        PhysAddr::new(region.start),
        region.end.checked_sub(region.start)?,
    )
    .ok()
}

/// Starts memory management. The heap works afterwards.
///
/// # Panics
/// If the loader's map has no RAM or its mapping of RAM is not where the kernel asked for it: the
/// boot contract is broken, and nothing can be done without memory.
pub fn init(info: &'static BootInfo) {
    let regions: &'static [MemoryRegion] = &info.memory_regions;
    REGIONS.call_once(|| regions);
    assert_eq!(
        info.physical_memory_offset.into_option(),
        Some(DIRECT_MAP),
        "the loader maps physical memory where BOOT_CONFIG says"
    );
    let end = ram(regions)
        .map(|range| range.last().get())
        .max()
        .expect("the loader reports RAM")
        + 1;
    let view = VirtAddr::new(DIRECT_MAP).and_then(|start| VirtRange::new(start, end));
    // SAFETY: by the boot contract all RAM is mapped at this offset for good; holes between RAM
    // regions are not, and only RAM reaches the allocator and the tables.
    let window = unsafe { DirectMap::new(view.expect("RAM fits below the hole")) };

    frames::init(window);
    let usable = regions
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable)
        .filter_map(to_phyr);
    for range in usable.filter_map(above_lowest) {
        // SAFETY: the loader reports this RAM as unused.
        unsafe { frames::add(range) };
    }
    // The loader's copy of the kernel file is not needed any more.
    let file = Phyr::new(PhysAddr::new(info.kernel_addr), info.kernel_len)
        .ok()
        .and_then(|file| file.align_inner(PAGE));
    if let Some(file) = file.filter(|file| ram(regions).any(|range| range.contains(*file))) {
        // SAFETY: the segments were copied out of it, and nothing else lies in its whole pages.
        unsafe { frames::add(file) };
    }

    cpu::set_page_attributes();
    let root = PhysAddr::new(Cr3::read_raw().0.start_address().as_u64());
    // SAFETY: these are the tables in use, and the loader, who made them, no longer runs.
    unsafe { mapping::init(root, window) };
    tighten(window);
}

fn above_lowest(range: Phyr) -> Option<Phyr> {
    let rest = range
        .last()
        .get()
        .checked_sub(range.addr().get().max(LOWEST))?;
    Phyr::new(PhysAddr::new(range.addr().get().max(LOWEST)), rest + 1).ok()
}

unsafe extern "C" {
    static kernel_text_start: u8;
    static kernel_data_start: u8;
}

/// Takes away what the loader had to leave open.
fn tighten(window: DirectMap) {
    mapping::with_tables(|tables| {
        // The loader's trampoline is the only thing in the lower half.
        let mut leaves = [None; 8];
        let mut count = 0;
        tables.visit(VirtRange::LOWER_HALF, |leaf| {
            if let Some(place) = leaves.get_mut(count) {
                *place = Some(leaf.virt);
            }
            count += 1;
        });
        assert!(count <= leaves.len(), "the loader maps one trampoline");
        for range in leaves.into_iter().flatten() {
            // SAFETY: the kernel runs in the upper half; nobody uses the lower one.
            unsafe { tables.unmap(range) }.expect("it was found mapped");
        }

        for index in 0..stacks::COUNT {
            let guard = stacks::guard(stacks::boot_stack(index));
            // SAFETY: nothing but an overflowing stack uses a guard page.
            unsafe { tables.unmap(guard) }.expect("statics are mapped");
        }

        // Code and constants are mapped a second time, with all RAM: make that read-only, too.
        let start = VirtAddr::of(&raw const kernel_text_start);
        let len = VirtAddr::of(&raw const kernel_data_start)
            .offset_from(start)
            .unwrap_or(0);
        let fixed = VirtRange::new(start, len).expect("the kernel has code");
        let phyrs = tables
            .translate(fixed)
            .expect("the kernel's code is mapped");
        for phyr in phyrs.iter() {
            let alias = VirtAddr::of(window.pointer(phyr.addr()).as_ptr());
            let alias = VirtRange::new(alias, phyr.len()).expect("RAM is mapped in one half");
            // SAFETY: nobody writes code and constants, at whatever address.
            unsafe { tables.protect(alias, Rights::ReadOnly) }.expect("RAM is mapped");
        }
    });
}
