//! What the driver has done so far, for whoever wants to watch.

/// Counts since the controller was set up. A reset does not clear them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Read commands sent.
    pub reads: u64,
    /// Write commands sent.
    pub writes: u64,
    /// Flush commands sent.
    pub flushes: u64,
    /// Admin commands sent.
    pub admin: u64,
    /// Bytes in the read and write commands sent, whatever became of them.
    pub bytes: u64,
    /// Commands completed with an error status.
    pub errors: u64,
    /// Writes to submission queue tail doorbells.
    pub submission_doorbells: u64,
    /// Writes to completion queue head doorbells.
    pub completion_doorbells: u64,
    /// Times that the controller failed.
    pub failures: u64,
    /// Times that the controller was reset by `reset`.
    pub resets: u64,
}
