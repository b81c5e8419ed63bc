//! Time since boot, from the time-stamp counter.
//!
//! The counter is read in a few cycles, but its rate is not written down anywhere that all
//! machines share. So it is measured once against a clock of known rate: the HPET, or the PM timer, which
//! firmware's tables name, or the PIT, which nothing names.
//! Where none exists, the CPU or the hypervisor may state the rate. If they do not, 1 GHz is assumed, and
//! [`Clock::source`] says so.

use super::pit::{self, PitCounter};
use super::stated;
use crate::acpi::{Hpet, PmTimer};
use crate::arch::cpu::time_stamp;
use crate::mmio::RegisterWindow;
use crate::println;
use core::arch::x86_64::__cpuid_count;
use core::time::Duration;
use spin::Once;
use x86_64::instructions::port::Port;

/// Where the rate of the time-stamp counter is from: what it was measured against, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The high-precision event timer.
    Hpet,
    /// The ACPI power-management timer.
    PmTimer,
    /// The programmable interval timer.
    Pit,
    /// The CPU states it, or the hypervisor.
    Stated,
    /// Nothing: the rate is assumed.
    Assumed,
}

/// A calibrated time-stamp counter.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: u64,
    hertz: u64,
    /// Microseconds per tick, times 2^64: looking at the clock needs no division.
    scale: u64,
    source: Source,
}

static CLOCK: Once<Clock> = Once::new();

/// A counter of known rate.
pub(super) trait Reference {
    /// Polls after which a reference that has not moved is taken for dead.
    const PATIENCE: u32 = 1_000_000;
    /// Counts per second.
    fn hertz(&self) -> u64;
    /// The counter, modulo the mask.
    fn count(&mut self) -> u64;
    /// The bits that count.
    fn mask(&self) -> u64;
    /// Whether it may have wrapped around more than once, so that differences mean nothing.
    fn has_ended(&mut self) -> bool {
        false
    }
}

/// How long the rate is measured, as a fraction of a second. An error of one HPET tick in a
/// millisecond is one part in 10 000.
const FRACTION: u64 = 1000;

/// What is assumed where nothing is known, in Hz.
const ASSUMED: u64 = 1_000_000_000;

/// Measures the rate of the time-stamp counter. The first call counts.
pub fn init(hpet: Option<Hpet>, pm_timer: Option<PmTimer>) {
    let clock = CLOCK.call_once(|| {
        let by_hpet = || measure(hpet.and_then(HpetCounter::open)?, Source::Hpet);
        let by_pm_timer = || measure(pm_timer.map(PmCounter::open)?, Source::PmTimer);
        by_hpet()
            .or_else(by_pm_timer)
            .or_else(by_pit)
            .or_else(by_statement)
            .unwrap_or_else(|| Clock::new(time_stamp(), ASSUMED, Source::Assumed))
    });
    if clock.source == Source::Assumed {
        println!("time: no timer of known rate; times are as wrong as the assumption of 1 GHz");
    }
}

/// A CPU that was stopped for too long in one attempt is hardly so in the next.
fn by_pit() -> Option<Clock> {
    const ATTEMPTS: usize = 4;
    (0..ATTEMPTS).find_map(|_| measure(PitCounter::open(pit::Machine)?, Source::Pit))
}

fn by_statement() -> Option<Clock> {
    let hertz = stated::hertz(|leaf| __cpuid_count(leaf, 0))?;
    Some(Clock::new(time_stamp(), hertz, Source::Stated))
}

/// Both counters at one moment.
#[derive(Clone, Copy)]
struct Sample {
    /// The time between the stamps before and after the reading.
    spread: u64,
    /// The time-stamp counter.
    stamp: u64,
    /// The reference.
    count: u64,
}

impl Sample {
    /// Reads both counters as nearly at once as can be had.
    ///
    /// A hypervisor may stop the CPU between two reads. Of a few attempts, the one with the
    /// smallest spread is the least disturbed.
    fn take(reference: &mut impl Reference) -> Self {
        const ATTEMPTS: usize = 4;
        let attempts: [Self; ATTEMPTS] = core::array::from_fn(|_| {
            let before = time_stamp();
            let count = reference.count();
            let spread = time_stamp().saturating_sub(before);
            Self {
                spread,
                stamp: before + spread / 2,
                count,
            }
        });
        let [first, rest @ ..] = attempts;
        let better = |best: Self, next: Self| {
            if next.spread < best.spread {
                next
            } else {
                best
            }
        };
        rest.into_iter().fold(first, better)
    }
}

/// Measures the rate of the time-stamp counter; time counts from the beginning of the measurement.
/// `None` if the reference stands still, or was not looked at for too long.
pub(super) fn measure<R: Reference>(mut reference: R, source: Source) -> Option<Clock> {
    let wanted = (reference.hertz() / FRACTION).max(1);
    let start = Sample::take(&mut reference);
    let mask = reference.mask();
    let passed_since = |count: u64| count.wrapping_sub(start.count) & mask;
    (0..R::PATIENCE).find(|_| passed_since(reference.count()) >= wanted)?;
    let end = Sample::take(&mut reference);
    if reference.has_ended() {
        return None;
    }
    let passed = passed_since(end.count).max(1);
    let ticks = end.stamp.saturating_sub(start.stamp);
    let hertz = u128::from(ticks) * u128::from(reference.hertz()) / u128::from(passed);
    let hertz = u64::try_from(hertz).ok().filter(|hertz| *hertz > 0)?;
    Some(Clock::new(start.stamp, hertz, source))
}

