//! Why a share does not do what it was asked for.

use crate::error::Error;
use core::fmt;

/// Why a request has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// The device: nothing was asked, or there was no answer.
    Device(Error),
    /// The server has refused, and says why.
    Server(Errno),
    /// The server has answered something that is no answer. What it meant is not known.
    Reply(ReplyError),
    /// The path leads nowhere.
    Path(PathError),
    /// There is no memory for a list.
    OutOfMemory,
}

/// A number of Linux that says what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

impl Errno {
    /// Not permitted.
    pub const EPERM: Self = Self(1);
    /// Nothing is there.
    pub const ENOENT: Self = Self(2);
    /// An error of the host's disk.
    pub const EIO: Self = Self(5);
    /// Not allowed.
    pub const EACCES: Self = Self(13);
    /// Not a folder.
    pub const ENOTDIR: Self = Self(20);
    /// Too many open files.
    pub const EMFILE: Self = Self(24);
    /// A name is too long.
    pub const ENAMETOOLONG: Self = Self(36);
    /// A link where none is followed.
    pub const ELOOP: Self = Self(40);
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// It ends before its fields do.
    Short,
    /// It says another length than it has.
    Size {
        /// What it says.
        says: u32,
        /// What it has, as the device says.
        has: u32,
    },
    /// It is a reply to something else.
    Kind {
        /// The kind that a reply to this has.
        expected: u8,
        /// The kind that it has.
        got: u8,
    },
    /// It has another request's tag.
    Tag(u16),
    /// It has more bytes of data than were asked for, or than came.
    Count(u32),
    /// The server speaks no 9P2000.L.
    Version,
    /// It takes no messages of a useful length.
    MessageSize(u32),
    /// It has found more files than there are names.
    Walked(u16),
    /// A name is none: empty, or with a slash or a zero in it.
    Name,
    /// A folder that does not end.
    Endless,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Nothing is there.
    NotFound,
    /// Something before its end is no folder.
    NotAFolder,
    /// There are too many links on the way.
    Links,
    /// A name has no bytes that a name can have, or too many.
    Name,
}

impl From<Error> for ShareError {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<ReplyError> for ShareError {
    fn from(error: ReplyError) -> Self {
        Self::Reply(error)
    }
}

impl From<PathError> for ShareError {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Server(errno) => write!(f, "the host refuses: {errno}"),
            Self::Reply(error) => write!(f, "the host answers nonsense: {error}"),
            Self::Path(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for what is in it"),
        }
    }
}

impl core::error::Error for ShareError {}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::EPERM => "it is not permitted (EPERM)",
            Self::ENOENT => "nothing is there (ENOENT)",
            Self::EIO => "an error of its disk (EIO)",
            Self::EACCES => "it may not be read by who runs the machine (EACCES)",
            Self::ENOTDIR => "it is no folder (ENOTDIR)",
            Self::EMFILE => "too many files are open (EMFILE)",
            Self::ENAMETOOLONG => "a name is too long (ENAMETOOLONG)",
            Self::ELOOP => "it is a link (ELOOP)",
            Self(number) => return write!(f, "error {number} of Linux"),
        })
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("a reply that ends before its fields do"),
            Self::Size { says, has } => {
                write!(f, "a reply of {has} bytes that says it has {says}")
            }
            Self::Kind { expected, got } => write!(f, "a reply of kind {got}, and not {expected}"),
            Self::Tag(tag) => write!(f, "a reply with the tag {tag}, which is another's"),
            Self::Count(count) => write!(f, "{count} bytes of data, which is too many"),
            Self::Version => f.write_str("it does not speak 9P2000.L"),
            Self::MessageSize(bytes) => write!(f, "messages of at most {bytes} bytes"),
            Self::Walked(names) => write!(f, "{names} names found, which is too many"),
            Self::Name => f.write_str("a name that is none"),
            Self::Endless => f.write_str("a folder without an end"),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "nothing is there",
            Self::NotAFolder => "something on the way is no folder",
            Self::Links => "too many links on the way",
            Self::Name => "a name that no file can have",
        })
    }
}
