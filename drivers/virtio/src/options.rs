//! What a caller may choose of a device that has nothing of its own to choose.

/// Of a device that is asked for something now and then: a flush, random bytes, a step of a balloon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Most entries of each queue.
    pub entries: u16,
    /// Microseconds that a request may take before the device is out of use. Some hosts let theirs give only so
    /// many random bytes a second, or have a slow disk behind a flush.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 32,
            timeout: 60_000_000,
        }
    }
}
