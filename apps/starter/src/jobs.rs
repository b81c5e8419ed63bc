//! Jobs: what goes on while the prompt waits for the next line.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use kernel::block::BlockDevice;

/// A job, as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 1 on.
    pub number: usize,
    /// What it is.
    pub what: String,
    /// What it has done so far.
    pub progress: String,
    /// How it ended; `None` while it goes on.
    pub end: Option<Result<String, String>>,
}

/// Random reads, writes, trims and flushes of a whole disk.
#[derive(Clone)]
pub struct Stress {
    /// The disk, all of which is overwritten.
    pub device: Arc<dyn BlockDevice>,
    /// Gives the same operations again.
    pub seed: u64,
    /// How long.
    pub length: Duration,
    /// Operations at a time on each core.
    pub depth: usize,
    /// One of this many operations is cancelled; 0: none.
    pub cancel_one_in: u8,
    /// The disk may fail operations.
    pub may_fail: bool,
    /// The controller is reset again and again meanwhile.
    pub resets: bool,
}
