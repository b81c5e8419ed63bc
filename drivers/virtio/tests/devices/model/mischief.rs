//! What a device does wrong when it is told to.

use super::device::Device;

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It says that it has used this chain.
    UsedId(u32),
    /// It says so twice of each.
    Twice,
    /// It has written so many bytes more than it may.
    Longer(u32),
    /// It has written no byte, and says so.
    Nothing,
    /// It says that it has written less than all.
    Shorter,
    /// It is so many entries further than it is.
    Index(u16),
    /// It answers with this status.
    Status(u8),
    /// It does not answer.
    Silent,
    /// It does not hear that it is notified.
    Deaf,
    /// It does not interrupt.
    Mute,
    /// It says that a frame lies in so many pieces of memory.
    Buffers(u16),
    /// It writes this byte into the header of a frame, at this place.
    Header(usize, u8),
}

impl Mischief {
    /// What it is, whatever its numbers are.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UsedId(_) => "names another chain",
            Self::Twice => "uses a chain twice",
            Self::Longer(_) => "has written more",
            Self::Nothing => "has written nothing",
            Self::Shorter => "has written less",
            Self::Index(_) => "is further than it is",
            Self::Status(_) => "answers with another status",
            Self::Silent => "does not answer",
            Self::Deaf => "does not hear",
            Self::Mute => "does not interrupt",
            Self::Buffers(_) => "counts pieces wrong",
            Self::Header(..) => "writes nonsense into a header",
        }
    }
}

impl Device {
    /// Takes a turn at doing wrong, if it is to do this.
    pub(crate) fn misbehaves(&mut self, is_it: impl Fn(Mischief) -> bool) -> Option<Mischief> {
        let (what, times) = self.mischief.filter(|(what, _)| is_it(*what))?;
        self.mischief = (times > 1).then_some((what, times - 1));
        self.note(what.name());
        Some(what)
    }

    /// It has done this wrong.
    pub(crate) fn note(&mut self, what: &'static str) {
        *self.wrongs.entry(what).or_default() += 1;
    }

    /// Objects to what a driver must not do, unless the driver was lied to. Whether it is as it should be.
    pub(crate) fn must(&self, is_right: bool, what: &str) -> bool {
        assert!(is_right || self.is_liar, "{what}");
        is_right
    }
}
