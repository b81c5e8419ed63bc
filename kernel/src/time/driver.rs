//! What the embassy crates ask of a machine's time.
//!
//! One clock serves all cores: their time-stamp counters are assumed to have started together, as
//! they do on every machine whose firmware leaves them alone, and under QEMU. A core whose counter
//! lags behind would see time stand still for that long after a look at another core's clock, and
//! nothing worse: no time is computed here from counters of two cores.
//!
//! A wake-up is put into the queue of the core that asks for it. Its timer interrupt is only armed
//! when the core halts. A busy core looks at its clock in each turn and needs no interrupt.

use crate::executor;
use core::task::Waker;
use embassy_time_driver::{Driver, time_driver_impl};

struct Time;

time_driver_impl!(static TIME: Time = Time);

impl Driver for Time {
    fn now(&self) -> u64 {
        executor::time()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        executor::wake_at(at, waker);
    }
}
