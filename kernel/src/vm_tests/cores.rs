//! Several cores: that they come, and that each has what it needs.

use super::crew::{others, send, together, wait_until};
use crate::acpi::Cpu;
use crate::arch::probe::{self, Probe};
use crate::arch::stacks;
use crate::cores::bring_up::{self, Absent};
use crate::cores::{self, CoreId, PerCore};
use crate::lock::Mutex;
use crate::memory::mapping;
use crate::memory::paging::PAT_MSR;
use crate::memory::virt::VirtRange;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use vm_test::vm_test;
use x86_64::registers::control::{Cr0, Cr3, Cr4, Efer};
use x86_64::registers::model_specific::Msr;

fn check_all_present(expected: usize) {
    let ids: Vec<usize> = cores::online().map(CoreId::index).collect();
    assert_eq!(ids, Vec::from_iter(0..expected));
    assert_eq!(cores::current(), CoreId::BOOT);
    static SEEN: Mutex<Vec<(usize, u32)>> = Mutex::new(Vec::new());
    together(|core| SEEN.lock().push((core.index(), cores::local().apic_id())));
    let mut seen = SEEN.lock().clone();
    seen.sort_unstable();
    assert_eq!(seen.iter().map(|core| core.0).collect::<Vec<_>>(), ids);
    seen.dedup_by_key(|core| core.1);
    assert_eq!(
        seen.len(),
        expected,
        "no two cores have one APIC identifier"
    );
    // The trampoline and its tables are gone.
    assert_eq!(mapping::leaves(VirtRange::LOWER_HALF).total(), 0);
}

#[vm_test(machine = "smp=4")]
fn four_cores_come_and_work() {
    check_all_present(4);
}

#[vm_test(machine = "smp=4,firmware=qboot")]
fn cores_come_under_qboot() {
    check_all_present(4);
}

#[vm_test(machine = "smp=2,ram=6G")]
fn cores_come_with_memory_above_4_gib() {
    check_all_present(2);
}

#[vm_test(machine = "smp=64", timeout = 120)]
fn as_many_cores_as_there_are_numbers_come() {
    check_all_present(64);
}

#[vm_test]
fn one_core_is_a_machine_too() {
    check_all_present(1);
}

/// What must be the same on all cores.
fn control_registers() -> [u64; 5] {
    // SAFETY: every CPU in long mode has this register.
    let pat = unsafe { Msr::new(PAT_MSR).read() };
    let root = Cr3::read_raw().0.start_address().as_u64();
    [
        Cr0::read_raw(),
        root,
        Cr4::read_raw(),
        Efer::read_raw(),
        pat,
    ]
}

#[vm_test(machine = "smp=4")]
fn all_cores_have_the_same_protection() {
    static EXPECTED: Mutex<[u64; 5]> = Mutex::new([0; 5]);
    *EXPECTED.lock() = control_registers();
    together(|core| {
        let registers = control_registers();
        assert_eq!(registers, *EXPECTED.lock(), "{core}");
        assert!(x86_64::instructions::interrupts::are_enabled(), "{core}");
    });
}

/// A page fault on each core arrives on that core's stack for page faults; and each guard page is one.
#[vm_test(machine = "smp=4")]
fn every_core_has_stacks_and_guard_pages_of_its_own() {
    let mut tops = Vec::new();
    for core in cores::online() {
        let stacks = stacks::of(core).expect("a core that came has stacks");
        for stack in core::iter::once(stacks.main).chain(stacks.exceptions) {
            let guard = stacks::guard(stack);
            assert!(matches!(
                probe::read(guard.start().get()),
                Probe::Fault { vector: 14, .. }
            ));
            let (owner, _) = stacks::guarding(guard.last().get()).unwrap();
            assert_eq!(owner, core);
            assert_eq!(probe::read(stack.start().get()), Probe::Allowed);
            tops.push(stack.start());
        }
    }
    tops.sort_unstable();
    tops.dedup();
    assert_eq!(tops.len(), 4 * (1 + stacks::COUNT), "no stack is shared");
    together(|core| {
        let local = 0u8;
        let main = stacks::of(core).unwrap().main;
        let here = VirtRange::of(&local).unwrap();
        assert!(main.contains(here), "{core} runs on its own stack");
        for _ in 0..1000 {
            assert_eq!(
                probe::read(0),
                Probe::Fault {
                    vector: 14,
                    error: 0
                },
                "faults on several cores at once do not disturb each other"
            );
        }
    });
}

#[vm_test(machine = "smp=4")]
fn values_per_core_are_not_shared() {
    static COUNT: PerCore<Cell<u64>> = PerCore::new(|| Cell::new(0));
    static SUM: AtomicU64 = AtomicU64::new(0);
    together(|core| {
        for _ in 0..10_000 {
            COUNT
                .here()
                .set(COUNT.here().get() + 1 + core.index() as u64);
        }
        SUM.fetch_add(COUNT.here().get(), Ordering::SeqCst);
    });
    assert_eq!(COUNT.here().get(), 10_000);
    assert_eq!(SUM.load(Ordering::SeqCst), 10_000 * (1 + 2 + 3 + 4));
}

#[vm_test(machine = "smp=2", timeout = 60)]
fn a_core_that_does_not_come_is_left_out() {
    // Some that are there already, one that does not exist, twice, and one that cannot exist. A reset of
    // the boot core would end this test; of the other one, the check at its end.
    let listed = [0, 1, 77, 0x0100_0000, 77, 1, 0].map(|apic_id| Cpu { apic_id });
    let absent = bring_up::start_all(&listed);
    assert_eq!(absent.len(), 2, "{absent:?}");
    assert_eq!(absent[0], (77, Absent::Silent));
    assert!(matches!(absent[1], (0x0100_0000, Absent::Unreachable(_))));
    check_all_present(2);
}

#[vm_test(machine = "smp=4", should_panic = "on another core")]
fn a_panic_on_another_core_is_reported_as_one() {
    let core = others()[1];
    send(core, || panic!("this happens on another core"));
    wait_until(|| false);
}

/// Only one report is printed, even if all fail at the same time.
#[vm_test(machine = "smp=4", should_panic = "all at once")]
fn panics_on_all_cores_are_one_report() {
    together(|core| panic!("all at once: {core}"));
}

#[vm_test(machine = "smp=4", should_panic = "who is awake")]
fn cores_that_look_nowhere_are_stopped_too() {
    for core in others() {
        send(core, || {
            x86_64::instructions::interrupts::disable();
            wait_until(|| false);
        });
    }
    panic!("stopped by who is awake");
}
