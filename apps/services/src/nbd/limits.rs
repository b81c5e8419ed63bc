//! What a client may take, and what is counted of all of them.

use crate::counter::{Counter, Gauge};
use core::time::Duration;

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the beginning to the first request.
    pub handshake_time: Duration,
    /// Options before that.
    pub options: usize,
    /// Bytes of an option. A longer one is refused.
    pub option: u32,
    /// Bytes of an option that is refused, and still read. Behind a longer one the connection ends.
    pub refused_option: u32,
    /// From the first byte of a request to the last one of its data.
    pub request_time: Duration,
    /// Until the connection takes a reply.
    pub send_time: Duration,
    /// Requests at once.
    pub depth: usize,
    /// Bytes of a read or a write.
    pub request: u32,
    /// Bytes of all reads and writes at once. One that is longer alone goes alone.
    pub memory: u64,
}

impl Limits {
    /// As most servers have it.
    pub const DEFAULT: Self = Self {
        handshake_time: Duration::from_secs(30),
        options: 64,
        option: 8 << 10,
        refused_option: 64 << 10,
        request_time: Duration::from_secs(60),
        send_time: Duration::from_secs(60),
        depth: 64,
        request: 32 << 20,
        memory: 32 << 20,
    };

    /// The same, but nobody is waited for longer than that.
    #[must_use]
    pub fn with_patience(self, most: Duration) -> Self {
        Self {
            handshake_time: self.handshake_time.min(most),
            request_time: self.request_time.min(most),
            send_time: self.send_time.min(most),
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
    /// Reads.
    pub reads: Counter,
    /// Bytes read, and sent from where the disk has put them.
    pub read_bytes: Counter,
    /// Writes.
    pub writes: Counter,
    /// Bytes written.
    pub written_bytes: Counter,
    /// Flushes.
    pub flushes: Counter,
    /// Parts given up.
    pub trims: Counter,
    /// Parts zeroed.
    pub zeroes: Counter,
    /// Requests that failed, or were refused.
    pub errors: Counter,
    /// Connections that ended because of what the client said.
    pub nonsense: Counter,
    /// Connections that ended because the client took too long.
    pub timeouts: Counter,
    /// Connections that broke off.
    pub broken: Counter,
}

impl Counters {
    /// For at most so many connections at once.
    pub const fn new(connections: u64) -> Self {
        Self {
            open: Gauge::new(connections),
            connections: Counter::new(),
            turned_away: Counter::new(),
            reads: Counter::new(),
            read_bytes: Counter::new(),
            writes: Counter::new(),
            written_bytes: Counter::new(),
            flushes: Counter::new(),
            trims: Counter::new(),
            zeroes: Counter::new(),
            errors: Counter::new(),
            nonsense: Counter::new(),
            timeouts: Counter::new(),
            broken: Counter::new(),
        }
    }
}
