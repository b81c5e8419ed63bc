//! The contract, point by point.

use crate::kernel::{BOOT_INFO, DYNAMIC, STACK, STACK_LEN};
use crate::tables::{Rights, Tables};
use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use x86_64::registers::control::{Cr0, Cr0Flags, Efer, EferFlags};

const PAGE: u64 = 4096;
const DATA: Option<Rights> = Some(Rights {
    write: true,
    execute: false,
});
const CODE: Option<Rights> = Some(Rights {
    write: false,
    execute: true,
});
const CONSTANTS: Option<Rights> = Some(Rights {
    write: false,
    execute: false,
});

/// The ramdisk that the test passes: this many bytes, each of its own position.
const RAMDISK_LEN: u64 = 12_345;

static CONSTANT: u64 = 0x5048_5952;
static mut VARIABLE: u64 = 1;

/// Checks everything. Returns whether there was a ramdisk.
///
/// # Panics
/// At the first point that is not kept.
pub(crate) fn run(info: &'static mut BootInfo) -> bool {
    cpu();
    addresses(info);
    regions(info);
    let offset = info
        .physical_memory_offset
        .into_option()
        .expect("physical memory was asked for");
    let tables = Tables { offset };
    rights(info, &tables);
    kernel_file(info, offset);
    memory(info, offset);
    recursion(info, &tables);
    ramdisk(info)
}

fn cpu() {
    assert!(Cr0::read().contains(Cr0Flags::WRITE_PROTECT));
    assert!(Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE | EferFlags::LONG_MODE_ACTIVE));
    assert!(!x86_64::instructions::interrupts::are_enabled());
}

fn addresses(info: &BootInfo) {
    assert_eq!(
        core::ptr::from_ref(info) as u64,
        BOOT_INFO,
        "the boot info has a fixed address"
    );
    assert_eq!(
        (info.kernel_stack_bottom, info.kernel_stack_len),
        (STACK, STACK_LEN)
    );
    let local = 0u8;
    let here = core::ptr::from_ref(&local) as u64;
    assert!(
        (STACK..STACK + STACK_LEN).contains(&here),
        "this runs on the stack, at {here:#x}"
    );
    assert!(STACK + STACK_LEN - here < 64 << 10, "and near its top");
    let offset = info.physical_memory_offset.into_option();
    assert!(
        offset.is_some_and(|offset| DYNAMIC.contains(&offset)),
        "{offset:x?}"
    );
    assert!(info.rsdp_addr.into_option().is_some());
    assert!(info.framebuffer.as_ref().is_none() && info.tls_template.as_ref().is_none());
}

fn regions(info: &BootInfo) {
    let regions = &info.memory_regions;
    assert!(regions.len() > 3);
    for region in regions.iter() {
        assert!(region.start < region.end && region.start % PAGE == 0 && region.end % PAGE == 0);
    }
    for pair in regions.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:x?}");
    }
    let of = |kind| {
        regions
            .iter()
            .filter(move |region| region.kind == kind)
            .map(|region| region.end - region.start)
    };
    assert!(of(MemoryRegionKind::Usable).sum::<u64>() > 64 << 20);
    // The kernel, its stack, its tables and a ramdisk are somewhere.
    assert!(of(MemoryRegionKind::Bootloader).sum::<u64>() > STACK_LEN + info.ramdisk_len);
}

fn rights(info: &BootInfo, tables: &Tables) {
    assert_eq!(tables.rights(run as *const () as u64), CODE);
    assert_eq!(
        tables.rights(core::ptr::from_ref(&CONSTANT) as u64),
        CONSTANTS
    );
    assert_eq!(tables.rights((&raw const VARIABLE) as u64), DATA);
    assert_eq!(tables.rights(STACK), DATA);
    assert_eq!(tables.rights(STACK + STACK_LEN - 1), DATA);
    assert_eq!(
        tables.rights(STACK - 1),
        None,
        "a guard page lies below the stack"
    );
    assert_eq!(tables.rights(STACK + STACK_LEN), None);
    assert_eq!(tables.rights(BOOT_INFO), DATA);
    assert_eq!(tables.rights(tables.offset + Tables::root()), DATA);
    let mut leaves = 0;
    let recursive = info
        .recursive_index
        .into_option()
        .map_or(u64::MAX, u64::from);
    tables.visit(recursive, &mut |rights| {
        leaves += 1;
        assert!(
            !(rights.write && rights.execute),
            "no page is writable and executable"
        );
    });
    assert!(leaves > 10);
}

/// `kernel_addr` leads to the file that this kernel was loaded from.
fn kernel_file(info: &BootInfo, offset: u64) {
    let start: *const [u8; 4] =
        core::ptr::with_exposed_provenance((offset + info.kernel_addr) as usize);
    // SAFETY: the file lies in RAM, which is mapped at `offset`.
    let magic = unsafe { start.read_volatile() };
    assert_eq!(magic, *b"\x7fELF");
    assert!(info.kernel_len > 4096);
}

/// The first and last page of each free region can be written and read.
fn memory(info: &BootInfo, offset: u64) {
    let usable = info
        .memory_regions
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable);
    for (index, region) in usable.enumerate() {
        for physical in [region.start, region.end - 8] {
            let word: *mut u64 =
                core::ptr::with_exposed_provenance_mut((offset + physical) as usize);
            // SAFETY: the memory is free, and mapped at `offset`.
            unsafe { word.write_volatile(physical ^ index as u64) };
            // SAFETY: as above.
            let read = unsafe { word.read_volatile() };
            assert_eq!(read, physical ^ index as u64);
        }
    }
}

fn ramdisk(info: &BootInfo) -> bool {
    let Some(addr) = info.ramdisk_addr.into_option() else {
        assert_eq!(info.ramdisk_len, 0);
        return false;
    };
    assert!(DYNAMIC.contains(&addr));
    assert_eq!(info.ramdisk_len, RAMDISK_LEN);
    for position in 0..RAMDISK_LEN {
        let byte: *const u8 = core::ptr::with_exposed_provenance((addr + position) as usize);
        // SAFETY: the loader maps the ramdisk at this address.
        let byte = unsafe { byte.read_volatile() };
        assert_eq!(byte, (position % 251) as u8, "byte {position}");
    }
    true
}

/// Through the recursive entry the level-4 table is seen as a page.
fn recursion(info: &BootInfo, tables: &Tables) {
    let index = u64::from(
        info.recursive_index
            .into_option()
            .expect("it was asked for"),
    );
    let sign = if index < 256 { 0 } else { 0xffff << 48 };
    let level_4 = sign | index << 39 | index << 30 | index << 21 | index << 12;
    for entry in [0, index, 511] {
        let seen: *const u64 = core::ptr::with_exposed_provenance((level_4 + 8 * entry) as usize);
        // SAFETY: the recursive entry maps the level-4 table there.
        let seen = unsafe { seen.read_volatile() };
        // The CPU sets the accessed and dirty bits of entries as they are used.
        const USED: u64 = 1 << 5 | 1 << 6;
        assert_eq!(seen | USED, tables.entry(Tables::root(), entry) | USED);
    }
}
