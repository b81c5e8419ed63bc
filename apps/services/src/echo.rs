//! What comes goes back (RFC 862).

use crate::clock::{Clock, within};
use crate::counter::{Counter, Gauge};
use alloc::vec;
use core::time::Duration;
use kernel::net::{Stream, StreamError};

/// How long a client may be silent, or not take what goes back.
pub const IDLE: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Debug)]
pub struct Counters {
    /// Connections at this moment.
    pub open: Gauge,
    /// Bytes that went back.
    pub bytes: Counter,
}

impl Counters {
    /// For at most so many connections at once.
    pub const fn new(connections: u64) -> Self {
        Self {
            open: Gauge::new(connections),
            bytes: Counter::new(),
        }
    }
}

/// Sends back what comes, until the client closes or is silent for too long.
pub async fn serve(
    mut stream: impl Stream,
    counters: &Counters,
    clock: &impl Clock,
) -> Result<(), StreamError> {
    let Some(_entered) = counters.open.enter() else {
        return Ok(());
    };
    let mut buffer = vec![0; 4096];
    loop {
        let read = within(clock, IDLE, stream.read(&mut buffer)).await;
        let read = read.ok_or(StreamError::TimedOut)??;
        if read == 0 {
            return stream.close().await;
        }
        let written = within(clock, IDLE, stream.write(&buffer[..read])).await;
        written.ok_or(StreamError::TimedOut)??;
        counters.bytes.add(read as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestClock, pipe, run};
    use embassy_futures::join::join;

    #[test]
    fn what_comes_goes_back_in_its_order() {
        let (mut near, far) = pipe(1000);
        let (counters, clock) = (Counters::new(1), TestClock::default());
        let said: Vec<u8> = (0..50_000u32).map(|at| (at * 7 / 3) as u8).collect();
        let client = async {
            let mut heard = vec![];
            for some in said.chunks(700) {
                near.write(some).await.unwrap();
                let mut back = vec![0; some.len()];
                assert!(near.read_exact(&mut back).await);
                heard.extend(back);
            }
            near.close().await.unwrap();
            assert_eq!(near.read_to_end().await, (vec![], true));
            heard
        };
        let (end, heard) = run(&clock, join(serve(far, &counters, &clock), client));
        assert!(end.is_ok() && heard == said);
        assert_eq!(counters.bytes.get(), 50_000);
    }

    #[test]
    fn who_is_silent_or_deaf_is_left_alone() {
        for room in [1000, 10] {
            let (mut near, far) = pipe(room);
            let (counters, clock) = (Counters::new(1), TestClock::default());
            let client = async {
                near.write(&[1; 10]).await.unwrap();
                if room == 10 {
                    near.write(&[1; 10]).await.unwrap();
                }
                clock.sleep(IDLE * 3).await;
            };
            let (end, ()) = run(&clock, join(serve(far, &counters, &clock), client));
            assert_eq!(end, Err(StreamError::TimedOut));
            assert_eq!(counters.open.get(), 0);
        }
    }
}
