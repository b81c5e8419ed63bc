//! What a device can do, as data.
//!
//! A device has rules: how much it moves at once, how its memory must lie, what it can do at all.
//! They are here for whoever wants to know what is cheap. Nobody has to obey the first group: a
//! longer request is cut into commands, once, by the driver, which knows the rules best.

/// What a device can do and how it likes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What one command transfers, and how its memory must lie. A longer request is cut by the driver.
    pub command: phyr::Limits,
    /// Most commands that are on the way at the same time on one core. More requests wait.
    pub depth: u16,
    /// Whether what was written may be lost with the power, until a flush.
    pub write_cache: bool,
    /// Whether a single write can be made durable at once ([`Durability::Now`](super::Durability)).
    pub durable_writes: bool,
    /// How blocks can be discarded; `None` if not at all.
    pub discard: Option<Ranges>,
    /// How blocks can be zeroed without sending zeros; `None` if not at all.
    pub write_zeroes: Option<Ranges>,
    /// Whether data can be compared with what is on the device.
    pub compare: bool,
    /// Whether the device can check blocks without sending them.
    pub verify: bool,
}

/// Limits of an operation on blocks that moves no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Blocks that are dealt with together: less has no effect, or costs as much.
    pub granularity: u64,
    /// Most blocks in one command. A longer request is cut by the driver.
    pub max_blocks: u64,
}

impl Limits {
    /// Of a device that is content with everything and can do nothing special.
    pub const NONE: Self = Self {
        command: phyr::Limits::of_blocks(1),
        depth: u16::MAX,
        write_cache: false,
        durable_writes: false,
        discard: None,
        write_zeroes: None,
        compare: false,
        verify: false,
    };
}
