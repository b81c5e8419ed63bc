//! The clock, judged by the machine's real-time clock, which counts the host's seconds.
//!
//! Nothing is said of how long a test takes. A host that is busy makes the bounds wider, never wrong.

use crate::time::{self, Source};
use vm_test::vm_test;
use x86_64::instructions::port::Port;

/// The real-time clock's seconds, in binary.
fn seconds() -> u64 {
    const REGISTER: u16 = 0x70;
    const VALUE: u16 = 0x71;
    // SAFETY: register 0 is chosen; nobody else uses the clock.
    unsafe { Port::new(REGISTER).write(0_u8) };
    // SAFETY: reading it has no effect.
    let decimal: u8 = unsafe { Port::new(VALUE).read() };
    assert!(decimal < 0x60, "there is no real-time clock: {decimal:#x}");
    u64::from(decimal >> 4) * 10 + u64::from(decimal & 0xf)
}

/// The beginning of a second.
#[derive(Debug)]
struct Beginning {
    second: u64,
    /// By the kernel's clock, in microseconds: it was after this,
    after: u64,
    /// and before this.
    before: u64,
}

impl Beginning {
    /// The next.
    fn wait() -> Self {
        let mut after = time::microseconds();
        let last = seconds();
        loop {
            let now = time::microseconds();
            let second = seconds();
            if second != last {
                let before = time::microseconds();
                return Self {
                    second,
                    after,
                    before,
                };
            }
            after = now;
        }
    }
}

/// Two beginnings are whole seconds apart by the kernel's clock, too, to a tenth.
fn measured_by(source: Source) {
    let clock = time::clock().expect("the clock is started at boot");
    assert_eq!(clock.source(), source);
    let (start, end) = (Beginning::wait(), Beginning::wait());
    let seconds = (60 + end.second - start.second) % 60;
    let least = end.after.saturating_sub(start.before);
    let most = end.before - start.after;
    assert!(
        least * 9 / 10 <= seconds * 1_000_000 && seconds * 1_000_000 <= most * 11 / 10,
        "{clock:?}, {start:?}, {end:?}"
    );
}

#[vm_test(timeout = 60)]
fn a_second_is_a_second_by_the_hpet() {
    measured_by(Source::Hpet);
}

/// The tables name no timer.
#[vm_test(machine = "microvm", timeout = 60)]
fn a_second_is_a_second_by_the_pit() {
    measured_by(Source::Pit);
}

/// There are no tables.
#[vm_test(machine = "microvm=bare", timeout = 60)]
fn a_second_is_a_second_where_there_are_no_tables() {
    measured_by(Source::Pit);
}

/// Where instructions are counted, the time-stamp counter counts nanoseconds of the machine's own time, from which QEMU
/// makes the timers, too. So nothing disturbs the measurement, which is as good as 2 ticks of 838 ns in a millisecond.
#[vm_test(machine = "microvm,icount", timeout = 60)]
fn the_pit_is_exact_where_nothing_disturbs() {
    let clock = time::clock().unwrap();
    assert_eq!(clock.source(), Source::Pit);
    let off = clock.hertz().abs_diff(1_000_000_000);
    assert!(off <= 2_000_000, "{clock:?}");
}

#[vm_test(machine = "microvm,timeless", timeout = 60)]
fn without_any_timer_the_rate_is_assumed_and_the_clock_goes() {
    let clock = time::clock().unwrap();
    assert_eq!(clock.source(), Source::Assumed);
    assert_eq!(clock.hertz(), 1_000_000_000);
    let start = time::microseconds();
    while time::microseconds() == start {}
}
