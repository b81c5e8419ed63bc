//! Interrupts, from real devices and from the local APIC itself.

use super::crew::together;
use crate::arch::apic;
use crate::arch::exceptions::reports_itself;
use crate::arch::storm::{State, storm};
use crate::arch::vectors;
use crate::cores::{self, CoreId};
use crate::interrupts::{self, Interrupt, counters, drain};
use alloc::vec::Vec;
use core::arch::asm;
use core::num::NonZero;
use vm_test::vm_test;

/// Waits, awake, until the vector has been raised.
pub(super) fn wait_for(interrupt: &Interrupt) {
    while !interrupt.take_raised() {
        drain();
        core::hint::spin_loop();
    }
}

/// Whether a vector is raised and has not been drained.
pub(super) fn is_raised(vector: u8) -> bool {
    let word = &cores::local().pending[usize::from(vector / 64)];
    word.load(core::sync::atomic::Ordering::Relaxed) & 1 << (vector % 64) != 0
}

fn send(interrupt: &Interrupt) {
    apic::send_ipi(interrupt.core(), interrupt.vector()).unwrap();
}

#[vm_test]
fn the_local_apics_timer_counts_down_at_a_known_rate() {
    let rate = apic::timer_rate().expect("the timer counts");
    // QEMU's APIC runs at 1 GHz, of which the kernel takes a sixteenth. The measurement is as good as
    // the host lets it be.
    assert!(
        (30_000_000..=130_000_000).contains(&rate.hertz()),
        "{rate:?}"
    );
    let apic = apic::local();
    assert_eq!(apic.remaining(), 0, "nobody armed it");
    apic.arm(NonZero::<u32>::MAX);
    let first = apic.remaining();
    while apic.remaining() == first {
        core::hint::spin_loop();
    }
    assert!(apic.remaining() < first);
    apic.disarm();
    assert_eq!(apic.remaining(), 0);
    assert_eq!((apic.id(), apic.take_errors()), (0, 0));
}

#[vm_test]
fn the_timer_raises_its_vector_once() {
    let ticks = apic::timer_rate().unwrap().ticks(200);
    drain();
    for _ in 0..3 {
        apic::local().arm(ticks);
        while !interrupts::is_pending() {
            core::hint::spin_loop();
        }
        assert!(is_raised(vectors::TIMER), "another vector came first");
        assert_eq!(apic::local().remaining(), 0);
        assert!(drain());
        assert!(!drain());
    }
    apic::local().arm(NonZero::<u32>::MAX);
    apic::local().disarm();
    assert!(!drain());
    assert_eq!(counters(), interrupts::Counters::default());
}

#[vm_test]
fn handlers_keep_every_register_and_the_red_zone() {
    drain();
    assert_eq!(storm(20_000), State::EXPECTED);
    assert!(!drain(), "the storm took its bits itself");
}

#[vm_test(machine = "smp=4", timeout = 60)]
fn handlers_keep_what_they_must_on_all_cores_at_once() {
    together(|_| assert_eq!(storm(5_000), State::EXPECTED));
}

#[vm_test]
fn vectors_that_nobody_has_report_themselves() {
    let alone = [
        vectors::LEGACY_SPURIOUS,
        vectors::TIMER,
        vectors::APIC_ERROR,
        vectors::FLUSH,
        vectors::WAKE,
        vectors::SPURIOUS,
    ];
    for vector in 0..=255 {
        let has_a_handler = vectors::DEVICES.contains(&vector) || alone.contains(&vector);
        assert_ne!(reports_itself(vector), has_a_handler, "vector {vector:#x}");
    }
}

#[vm_test]
fn an_interrupt_is_raised_by_a_message_and_seen_once() {
    let (one, other) = (
        Interrupt::allocate(CoreId::BOOT),
        Interrupt::allocate(CoreId::BOOT),
    );
    for _ in 0..100 {
        send(&one);
        wait_for(&one);
        assert!(!one.take_raised());
        assert!(!other.take_raised());
    }
    assert_eq!(counters(), interrupts::Counters::default());
}

#[vm_test]
fn every_device_vector_works_and_is_shared_when_all_are_taken() {
    let all: Vec<_> = (0..2 * vectors::DEVICES.len())
        .map(|_| Interrupt::allocate(CoreId::BOOT))
        .collect();
    let (first, second) = all.split_at(vectors::DEVICES.len());
    for interrupt in first {
        send(interrupt);
        wait_for(interrupt);
    }
    for interrupt in second {
        assert!(interrupt.take_raised(), "vector {}", interrupt.vector());
    }
    assert_eq!(counters(), interrupts::Counters::default());
    let vector = first[0].vector();
    drop(all);
    apic::send_ipi(CoreId::BOOT, vector).unwrap();
    while !drain() {
        core::hint::spin_loop();
    }
    assert_eq!(counters().stray, 1);
}

#[vm_test]
fn spurious_interrupts_are_counted_and_leave_the_others_alone() {
    // As the CPU delivers them, nothing is being served. An interrupt that an APIC sends would be.
    // SAFETY: the vectors have handlers that keep all registers.
    unsafe { asm!("int 0xff", "int 0xf7") };
    assert_eq!(counters().spurious, 2);
    assert!(!interrupts::is_pending());
    let interrupt = Interrupt::allocate(CoreId::BOOT);
    send(&interrupt);
    wait_for(&interrupt);
}

#[vm_test]
fn errors_of_the_apic_are_counted() {
    apic::send_ipi(CoreId::BOOT, vectors::APIC_ERROR).unwrap();
    while !drain() {
        core::hint::spin_loop();
    }
    assert_eq!(counters().errors, 1);
}

#[vm_test]
fn interrupts_wait_while_they_are_disabled_and_wake_from_a_halt() {
    let interrupt = Interrupt::allocate(CoreId::BOOT);
    x86_64::instructions::interrupts::disable();
    send(&interrupt);
    for _ in 0..1000 {
        // Every access of the APIC is a chance to be interrupted.
        apic::local().remaining();
        assert!(!interrupts::is_pending());
    }
    // With nothing on its way, this would never come back.
    x86_64::instructions::interrupts::enable_and_hlt();
    assert!(drain());
    assert!(interrupt.take_raised());
}
