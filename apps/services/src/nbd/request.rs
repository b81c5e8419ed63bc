//! Requests: from bytes to what is to be done, or why it is not.

use super::wire::{Errno, REQUEST, command, flag};

/// Bytes of a request, without the data of a write.
pub const LEN: usize = 28;

/// A request, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Flags.
    pub flags: u16,
    /// What to do.
    pub command: u16,
    /// What the reply is to be known by.
    pub cookie: u64,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Read,
    /// Write the data that comes behind the request.
    Write(Lasting),
    /// Make durable what was written.
    Flush,
    /// Say what a part is.
    Status,
    /// Give up a part.
    Trim(Lasting),
    /// Zero a part.
    Zero {
        /// When it is to last.
        lasting: Lasting,
        /// Whether the space is to be kept.
        keep: bool,
        /// Whether it may take long.
        may_be_slow: bool,
    },
}

/// When what was changed is to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// After the next flush.
    Later,
    /// When it is answered.
    Now,
}

/// What an export can be asked for.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// Its bytes.
    pub len: u64,
    /// Whether it can be changed.
    pub writable: bool,
    /// Whether parts can be given up.
    pub trim: bool,
    /// Most bytes of a read or a write.
    pub most: u32,
    /// Whether reads have structured replies.
    pub structured: bool,
    /// Whether the client has chosen a context.
    pub status: bool,
}

