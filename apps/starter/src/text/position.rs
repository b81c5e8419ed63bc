//! Places on disks and in memory: `nvme0n1:0`, or `ivshmem0:64K+1M`.

use super::number;
use alloc::string::String;
use core::fmt;

/// A place in something that has a name, and how many bytes from there on, if that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What it is in.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// How many bytes are meant, at least 1.
    pub len: Option<u64>,
}

impl Position {
    /// A place from a word: `NAME:OFFSET`, or `NAME:OFFSET+LENGTH`. Numbers may have units.
    pub fn parse(word: &str) -> Option<Self> {
        let (name, rest) = word.split_once(':').filter(|(name, _)| !name.is_empty())?;
        let (offset, len) = match rest.split_once('+') {
            Some((offset, len)) => (offset, Some(len)),
            None => (rest, None),
        };
        let len = match len {
            Some(len) => Some(number::parse(len).ok().filter(|len| *len > 0)?),
            None => None,
        };
        Some(Self {
            name: name.into(),
            offset: number::parse(offset).ok()?,
            len,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", self.name, self.offset)?;
        self.len.map_or(Ok(()), |len| write!(f, "+{len:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_name_an_offset_and_perhaps_a_length() {
        let position = |name: &str, offset, len| Position {
            name: name.into(),
            offset,
            len,
        };
        for (word, expected) in [
            ("nvme0n1:0", position("nvme0n1", 0, None)),
            ("a:4K+1M", position("a", 4096, Some(1 << 20))),
            ("vram0:0x10+1", position("vram0", 16, Some(1))),
        ] {
            assert_eq!(Position::parse(word), Some(expected.clone()), "{word}");
            assert_eq!(Position::parse(&expected.to_string()), Some(expected));
        }
        for word in [
            "", "a", ":0", "a:", "a:x", "a:0+", "a:0+0", "a:0+1+2", "a:+1", "a:-1",
        ] {
            assert_eq!(Position::parse(word), None, "{word}");
        }
    }
}
