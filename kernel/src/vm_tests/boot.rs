//! What the loader and the firmware hand over.

use crate::fw_cfg;
use crate::machine::machine;
use crate::memory::boot_regions;
use crate::time;
use bootloader_api::info::MemoryRegionKind;
use vm_test::vm_test;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};

fn check_regions() {
    let regions = boot_regions();
    assert!(
        regions
            .iter()
            .any(|region| region.kind == MemoryRegionKind::Usable)
    );
    assert!(
        regions
            .iter()
            .any(|region| region.kind == MemoryRegionKind::Bootloader)
    );
    for region in regions {
        assert!(region.start < region.end, "{region:x?} is empty");
        assert!(
            region.start % 4096 == 0 && region.end % 4096 == 0,
            "{region:x?} is no pages"
        );
    }
    for pair in regions.windows(2) {
        assert!(
            pair[0].end <= pair[1].start,
            "{pair:x?} overlap or are out of order"
        );
        assert!(
            pair[0].end < pair[1].start || pair[0].kind != pair[1].kind,
            "{pair:x?} could be one"
        );
    }
}

#[vm_test]
fn memory_regions_are_sorted_whole_pages_and_disjoint() {
    check_regions();
}

#[vm_test(machine = "firmware=qboot")]
fn memory_regions_are_sound_under_qboot() {
    check_regions();
}

#[vm_test(machine = "ram=6G")]
fn memory_on_both_sides_of_4_gib_is_reported() {
    check_regions();
    let usable = |above: bool| {
        let side = boot_regions()
            .iter()
            .filter(|region| (region.start >= 1 << 32) == above);
        side.filter(|region| region.kind == MemoryRegionKind::Usable)
            .map(|region| region.end - region.start)
            .sum::<u64>()
    };
    assert_eq!(usable(true), 4 << 30);
    assert!(usable(false) > (2 << 30) - (16 << 20));
}

#[vm_test]
fn the_cpu_protects_what_it_can() {
    assert!(Cr0::read().contains(Cr0Flags::WRITE_PROTECT));
    assert!(Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE));
    // QEMU's most capable CPU has all three.
    assert!(Cr4::read().contains(
        Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION
            | Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION
            | Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION
    ));
    assert!(x86_64::instructions::interrupts::are_enabled());
}

fn check_platform() {
    let platform = &machine().platform;
    assert_eq!(platform.flaws, []);
    assert_eq!(platform.cpus.len(), 1);
    assert_eq!(platform.ecam.len(), 1);
    assert!(
        platform.hpet.is_some() && platform.pm_timer.is_some() && platform.local_apic.is_some()
    );
    assert_eq!(platform.io_apics.len(), 1);
}

#[vm_test]
fn firmware_tables_are_read_under_seabios() {
    check_platform();
}

#[vm_test(machine = "firmware=qboot")]
fn firmware_tables_are_read_under_qboot() {
    check_platform();
}

#[vm_test]
fn the_clock_goes_forward_at_a_measured_rate() {
    let clock = time::clock().expect("the clock is started at boot");
    assert_eq!(clock.source(), time::Source::Hpet);
    assert!(clock.hertz() > 1_000_000, "{clock:?}");
    let start = time::microseconds();
    let mut last = start;
    while last - start < 1000 {
        let now = time::microseconds();
        assert!(now >= last, "the clock went back");
        last = now;
    }
}

#[vm_test]
fn configuration_items_come_from_the_host() {
    let test = fw_cfg::read_text("opt/phyros/test").expect("every test has a name");
    assert!(test.ends_with("configuration_items_come_from_the_host"));
    assert_eq!(fw_cfg::read("opt/phyros/no such item"), None);
}
