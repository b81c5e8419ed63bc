//! One zone: where it lies, how far it is written, and the state that it is in.

use crate::wire::ZoneAttributes;
use core::fmt;

/// A zone, as it was when the controller reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zone {
    /// Its first block.
    pub block: u64,
    /// Blocks in it that can be written.
    pub capacity: u64,
    /// Blocks in it that are written: the write pointer, counted from its first block.
    pub written: u64,
    /// Its state.
    pub state: State,
    /// What the controller has to say about it.
    pub attributes: ZoneAttributes,
}

impl Zone {
    /// The block that the next write must start at; `None` if the zone takes none.
    pub const fn write_pointer(&self) -> Option<u64> {
        match self.state {
            State::Empty | State::ImplicitlyOpen | State::ExplicitlyOpen | State::Closed => {
                Some(self.block + self.written)
            }
            State::Full | State::ReadOnly | State::Offline => None,
        }
    }

    /// Blocks that can still be written.
    pub const fn room(&self) -> u64 {
        match self.write_pointer() {
            Some(_) => self.capacity - self.written,
            None => 0,
        }
    }
}

/// Zone State (ZS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is written.
    Empty,
    /// A write has opened it.
    ImplicitlyOpen,
    /// A command has opened it.
    ExplicitlyOpen,
    /// Written in part, and not open.
    Closed,
    /// It can only be read, for good.
    ReadOnly,
    /// Written to its end, or finished.
    Full,
    /// Out of use.
    Offline,
}

impl State {
    pub(super) const fn new(number: u8) -> Option<Self> {
        Some(match number {
            0x1 => Self::Empty,
            0x2 => Self::ImplicitlyOpen,
            0x3 => Self::ExplicitlyOpen,
            0x4 => Self::Closed,
            0xd => Self::ReadOnly,
            0xe => Self::Full,
            0xf => Self::Offline,
            _ => return None,
        })
    }

    /// Zone State (ZS).
    pub const fn number(self) -> u8 {
        match self {
            Self::Empty => 0x1,
            Self::ImplicitlyOpen => 0x2,
            Self::ExplicitlyOpen => 0x3,
            Self::Closed => 0x4,
            Self::ReadOnly => 0xd,
            Self::Full => 0xe,
            Self::Offline => 0xf,
        }
    }
}

/// A report that no sound controller makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "empty",
            Self::ImplicitlyOpen => "implicitly open",
            Self::ExplicitlyOpen => "explicitly open",
            Self::Closed => "closed",
            Self::ReadOnly => "read-only",
            Self::Full => "full",
            Self::Offline => "offline",
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            block,
            capacity,
            written,
            state,
            ..
        } = self;
        write!(
            f,
            "zone at block {block}: {written} of {capacity} blocks written, {state}"
        )
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the report has a zone that cannot be")
    }
}
