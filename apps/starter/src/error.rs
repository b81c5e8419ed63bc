//! Why a command failed, in words for the person who typed it.

use crate::text::Location;
use crate::text::name::Name;
use crate::text::number::NumberError;
use crate::text::words::SplitError;
use alloc::string::{String, ToString};
use core::fmt;
use kernel::fs::{self, Files};
use kernel::memory::extents::AllocError;
use kernel::memory::paging::MapError;
use kernel::memory::virt::VirtError;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// There is no command of this name.
    NoCommand(String),
    /// The arguments are not those that the command takes: its name, and how they are written.
    Usage(&'static str, &'static str),
    /// The text is not complete.
    Split(SplitError),
    /// An argument should be a number.
    Number(String, NumberError),
    /// An argument should name a place in a file system.
    NoPlace,
    /// No disk has a file system.
    NoFileSystem,
    /// No disk or partition has this name.
    NoVolume(String),
    /// The disk or partition has no file system that can be read.
    NotExt4(String),
    /// The file system of this disk or partition cannot be used.
    Mount(String, fs::Error),
    /// This path leads to nothing that can be read.
    File(String, fs::Error),
    /// The disk or the file system is damaged there: the path, the disk or partition, and how.
    Damaged(String, String, fs::Error),
    /// The number is no virtual address, or the range is none.
    Virtual(VirtError),
    /// The virtual range has no phyrs.
    Translate(MapError),
    /// No memory of this kind is free.
    Allocate(AllocError),
    /// The heap has no room for so many bytes.
    Heap(u64),
    /// No NVMe controller has this name.
    NoController(String),
    /// This controller would not do it, and why.
    Controller(String, String),
    /// This disk could not be measured, and why.
    Measure(String, String),
    /// No disk, and no memory, has this name.
    NoEnd(String),
    /// The text is no place on a disk or in memory.
    NoPosition(String),
    /// A copy is not possible as it was asked for, and why.
    Copy(String),
    /// Something that was written may not last: where, and why.
    Flush(String, String),
    /// The hypervisor was not told what is free, and why.
    Balloon(String),
    /// The file is no picture that can be shown, and why.
    Picture(String, String),
    /// A service cannot be had: why.
    Service(String),
    /// The disk holds something, and would be overwritten.
    InUse(String),
    /// A job failed: which, and how.
    Job(String, String),
    /// There is no network interface.
    NoNetwork,
    /// No network interface has this name.
    NoInterface(String),
    /// Something on the network is not as it should be: what, and how.
    Network(String, String),
    /// A command that runs another one cannot run itself.
    Nested,
    /// The output took no more text.
    Output,
}

impl Error {
    /// The error for a place on a file system. A mistake in the path is told from damage of the
    /// disk, for which it matters where it is.
    pub fn at(location: &Location, files: &Files, error: fs::Error) -> Self {
        match error {
            fs::Error::Io(_) | fs::Error::Corrupt(_) | fs::Error::Incompatible(_) => {
                let path = Name(location.path.as_bytes()).to_string();
                Self::Damaged(path, files.name().into(), error)
            }
            error => Self::File(Name(location.to_string().as_bytes()).to_string(), error),
        }
    }
}

/// How a command ends.
pub type Result = core::result::Result<(), Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand(name) => {
                write!(f, "there is no command `{name}`; `help` lists them all")
            }
            Self::Usage(name, "") => write!(f, "takes no arguments: `{name}`"),
            Self::Usage(name, usage) => write!(f, "usage: {name} {usage}"),
            Self::Split(error) => write!(f, "{error}"),
            Self::Number(text, error) => write!(f, "`{text}` {error}"),
            Self::NoPlace => {
                f.write_str("an empty path; write /PATH, or NAME:/PATH for another disk")
            }
            Self::NoFileSystem => f.write_str(
                "no disk has an ext4 file system, and no folder is shared; `lsblk` lists the disks",
            ),
            Self::NoVolume(name) => {
                write!(
                    f,
                    "there is no disk or partition `{name}`; `lsblk` lists them"
                )
            }
            Self::NotExt4(name) => write!(f, "{name} has no ext4 file system"),
            Self::Mount(name, error) => {
                write!(f, "the file system on {name} cannot be used: {error}")
            }
            Self::File(path, error) => write!(f, "{path}: {error}"),
            Self::Damaged(path, name, error) => write!(f, "{path} on {name}: {error}"),
            Self::Virtual(error) => write!(f, "{error}"),
            Self::Translate(error) => write!(f, "{error}"),
            Self::Allocate(error) => write!(f, "{error}"),
            Self::Heap(bytes) => write!(f, "the heap has no room for {bytes} bytes in one piece"),
            Self::NoController(name) => {
                write!(f, "there is no controller `{name}`; `nvme` lists them")
            }
            Self::Controller(name, error)
            | Self::Measure(name, error)
            | Self::Flush(name, error) => {
                write!(f, "{name}: {error}")
            }
            Self::NoEnd(name) => write!(
                f,
                "there is no disk and no memory `{name}`; `lsblk` and `phyrs` list them"
            ),
            Self::NoPosition(text) => write!(
                f,
                "`{text}` is no place: write NAME:OFFSET, or NAME:OFFSET+LENGTH, as in nvme0n1:4K+1M"
            ),
            Self::Copy(why) | Self::Balloon(why) => f.write_str(why),
            Self::Picture(path, why) => write!(f, "{path}: {why}"),
            Self::Service(why) => f.write_str(why),
            Self::InUse(name) => write!(
                f,
                "{name} holds partitions or a file system; add --overwrite to lose them"
            ),
            Self::Job(what, how) => write!(f, "{what}: {how}"),
            Self::NoNetwork => f.write_str(
                "there is no network interface; `cargo xtask run --net user` gives the machine one",
            ),
            Self::NoInterface(name) => {
                write!(f, "there is no network interface `{name}`; `ip` lists them")
            }
            Self::Network(what, how) => write!(f, "{what}: {how}"),
            Self::Nested => f.write_str("cannot be nested"),
            Self::Output => f.write_str("the output takes no more text"),
        }
    }
}

impl core::error::Error for Error {}

impl From<fmt::Error> for Error {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

impl From<VirtError> for Error {
    fn from(error: VirtError) -> Self {
        Self::Virtual(error)
    }
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Self {
        Self::Translate(error)
    }
}

impl From<AllocError> for Error {
    fn from(error: AllocError) -> Self {
        Self::Allocate(error)
    }
}
