//! What a client may take, and what is counted of all of them.

use super::status::Status;
use crate::counter::{Counter, Gauge};
use core::time::Duration;

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a head.
    pub head: usize,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// Until the first byte of a request.
    pub idle_time: Duration,
    /// Until the connection takes another piece of an answer.
    pub send_time: Duration,
    /// How long is waited for the client to close, once everything is said.
    pub linger_time: Duration,
    /// Bytes of a body that nobody wants. Of a longer one, nothing is read.
    pub body: u64,
    /// Requests of a connection.
    pub requests: u64,
    /// Bytes of a resource that are fetched at once, a multiple of 4096. A connection has two such pieces.
    pub piece: usize,
}

impl Limits {
    /// For clients that may be people.
    pub const DEFAULT: Self = Self {
        head: 8 << 10,
        head_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(60),
        send_time: Duration::from_secs(30),
        linger_time: Duration::from_secs(2),
        body: 64 << 10,
        requests: 10_000,
        piece: 256 << 10,
    };

    /// The same, but nobody is waited for longer than that.
    #[must_use]
    pub fn with_patience(self, most: Duration) -> Self {
        Self {
            head_time: self.head_time.min(most),
            idle_time: self.idle_time.min(most),
            send_time: self.send_time.min(most),
            linger_time: self.linger_time.min(most),
            ..self
        }
    }
}

/// What was done.
#[derive(Debug)]
pub struct Counters {
    /// Connections at this moment.
    pub open: Gauge,
    /// Connections so far.
    pub connections: Counter,
    /// Of these, turned away since there were too many.
    pub turned_away: Counter,
    /// Answers, by the first digit of their status: 2, 3, 4, 5.
    pub answers: [Counter; 4],
    /// Bytes of resources that were sent from where a disk has put them.
    pub sent: Counter,
    /// Bytes of answers that were copied: heads and pages.
    pub copied: Counter,
    /// Connections that ended because the client took too long.
    pub timeouts: Counter,
    /// Connections that broke off, by whichever side.
    pub broken: Counter,
}

impl Counters {
    /// For at most so many connections at once.
    pub const fn new(connections: u64) -> Self {
        Self {
            open: Gauge::new(connections),
            connections: Counter::new(),
            turned_away: Counter::new(),
            answers: [const { Counter::new() }; 4],
            sent: Counter::new(),
            copied: Counter::new(),
            timeouts: Counter::new(),
            broken: Counter::new(),
        }
    }

    pub(super) fn answered(&self, status: Status) {
        let class = usize::from(status.0 / 100).clamp(2, 5) - 2;
        self.answers[class].add(1);
    }
}
