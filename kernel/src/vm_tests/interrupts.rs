//! Interrupts, from real devices and from the local APIC itself.

use crate::arch::apic;
use core::num::NonZero;
use vm_test::vm_test;

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
