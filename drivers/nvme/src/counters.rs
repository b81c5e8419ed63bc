//! What the driver has done so far, for whoever wants to watch.

use crate::command::Command;

/// Counts of one queue. A reset does not clear them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Read commands sent.
    pub reads: u64,
    /// Write commands sent.
    pub writes: u64,
    /// Other commands sent.
    pub others: u64,
    /// Bytes of data in the commands sent, whatever became of them.
    pub bytes: u64,
    /// Commands completed with an error status.
    pub errors: u64,
    /// Commands sent again, after an error or a reset.
    pub retries: u64,
    /// Commands that the controller was asked to abort.
    pub aborts: u64,
    /// Writes to the submission queue tail doorbell.
    pub submission_doorbells: u64,
    /// Writes to the completion queue head doorbell.
    pub completion_doorbells: u64,
    /// Times that this queue found something wrong with the controller.
    pub failures: u64,
    /// Times that the queue went live: once at the start, and after each reset.
    pub resets: u64,
}

impl Counters {
    /// A command goes out. No counter lives long enough to wrap.
    #[inline(always)]
    pub(crate) fn sent(&mut self, command: Command, bytes: u64) {
        self.bytes = self.bytes.wrapping_add(bytes);
        let commands = match command {
            Command::Read => &mut self.reads,
            Command::Write => &mut self.writes,
            _ => &mut self.others,
        };
        *commands = commands.wrapping_add(1);
    }
}
