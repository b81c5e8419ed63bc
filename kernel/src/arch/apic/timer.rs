//! How long a tick of the local APIC's timer is.
//!
//! The timer counts at the rate of a bus whose frequency no register tells on all machines. So it
//! is measured once, against the time-stamp counter, which the clock has measured before.
//!
//! - A time in ticks is rounded up: the timer is never early by its own fault.
//! - It is at least one tick, because zero would mean "stop".
//! - It is at most what the counter holds, about a minute. Whoever waits longer looks at the clock
//!   when the timer fires, and arms it again.

use core::num::NonZero;

/// The rate at which the timer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    hertz: NonZero<u64>,
}

impl Rate {
    /// Ticks per second.
    pub fn hertz(self) -> u64 {
        self.hertz.get()
    }

    /// The ticks to arm the timer with so that it fires in so many microseconds.
    pub fn ticks(self, microseconds: u64) -> NonZero<u32> {
        let ticks = (u128::from(microseconds) * u128::from(self.hertz.get())).div_ceil(1_000_000);
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        NonZero::new(ticks).unwrap_or(NonZero::<u32>::MIN)
    }
}

/// The rate of a timer that counted `ticks` while a counter of `hertz` counted `stamps`.
/// `None` for a timer that stands still.
fn rate(ticks: u32, stamps: u64, hertz: u64) -> Option<Rate> {
    let hertz = u128::from(ticks) * u128::from(hertz) / u128::from(stamps.max(1));
    let hertz = NonZero::new(u64::try_from(hertz).ok()?)?;
    Some(Rate { hertz })
}

/// Measures the running core's timer, for a millisecond.
#[cfg(phyros)]
pub(super) fn measure() -> Option<Rate> {
    use crate::arch::cpu::time_stamp;

    let clock = crate::time::clock()?;
    let apic = super::local();
    apic.set_timer_silent(true);
    apic.arm(NonZero::<u32>::MAX);
    let start = Sample::take();
    while time_stamp().saturating_sub(start.stamp) < clock.hertz() / 1000 {
        core::hint::spin_loop();
    }
    let end = Sample::take();
    apic.disarm();
    apic.set_timer_silent(false);
    let ticks = start.count.checked_sub(end.count)?;
    rate(ticks, end.stamp.saturating_sub(start.stamp), clock.hertz())
}

/// Timer and time-stamp counter at one moment.
#[cfg(phyros)]
#[derive(Clone, Copy)]
struct Sample {
    spread: u64,
    stamp: u64,
    count: u32,
}

#[cfg(phyros)]
impl Sample {
    /// A hypervisor may stop the CPU between two reads. Of a few attempts, the one in which the
    /// least time passed is the least disturbed.
    fn take() -> Self {
        use crate::arch::cpu::time_stamp;
        let attempts: [Self; 4] = core::array::from_fn(|_| {
            let before = time_stamp();
            let count = super::local().remaining();
            let spread = time_stamp().saturating_sub(before);
            Self {
                spread,
                stamp: before + spread / 2,
                count,
            }
        });
        let [first, rest @ ..] = attempts;
        rest.into_iter().fold(first, |best, sample| {
            if sample.spread < best.spread {
                sample
            } else {
                best
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_ratio_of_two_counters() {
        let rate = rate(62_500, 2_500_000, 2_500_000_000).unwrap();
        assert_eq!(rate.hertz(), 62_500_000);
        assert_eq!(super::rate(u32::MAX, 1, u64::MAX), None);
        assert!(super::rate(1, 0, 1).is_some());
    }

    #[test]
    fn a_timer_that_stands_still_has_no_rate() {
        assert_eq!(rate(0, 2_500_000, 2_500_000_000), None);
    }

    #[test]
    fn ticks_are_rounded_up_and_bounded() {
        let rate = rate(62_500, 1000, 1_000_000).unwrap();
        assert_eq!(rate.hertz(), 62_500_000);
        assert_eq!(rate.ticks(2).get(), 125);
        assert_eq!(rate.ticks(1).get(), 63);
        assert_eq!(rate.ticks(0).get(), 1);
        assert_eq!(rate.ticks(u64::MAX).get(), u32::MAX);
    }
}
