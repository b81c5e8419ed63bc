//! What must be forbidden is: every probe here is an access that the CPU must refuse.

use crate::arch::probe::{self, Probe};
use crate::arch::stacks;
use crate::lock::Mutex;
use crate::memory::frames::{Frames, window};
use crate::memory::mapping::Mapping;
use crate::memory::paging::{Cache, Rights};
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::memory::window::Window;
use crate::memory::{self, DIRECT_MAP, mapping};
use vm_test::vm_test;

/// Error codes of page faults (Intel SDM volume 3, section 4.7).
const PRESENT: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const FETCH: u32 = 1 << 4;

const fn page_fault(error: u32) -> Probe {
    Probe::Fault { vector: 14, error }
}

/// A function that returns at once.
#[unsafe(naked)]
unsafe extern "C" fn nothing() {
    core::arch::naked_asm!("ret")
}

static CONSTANT: [u64; 4] = [1; 4];
static VARIABLE: Mutex<u64> = Mutex::new(0);

fn code() -> u64 {
    nothing as *const () as u64
}

/// The address in the direct map of what lies at a virtual address.
fn alias(virt: u64) -> u64 {
    let byte = VirtRange::new(VirtAddr::new(virt).unwrap(), 1).unwrap();
    let phyr = memory::translate(byte).unwrap().first().unwrap();
    window().pointer(phyr.addr()).as_ptr() as u64
}

#[vm_test]
fn probes_tell_allowed_from_forbidden() {
    let frames = Frames::allocate(4096).unwrap();
    let address = frames.pointer().as_ptr() as u64;
    assert_eq!(probe::read(address), Probe::Allowed);
    // SAFETY: the frames are this test's own.
    assert_eq!(unsafe { probe::write(address) }, Probe::Allowed);
    // SAFETY: the function returns at once.
    assert_eq!(unsafe { probe::execute(code()) }, Probe::Allowed);
    assert_eq!(probe::read(0xffff_ff00_dead_0000), page_fault(0));
    assert!(matches!(
        probe::read(0x8000_0000_0000_0000),
        Probe::Fault { vector: 13, .. }
    ));
}

#[vm_test]
fn code_cannot_be_written_at_any_address() {
    for address in [code(), alias(code())] {
        // SAFETY: it must not be allowed; if it is, the test fails and the machine ends.
        let written = unsafe { probe::write(address) };
        assert_eq!(written, page_fault(PRESENT | WRITE), "{address:#x}");
    }
}

#[vm_test]
fn constants_cannot_be_written_at_any_address() {
    let address = CONSTANT.as_ptr() as u64;
    for address in [address, alias(address)] {
        // SAFETY: as above.
        let written = unsafe { probe::write(address) };
        assert_eq!(written, page_fault(PRESENT | WRITE), "{address:#x}");
    }
}

#[vm_test]
fn data_cannot_be_executed() {
    let on_stack = [0xc3u8; 16];
    let frames = Frames::allocate(4096).unwrap();
    let places = [
        CONSTANT.as_ptr() as u64,
        core::ptr::from_ref(&VARIABLE) as u64,
        on_stack.as_ptr() as u64,
        frames.pointer().as_ptr() as u64,
        alias(code()),
    ];
    for address in places {
        // SAFETY: it must not be allowed; if it is, the test fails and the machine ends.
        let executed = unsafe { probe::execute(address) };
        assert_eq!(executed, page_fault(PRESENT | FETCH), "{address:#x}");
    }
}

#[vm_test]
fn the_lower_half_is_empty() {
    for address in [0, 8, 0x1000, 0x10_0000, 0x7fff_ffff_f000] {
        assert_eq!(probe::read(address), page_fault(0), "{address:#x}");
    }
    assert_eq!(mapping::leaves(VirtRange::LOWER_HALF).total(), 0);
}

#[vm_test]
fn every_stack_has_a_guard_page() {
    for index in 0..stacks::COUNT {
        let guard = stacks::guard(stacks::boot_stack(index)).start().get();
        assert_eq!(probe::read(guard), page_fault(0), "stack {index}");
        assert_eq!(probe::read(guard + 4095), page_fault(0), "stack {index}");
        assert_eq!(probe::read(guard + 4096), Probe::Allowed, "stack {index}");
    }
    let local = 0u8;
    let mut page = core::ptr::from_ref(&local) as u64 & !4095;
    let mut pages = 0;
    while probe::read(page) == Probe::Allowed {
        page -= 4096;
        pages += 1;
    }
    // This runs near the top of the stack.
    let asked_for = crate::BOOT_CONFIG.kernel_stack_size / 4096;
    assert!(
        (asked_for - 4..=asked_for).contains(&pages),
        "{pages} pages of {asked_for}"
    );
}

#[vm_test]
fn holes_between_ram_are_not_in_the_direct_map() {
    // The first hole of a PC: video memory.
    assert_eq!(probe::read(DIRECT_MAP + 0xa_0000), page_fault(0));
    let end = memory::ram_end(phyr::PhysAddr::new(1 << 32)).get();
    assert_eq!(probe::read(DIRECT_MAP + end - 1), Probe::Allowed);
    assert_eq!(probe::read(DIRECT_MAP + end), page_fault(0));
}

#[vm_test]
fn mappings_have_the_rights_they_were_given_and_end_with_their_holder() {
    let frames = Frames::zeroed(8192).unwrap();
    // SAFETY: the frames are this test's own, and only probed.
    let mapping =
        unsafe { Mapping::map(frames.phyr(), Rights::ReadOnly, Cache::WriteBack) }.unwrap();
    let address = mapping.range().start().get();
    assert_eq!(probe::read(address + 8191), Probe::Allowed);
    // SAFETY: it must not be allowed.
    let written = unsafe { probe::write(address) };
    assert_eq!(written, page_fault(PRESENT | WRITE));
    // The page behind every mapping is a guard.
    assert_eq!(probe::read(address + 8192), page_fault(0));
    drop(mapping);
    assert_eq!(probe::read(address), page_fault(0));
    // SAFETY: as above.
    let mapping =
        unsafe { Mapping::map(frames.phyr(), Rights::ReadWrite, Cache::WriteBack) }.unwrap();
    assert_eq!(
        mapping.range().start().get(),
        address,
        "the addresses are used again"
    );
    // SAFETY: the frames are this test's own.
    assert_eq!(unsafe { probe::write(address) }, Probe::Allowed);
}
