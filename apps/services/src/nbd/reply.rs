//! Replies to requests. Data comes behind them, from where it lies.

use super::wire::{Errno, SIMPLE_REPLY, STRUCTURED_REPLY, chunk};
use alloc::vec::Vec;

/// A simple reply. The data of a read comes behind it.
pub fn simple(cookie: u64, result: Result<(), Errno>) -> [u8; 16] {
    let mut bytes = [0; 16];
    let error = result.err().map_or(0, |error| error as u32);
    bytes[..4].copy_from_slice(&SIMPLE_REPLY.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The only chunk of a reply to a read. The data comes behind it.
pub fn data(cookie: u64, offset: u64, len: u32) -> [u8; 28] {
    let mut bytes = [0; 28];
    // A read is far shorter than this could overflow.
    bytes[..20].copy_from_slice(&header(chunk::OFFSET_DATA, cookie, len.saturating_add(8)));
    bytes[20..].copy_from_slice(&offset.to_be_bytes());
    bytes
}

/// The only chunk of a reply that says of so many bytes, in one piece, that they are data.
pub fn status(cookie: u64, context: u32, len: u32) -> [u8; 32] {
    /// Neither a hole, nor known to be zeros.
    const DATA: u32 = 0;
    let mut bytes = [0; 32];
    bytes[..20].copy_from_slice(&header(chunk::BLOCK_STATUS, cookie, 12));
    bytes[20..24].copy_from_slice(&context.to_be_bytes());
    bytes[24..28].copy_from_slice(&len.to_be_bytes());
    bytes[28..].copy_from_slice(&DATA.to_be_bytes());
    bytes
}

/// The only chunk of a reply that is an error, in words.
pub fn error(cookie: u64, error: Errno, words: &str) -> Vec<u8> {
    /// Longer ones are for people, who have seen enough then.
    const MOST: usize = 512;
    let mut end = words.len().min(MOST);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    let words = &words.as_bytes()[..end];
    let mut bytes = header(chunk::ERROR, cookie, 6 + words.len() as u32).to_vec();
    bytes.extend_from_slice(&(error as u32).to_be_bytes());
    bytes.extend_from_slice(&(words.len() as u16).to_be_bytes());
    bytes.extend_from_slice(words);
    bytes
}

fn header(kind: u16, cookie: u64, len: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&STRUCTURED_REPLY.to_be_bytes());
    bytes[4..6].copy_from_slice(&chunk::DONE.to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_as_the_protocol_has_them() {
        assert_eq!(
            simple(0x0102_0304_0506_0708, Err(Errno::NoSpace)),
            [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 28, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert_eq!(simple(7, Ok(()))[4..8], [0; 4]);
        assert_eq!(
            data(7, 0x1_0000_0000, 512),
            [
                0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 2, 8, //
                0, 0, 0, 1, 0, 0, 0, 0
            ]
        );
        assert_eq!(
            status(7, 3, 512),
            [
                0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 12, //
                0, 0, 0, 3, 0, 0, 2, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(
            error(7, Errno::Io, "no"),
            [
                0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8, //
                0, 0, 0, 5, 0, 2, b'n', b'o'
            ]
        );
        let long = error(7, Errno::Io, &"ö".repeat(300));
        assert_eq!(long.len(), 20 + 6 + 512);
        assert_eq!(
            error(7, Errno::Io, &format!("x{}", "ö".repeat(300))).len(),
            20 + 6 + 511
        );
    }
}
