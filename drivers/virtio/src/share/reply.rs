//! Replies as values.
//!
//! A reply is a copy of what the device has written, so it does not change any more. Every field is checked for being
//! there, every name for being one. What is left over at the end is not looked at.

use super::error::{Errno, ReplyError};
use super::room::HEAD;
use alloc::vec::Vec;

/// The kind of a reply that says what went wrong.
const ERROR: u8 = 7;

/// Types of files in a [`Qid`].
const FOLDER: u8 = 0x80;
const LINK: u8 = 0x02;

/// The fields of a reply, which are still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply<'r>(&'r [u8]);

/// What the first bytes of a reply say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It is what was asked for, and has so many bytes, with these.
    Answer(u32),
    /// It says what went wrong.
    Refusal,
}

/// Checks the head of a reply of so many bytes, as the device says, to a message of this kind and tag.
pub(super) fn head(bytes: &[u8; HEAD], has: u32, kind: u8, tag: u16) -> Result<Head, ReplyError> {
    let [a, b, c, d, got, e, f] = *bytes;
    if (has as usize) < HEAD {
        return Err(ReplyError::Short);
    }
    let says = u32::from_le_bytes([a, b, c, d]);
    if says > has || (says as usize) < HEAD {
        return Err(ReplyError::Size { says, has });
    }
    let told = u16::from_le_bytes([e, f]);
    if told != tag {
        return Err(ReplyError::Tag(told));
    }
    let expected = kind + 1;
    match got {
        ERROR => Ok(Head::Refusal),
        _ if got == expected => Ok(Head::Answer(says)),
        _ => Err(ReplyError::Kind { expected, got }),
    }
}

impl<'r> Reply<'r> {
    /// The fields of a reply, of which these are all bytes.
    pub(super) fn new(bytes: &'r [u8]) -> Result<Self, ReplyError> {
        bytes.get(HEAD..).map(Self).ok_or(ReplyError::Short)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'r [u8], ReplyError> {
        let (now, later) = self.0.split_at_checked(count).ok_or(ReplyError::Short)?;
        self.0 = later;
        Ok(now)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReplyError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| ReplyError::Short)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ReplyError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReplyError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReplyError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReplyError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn name(&mut self) -> Result<&'r [u8], ReplyError> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    pub(super) fn qid(&mut self) -> Result<Qid, ReplyError> {
        Ok(Qid {
            kind: self.u8()?,
            version: self.u32()?,
            path: self.u64()?,
        })
    }

    pub(super) fn errno(&mut self) -> Result<Errno, ReplyError> {
        self.u32().map(Errno)
    }

    /// What `Rgetattr` says.
    pub(super) fn attributes(&mut self) -> Result<Attributes, ReplyError> {
        let _valid = self.u64()?;
        let _qid = self.qid()?;
        let (mode, owner, group) = (self.u32()?, self.u32()?, self.u32()?);
        let (_links, _device, len) = (self.u64()?, self.u64()?, self.u64()?);
        let (_block_size, _blocks) = (self.u64()?, self.u64()?);
        let _accessed = self.time()?;
        let modified = self.time()?;
        Ok(Attributes {
            kind: FileKind::of_mode(mode),
            mode,
            owner,
            group,
            len,
            modified,
        })
    }

    fn time(&mut self) -> Result<Time, ReplyError> {
        Ok(Time {
            seconds: self.u64()?,
            nanoseconds: self.u64()?,
        })
    }

    /// What `Rreaddir` says: entries, each with the place where the next one is.
    pub(super) fn entries(
        &mut self,
        most: u32,
        mut visit: impl FnMut(Entry) -> Result<(), ReplyError>,
    ) -> Result<Option<u64>, ReplyError> {
        let count = self.u32()?;
        if count > most {
            return Err(ReplyError::Count(count));
        }
        let data = self.bytes(count as usize);
        let mut data = Self(data.map_err(|_| ReplyError::Count(count))?);
        let mut next = None;
        while !data.0.is_empty() {
            let qid = data.qid()?;
            next = Some(data.u64()?);
            let kind = FileKind::of_entry(data.u8()?, &qid);
            let name = data.name()?;
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(ReplyError::Name);
            }
            visit(Entry {
                name: name.into(),
                kind,
            })?;
        }
        Ok(next)
    }
}

/// What the server knows a file by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Qid {
    kind: u8,
    /// Another one when the file has changed.
    pub(super) version: u32,
    /// Of one file, for as long as it is there.
    pub(super) path: u64,
}

impl Qid {
    /// What is not known yet.
    pub(super) const NONE: Self = Self {
        kind: 0,
        version: 0,
        path: 0,
    };

    pub(super) const fn is_link(&self) -> bool {
        self.kind & LINK != 0
    }

    pub(super) const fn is_folder(&self) -> bool {
        self.kind & FOLDER != 0
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file with bytes.
    Regular,
    /// A folder.
    Folder,
    /// A link to a path.
    Link,
    /// A device that is read byte by byte.
    CharacterDevice,
    /// A disk.
    BlockDevice,
    /// A pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// By the upper bits of a mode, as Linux has them. What they do not say is no more than a file.
    const fn of_mode(mode: u32) -> Self {
        match mode >> 12 & 0xf {
            1 => Self::Fifo,
            2 => Self::CharacterDevice,
            4 => Self::Folder,
            6 => Self::BlockDevice,
            10 => Self::Link,
            12 => Self::Socket,
            _ => Self::Regular,
        }
    }

    /// By the type in an entry of a folder, which is those bits, or 0 if the host's file system does not say.
    const fn of_entry(kind: u8, qid: &Qid) -> Self {
        match kind {
            0 if qid.is_folder() => Self::Folder,
            0 if qid.is_link() => Self::Link,
            _ => Self::of_mode((kind as u32) << 12),
        }
    }
}

/// Since 1970 began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds.
    pub seconds: u64,
    /// And the rest.
    pub nanoseconds: u64,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: FileKind,
    /// Its rights, and the same once more.
    pub mode: u32,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// Its bytes.
    pub len: u64,
    /// When its content was changed for the last time.
    pub modified: Time,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: neither empty, nor with a slash or a zero in it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
}
