//! What the shell says of NVMe controllers, and of the speed of disks.

use alloc::string::String;
use core::time::Duration;

/// A controller, as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its name: that of its namespaces begins with it.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Pairs of I/O queues.
    pub queues: usize,
    /// How often it was reset.
    pub resets: u64,
    /// Commands that were completed.
    pub commands: u64,
    /// Doorbells that were rung.
    pub doorbells: u64,
    /// Interrupts that were taken notice of.
    pub interrupts: u64,
    /// Why it cannot be used any more.
    pub failure: Option<String>,
}

/// How much was read in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub requests: u64,
    /// Bytes.
    pub bytes: u64,
    /// The time.
    pub time: Duration,
}

impl Rate {
    /// Requests in a second.
    pub fn iops(&self) -> u64 {
        self.in_a_second(self.requests)
    }

    /// Millions of bytes in a second.
    pub fn megabytes(&self) -> u64 {
        self.in_a_second(self.bytes) / 1_000_000
    }

    fn in_a_second(&self, amount: u64) -> u64 {
        let micros = self.time.as_micros().max(1);
        u64::try_from(u128::from(amount) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}
