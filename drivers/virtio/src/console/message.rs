//! Messages about ports (section 5.3.6.2): the port's number in 4 bytes, what it is about in 2, and a value in 2, all
//! little-endian. Behind that there may be more.

use crate::error::Violation;

/// Bytes of a message without what is behind it.
pub(super) const HEAD: usize = 8;

/// What messages are about.
pub(super) mod event {
    pub(in super::super) const DEVICE_READY: u16 = 0;
    pub(in super::super) const PORT_ADD: u16 = 1;
    pub(in super::super) const PORT_REMOVE: u16 = 2;
    pub(in super::super) const PORT_READY: u16 = 3;
    pub(in super::super) const CONSOLE_PORT: u16 = 4;
    pub(in super::super) const RESIZE: u16 = 5;
    pub(in super::super) const PORT_OPEN: u16 = 6;
    pub(in super::super) const PORT_NAME: u16 = 7;
}

/// What the device says of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'m> {
    Added,
    Removed,
    IsConsole,
    /// Columns and rows.
    Resized(u16, u16),
    /// Whether somebody is at the other end.
    Open(bool),
    Name(&'m str),
    /// Nothing that this driver knows, or that a device says.
    Other,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'m> {
    pub(super) port: u32,
    pub(super) event: u16,
    pub(super) said: Said<'m>,
}

/// A message as bytes.
pub(super) const fn encode(port: u32, event: u16, value: u16) -> u64 {
    port as u64 | (event as u64) << 32 | (value as u64) << 48
}

impl<'m> Message<'m> {
    /// Reads a message, for which there was room for `room` bytes.
    ///
    /// # Errors
    /// If it makes no sense.
    pub(super) fn decode(bytes: &'m [u8], room: usize) -> Result<Self, Violation> {
        let short = Violation::UsedLength(bytes.len() as u32);
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(short)?;
        let [a, b, c, d, e, f, g, h] = *head;
        let port = u32::from_le_bytes([a, b, c, d]);
        let event = u16::from_le_bytes([e, f]);
        let value = u16::from_le_bytes([g, h]);
        let nonsense = Violation::Message { port, event };
        let said = match event {
            event::PORT_ADD => Said::Added,
            event::PORT_REMOVE => Said::Removed,
            event::CONSOLE_PORT => Said::IsConsole,
            event::RESIZE => match *rest {
                [a, b, c, d, ..] => {
                    Said::Resized(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
                }
                _ => return Err(nonsense),
            },
            event::PORT_OPEN => Said::Open(value != 0),
            event::PORT_NAME => Said::Name(name(rest, bytes.len() == room).ok_or(nonsense)?),
            _ => Said::Other,
        };
        Ok(Self { port, event, said })
    }
}

/// A name. By the specification it ends with the message, and QEMU puts a zero behind it. If the message is full, only a
/// zero says that there is no more of it.
fn name(bytes: &[u8], is_full: bool) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let name = match end {
        Some(end) => &bytes[..end],
        None if is_full => return None,
        None => bytes,
    };
    core::str::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: u16, value: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = encode(3, event, value).to_le_bytes().to_vec();
        bytes.extend(rest);
        bytes
    }

    fn said(bytes: &[u8]) -> Result<Said<'_>, Violation> {
        Message::decode(bytes, 24).map(|message| message.said)
    }

    #[test]
    fn messages_are_as_the_specification_says() {
        assert_eq!(said(&message(1, 0, b"")), Ok(Said::Added));
        assert_eq!(said(&message(2, 0, b"")), Ok(Said::Removed));
        assert_eq!(said(&message(4, 1, b"")), Ok(Said::IsConsole));
        let resized = message(5, 0, &[80, 0, 25, 0]);
        assert_eq!(said(&resized), Ok(Said::Resized(80, 25)));
        assert_eq!(said(&message(6, 1, b"")), Ok(Said::Open(true)));
        assert_eq!(said(&message(6, 0, b"")), Ok(Said::Open(false)));
        assert_eq!(said(&message(7, 1, b"a.b")), Ok(Said::Name("a.b")));
        assert_eq!(said(&message(7, 1, b"a.b\0c")), Ok(Said::Name("a.b")));
        for event in [0, 3, 8, 0xffff] {
            assert_eq!(said(&message(event, 1, b"")), Ok(Said::Other));
        }
    }

    #[test]
    fn messages_that_make_no_sense_are_none() {
        for len in 0..8 {
            let bytes = message(1, 0, b"");
            let short = Violation::UsedLength(len as u32);
            assert_eq!(said(&bytes[..len]), Err(short));
        }
        let nonsense = |event| Err(Violation::Message { port: 3, event });
        assert_eq!(said(&message(5, 0, &[80, 0, 25])), nonsense(5));
        assert_eq!(said(&message(7, 1, &[0xff, 0])), nonsense(7));
        // It fills all of the room, and does not end.
        assert_eq!(said(&message(7, 1, &[b'x'; 16])), nonsense(7));
        assert!(said(&message(7, 1, &[b'x'; 15])).is_ok());
    }
}