/// The clock. Before [`init`] it stands at zero.
pub fn clock() -> Option<Clock> {
    CLOCK.get().copied()
}

/// The time since boot, in microseconds.
#[inline]
pub fn microseconds() -> u64 {
    clock().map_or(0, |clock| clock.microseconds(time_stamp()))
}

/// The time since boot.
pub fn now() -> Duration {
    Duration::from_micros(microseconds())
}

impl Clock {
    /// A clock that stood at zero when the counter stood at `start`. A counter below 1 MHz, which no
    /// machine has, would be taken for one of 1 MHz.
    fn new(start: u64, hertz: u64, source: Source) -> Self {
        let scale = (1_000_000_u128 << 64) / u128::from(hertz);
        Self {
            start,
            hertz,
            scale: u64::try_from(scale).unwrap_or(u64::MAX),
            source,
        }
    }

    /// The rate of the time-stamp counter, in Hz.
    pub fn hertz(&self) -> u64 {
        self.hertz
    }

    /// What the rate was measured against.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Rounded down. The scale is rounded down, too, which after 2^64 ticks makes one microsecond.
    #[inline]
    fn microseconds(&self, stamp: u64) -> u64 {
        let ticks = stamp.saturating_sub(self.start);
        ((u128::from(ticks) * u128::from(self.scale)) >> 64) as u64
    }
}

/// The HPET's main counter (IA-PC HPET specification 1.0a, section 2.3).
struct HpetCounter {
    registers: RegisterWindow,
    period_femtoseconds: u64,
    is_64_bit: bool,
}

impl HpetCounter {
    const CAPABILITIES: usize = 0x000;
    const CONFIGURATION: usize = 0x010;
    const MAIN_COUNTER: usize = 0x0f0;
    /// The slowest period that the specification allows.
    const LONGEST_PERIOD: u64 = 100_000_000;

    fn open(hpet: Hpet) -> Option<Self> {
        // SAFETY: the firmware says that the timer is there, and this is its only driver.
        let registers = unsafe { RegisterWindow::map(hpet.registers()) }.ok()?;
        let capabilities = registers.read64(Self::CAPABILITIES);
        let period_femtoseconds = capabilities >> 32;
        if period_femtoseconds == 0 || period_femtoseconds > Self::LONGEST_PERIOD {
            return None;
        }
        registers.write64(
            Self::CONFIGURATION,
            registers.read64(Self::CONFIGURATION) | 1,
        );
        Some(Self {
            registers,
            period_femtoseconds,
            is_64_bit: capabilities & 1 << 13 != 0,
        })
    }
}

impl Reference for HpetCounter {
    fn hertz(&self) -> u64 {
        1_000_000_000_000_000 / self.period_femtoseconds
    }

    fn count(&mut self) -> u64 {
        self.registers.read64(Self::MAIN_COUNTER)
    }

    fn mask(&self) -> u64 {
        if self.is_64_bit {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        }
    }
}

/// The PM timer (ACPI specification, section 4.8.2.1).
struct PmCounter {
    port: Port<u32>,
    mask: u64,
}

impl PmCounter {
    fn open(timer: PmTimer) -> Self {
        let bits = if timer.is_32_bit { 32 } else { 24 };
        Self {
            port: Port::new(timer.port),
            mask: (1 << bits) - 1,
        }
    }
}

impl Reference for PmCounter {
    fn hertz(&self) -> u64 {
        3_579_545
    }

    fn count(&mut self) -> u64 {
        // SAFETY: the FADT says that the timer is at this port; reading it has no effect.
        u64::from(unsafe { self.port.read() })
    }

    fn mask(&self) -> u64 {
        self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stuck;
    impl Reference for Stuck {
        fn hertz(&self) -> u64 {
            1_000_000
        }
        fn count(&mut self) -> u64 {
            7
        }
        fn mask(&self) -> u64 {
            u64::MAX
        }
    }

    /// A counter that wraps around at 8 bits while it is watched.
    struct Wrapping(u64);
    impl Reference for Wrapping {
        fn hertz(&self) -> u64 {
            100 * FRACTION
        }
        fn count(&mut self) -> u64 {
            self.0 += 1;
            self.0 & self.mask()
        }
        fn mask(&self) -> u64 {
            0xff
        }
    }

    #[test]
    fn a_reference_that_stands_still_does_not_hang_the_boot() {
        assert!(measure(Stuck, Source::Hpet).is_none());
    }

    #[test]
    fn a_reference_may_wrap_around() {
        assert!(measure(Wrapping(0xf0), Source::Hpet).is_some());
    }

    #[test]
    fn ticks_become_microseconds_without_overflow() {
        let clock = Clock::new(1000, 2_500_000_000, Source::Hpet);
        let exact = |stamp: u64| stamp.saturating_sub(1000) / 2500;
        assert_eq!(clock.microseconds(999), 0);
        assert_eq!(clock.microseconds(1000 + 2500 + 1), 1);
        for stamp in (0..64).map(|bits| u64::MAX >> bits) {
            let off = exact(stamp).abs_diff(clock.microseconds(stamp));
            assert!(off <= 1, "{stamp}");
        }
    }
}
