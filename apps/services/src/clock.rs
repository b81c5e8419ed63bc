//! Time, for who must not wait for ever.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer};

/// Something that knows the time.
pub trait Clock {
    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Resolves when so much time has passed.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        Duration::from_micros(Instant::now().as_micros())
    }

    async fn sleep(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        Timer::after_micros(micros).await;
    }
}

/// What a future gives, if it does in time.
pub async fn within<F: Future>(clock: &impl Clock, time: Duration, future: F) -> Option<F::Output> {
    let future = pin!(future);
    let alarm = pin!(clock.sleep(time));
    match select(future, alarm).await {
        Either::First(output) => Some(output),
        Either::Second(()) => None,
    }
}