impl Request {
    /// Understands bytes. `None`: they are no request, so nobody knows what comes behind them.
    pub fn parse(bytes: &[u8; LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (command, rest) = rest.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (offset, len) = rest.split_first_chunk()?;
        (u32::from_be_bytes(*magic) == REQUEST).then_some(Self {
            flags: u16::from_be_bytes(*flags),
            command: u16::from_be_bytes(*command),
            cookie: u64::from_be_bytes(*cookie),
            offset: u64::from_be_bytes(*offset),
            len: u32::from_be_bytes(*len.first_chunk()?),
        })
    }

    /// Bytes of data that come behind it.
    pub fn data(&self) -> u32 {
        match self.command {
            command::WRITE => self.len,
            _ => 0,
        }
    }

    /// What is to be done.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, can: &Abilities) -> Result<Action, Errno> {
        let known = match self.command {
            // The flag is for those who have agreed on it.
            command::READ if can.structured => flag::DONT_FRAGMENT,
            command::READ => 0,
            command::WRITE | command::TRIM | command::FLUSH => flag::FUA,
            command::WRITE_ZEROES => flag::FUA | flag::NO_HOLE | flag::FAST_ZERO,
            command::BLOCK_STATUS if can.status => flag::REQ_ONE,
            _ => return Err(Errno::Invalid),
        };
        if self.flags & !known != 0 {
            return Err(Errno::Invalid);
        }
        if self.command == command::FLUSH {
            return match (self.offset, self.len) {
                (0, 0) => Ok(Action::Flush),
                _ => Err(Errno::Invalid),
            };
        }
        let changes = !matches!(self.command, command::READ | command::BLOCK_STATUS);
        if changes && !can.writable {
            return Err(Errno::Permission);
        }
        let moves_data = matches!(self.command, command::READ | command::WRITE);
        let is_wrong = self.len == 0 || (moves_data && self.len > can.most);
        if is_wrong || (self.command == command::TRIM && !can.trim) {
            return Err(Errno::Invalid);
        }
        let end = self.offset.checked_add(u64::from(self.len));
        if end.is_none_or(|end| end > can.len) {
            return Err(match changes {
                true => Errno::NoSpace,
                false => Errno::Invalid,
            });
        }
        let lasting = match self.flags & flag::FUA {
            0 => Lasting::Later,
            _ => Lasting::Now,
        };
        Ok(match self.command {
            command::READ => Action::Read,
            command::BLOCK_STATUS => Action::Status,
            command::WRITE => Action::Write(lasting),
            command::TRIM => Action::Trim(lasting),
            _ => Action::Zero {
                lasting,
                keep: self.flags & flag::NO_HOLE != 0,
                may_be_slow: self.flags & flag::FAST_ZERO == 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAN: Abilities = Abilities {
        len: 10_000,
        writable: true,
        trim: true,
        most: 4096,
        structured: true,
        status: true,
    };

    fn check(command: u16, flags: u16, offset: u64, len: u32) -> Result<Action, Errno> {
        let cookie = 7;
        let request = Request {
            flags,
            command,
            cookie,
            offset,
            len,
        };
        request.check(&CAN)
    }

    #[test]
    fn bytes_become_a_request() {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&[0x25, 0x60, 0x95, 0x13]);
        bytes[4..].copy_from_slice(&[
            0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 16, 0,
        ]);
        let request = Request::parse(&bytes).unwrap();
        let expected = Request {
            flags: flag::FUA,
            command: command::WRITE_ZEROES,
            cookie: 0x0102_0304_0506_0708,
            offset: 0x1_0000_0002,
            len: 4096,
        };
        assert_eq!(request, expected);
        bytes[0] = 0x26;
        assert_eq!(Request::parse(&bytes), None);
    }

    #[test]
    fn what_is_asked_is_done_if_it_can_be() {
        use command::*;
        for (what, action) in [
            (check(READ, 0, 0, 1), Ok(Action::Read)),
            (check(READ, flag::DONT_FRAGMENT, 9999, 1), Ok(Action::Read)),
            (check(READ, flag::FUA, 0, 1), Err(Errno::Invalid)),
            (check(READ, 0, 9999, 2), Err(Errno::Invalid)),
            (check(READ, 0, u64::MAX, 1), Err(Errno::Invalid)),
            (check(READ, 0, 0, 0), Err(Errno::Invalid)),
            (check(READ, 0, 0, 4097), Err(Errno::Invalid)),
            (check(WRITE, 0, 0, 4096), Ok(Action::Write(Lasting::Later))),
            (
                check(WRITE, flag::FUA, 0, 1),
                Ok(Action::Write(Lasting::Now)),
            ),
            (check(WRITE, 0, 0, 4097), Err(Errno::Invalid)),
            (check(WRITE, 0, 9999, 2), Err(Errno::NoSpace)),
            (check(WRITE, 0, u64::MAX, 2), Err(Errno::NoSpace)),
            (check(FLUSH, 0, 0, 0), Ok(Action::Flush)),
            (check(FLUSH, 0, 0, 1), Err(Errno::Invalid)),
            (check(FLUSH, 0, 1, 0), Err(Errno::Invalid)),
            (check(TRIM, 0, 0, 10_000), Ok(Action::Trim(Lasting::Later))),
            (check(TRIM, 0, 1, 10_000), Err(Errno::NoSpace)),
            (check(TRIM, flag::NO_HOLE, 0, 1), Err(Errno::Invalid)),
            (
                check(WRITE_ZEROES, flag::NO_HOLE | flag::FUA, 0, 10_000),
                Ok(Action::Zero {
                    lasting: Lasting::Now,
                    keep: true,
                    may_be_slow: true,
                }),
            ),
            (
                check(WRITE_ZEROES, flag::FAST_ZERO, 5, 6),
                Ok(Action::Zero {
                    lasting: Lasting::Later,
                    keep: false,
                    may_be_slow: false,
                }),
            ),
            (check(5, 0, 0, 1), Err(Errno::Invalid)),
            (check(BLOCK_STATUS, 0, 0, 10_000), Ok(Action::Status)),
            (
                check(BLOCK_STATUS, flag::REQ_ONE, 9999, 1),
                Ok(Action::Status),
            ),
            (check(BLOCK_STATUS, flag::FUA, 0, 1), Err(Errno::Invalid)),
            (check(BLOCK_STATUS, 0, 0, 0), Err(Errno::Invalid)),
            (check(BLOCK_STATUS, 0, 9999, 2), Err(Errno::Invalid)),
            (check(8, 0, 0, 1), Err(Errno::Invalid)),
            (check(0xffff, 0, 0, 1), Err(Errno::Invalid)),
        ] {
            assert_eq!(what, action);
        }
    }

    #[test]
    fn a_read_only_export_is_not_changed() {
        let can = Abilities {
            writable: false,
            trim: false,
            structured: false,
            status: false,
            ..CAN
        };
        let ask = |command, flags| {
            let (cookie, offset, len) = (7, 0, 1);
            Request {
                flags,
                command,
                cookie,
                offset,
                len,
            }
            .check(&can)
        };
        assert_eq!(ask(command::READ, 0), Ok(Action::Read));
        assert_eq!(ask(command::READ, flag::DONT_FRAGMENT), Err(Errno::Invalid));
        // Nobody has chosen a context.
        assert_eq!(ask(command::BLOCK_STATUS, 0), Err(Errno::Invalid));
        for command in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
            assert_eq!(ask(command, 0), Err(Errno::Permission));
        }
    }

    proptest! {
        #[test]
        fn what_is_done_is_within(
            flags: u16, command in 0..9u16, cookie: u64,
            offset in prop_oneof![0..12_000u64, any::<u64>()], len in prop_oneof![0..12_000u32, any::<u32>()],
        ) {
            let request = Request { flags, command, cookie, offset, len };
            match request.check(&CAN) {
                Ok(Action::Flush) | Err(_) => {}
                Ok(_) => prop_assert!(offset + u64::from(len) <= CAN.len && len > 0),
            }
        }
    }
}
