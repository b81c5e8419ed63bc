//! What can go wrong, and what the caller can do about it.

use crate::command::Command;
use crate::namespace::Unusable;
use crate::platform::OutOfMemory;
use crate::registers::Version;
use crate::status::Status;
use core::fmt;

/// Why a request, or a call, did not do what it was asked to do.
///
/// The device is done with a request's memory when the request is over, whatever the variant, but for
/// [`Lost`](Error::Lost): there the memory does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no memory for queues and lists. Free some and set the controller up again.
    OutOfMemory,
    /// This driver cannot drive this controller. Leave it alone.
    Unsupported(Unsupported),
    /// The request cannot be sent as it is. Nothing was sent; change the request.
    Request(RequestError),
    /// The controller answered a command with an error status. It goes on working.
    Command(CommandError),
    /// The controller failed while it had commands of the request, and they may not be sent
    /// again: they were sent too often already, or it is not known whether they were executed. What a
    /// write has changed on the disk is unknown. The controller itself may be back already.
    Failed(Failure),
    /// The controller failed for good, or was shut down. Nothing was sent. A
    /// [`reset`](crate::Controller::reset) may bring it back.
    Dead(Failure),
    /// The queue has no room for a request. Nothing was sent; wait until it has.
    Full,
    /// As `Failed`, and nobody can say whether the device has stopped. The request's memory is
    /// kept for ever: do not wait for it.
    Lost(Failure),
}

/// What a controller lacks, or has, so that this driver cannot use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// The register window is too short for the doorbells of two queue pairs.
    RegisterWindow {
        /// Length of the window in bytes.
        len: usize,
        /// Bytes that two queue pairs need.
        needed: usize,
    },
    /// The smallest memory page (CAP.MPSMIN) is larger than 4 KiB.
    PageSize {
        /// The smallest page as a power of two.
        shift: u8,
    },
    /// The NVM command set is not offered (CAP.CSS).
    CommandSet,
    /// I/O queues cannot have two entries (CAP.MQES).
    QueueEntries {
        /// CAP.MQES, zero-based.
        mqes: u16,
    },
    /// Queue entries of 64 and 16 bytes are not offered (SQES, CQES).
    EntrySize {
        /// The controller's SQES.
        sqes: u8,
        /// The controller's CQES.
        cqes: u8,
    },
    /// The specification version makes no sense.
    Version(Version),
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such namespace. See `Controller::namespaces`.
    NoSuchNamespace {
        /// The namespace asked for.
        nsid: u32,
    },
    /// The namespace has a format that this driver cannot use.
    UnusableNamespace {
        /// The namespace asked for.
        nsid: u32,
        /// Why it cannot be used.
        reason: Unusable,
    },
    /// The namespace is write protected.
    WriteProtected {
        /// The namespace asked for.
        nsid: u32,
    },
    /// The memory is empty or not a whole number of blocks.
    Length {
        /// Bytes in the list.
        bytes: u64,
        /// Bytes in a block.
        block_size: u32,
    },
    /// The transfer would go over the end of the namespace.
    OutOfRange {
        /// First block of the transfer.
        block: u64,
        /// Blocks in the transfer.
        blocks: u64,
        /// Blocks in the namespace.
        capacity: u64,
    },
    /// The device cannot reach this memory as it lies: use other memory and copy.
    Memory(Unmappable),
    /// Memory is missing, or is more than the command wants, or the device may not use it in
    /// the direction that the command needs.
    Access,
    /// The controller has no such command, or not with these options.
    Unsupported,
    /// The ticket is of another queue, or its request was given back already.
    NoSuchRequest,
    /// The blocks that are copied overlap with those that are written. Copy through memory.
    Overlap,
    /// There is no zone that starts at this block.
    NoZone {
        /// The block.
        block: u64,
    },
    /// The request cannot be cut, and does not fit into one command. Send less.
    TooLong {
        /// Blocks of the request.
        blocks: u64,
        /// Most blocks of a command, with this memory.
        most: u64,
    },
}

/// Why memory cannot be cut into commands.
pub use phyr::Uncuttable as Unmappable;

/// A command that the controller completed with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// What the command was to do.
    pub command: Command,
    /// Namespace of the command; 0 if it had none.
    pub nsid: u32,
    /// First block of the command that failed. Every block of the request before this one
    /// was transferred.
    pub block: Option<u64>,
    /// What the controller said.
    pub status: Status,
}

/// How a controller failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The controller did not answer in time.
    Timeout(Waiting),
    /// The controller reports a fatal status (CSTS.CFS).
    Fatal,
    /// Registers read as all ones: the device is gone.
    Gone,
    /// The controller is not ready any more (CSTS.RDY), though nobody disabled it.
    NotReady,
    /// The controller wrote something that cannot be.
    Protocol(Violation),
    /// A set-up command failed, so the controller could not be brought up.
    SetUp,
    /// It says that it has an error that only a reset can cure.
    Event,
    /// The caller asked for a reset.
    Reset,
    /// One of its queues was dropped before it had stopped.
    Dropped,
    /// The controller was shut down by the caller.
    ShutDown,
}

/// What the driver was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// CSTS.RDY to rise after CC.EN was set.
    Enable,
    /// CSTS.RDY to fall after CC.EN was cleared.
    Disable,
    /// The completion of an admin command.
    Admin(Command),
    /// The completion of an I/O command.
    Io,
    /// CSTS.SHST to say that the shutdown is complete.
    Shutdown,
    /// The cores of its queues.
    Queues,
}

/// A completion that no sound controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The Command Identifier belongs to no outstanding command: it was never given, or its
    /// command is complete already.
    UnknownCommand {
        /// The Command Identifier (CID).
        cid: u16,
    },
    /// The SQ Identifier is not that of the queue.
    WrongQueue {
        /// The SQ Identifier (SQID).
        sq_id: u16,
    },
    /// The SQ Head Pointer is not between the last one and the tail.
    SubmissionHead {
        /// The SQ Head Pointer (SQHD).
        sq_head: u16,
    },
    /// Every command is complete, but the SQ Head Pointer leaves no room for another.
    SubmissionStuck,
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<RequestError> for Error {
    fn from(reason: RequestError) -> Self {
        Self::Request(reason)
    }
}

impl From<Unmappable> for Error {
    fn from(reason: Unmappable) -> Self {
        Self::Request(RequestError::Memory(reason))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::Unsupported(what) => write!(f, "unsupported controller: {what}"),
            Self::Request(what) => what.fmt(f),
            Self::Command(what) => what.fmt(f),
            Self::Failed(how) => write!(f, "the controller failed: {how}"),
            Self::Dead(how) => write!(f, "the controller is out of use: {how}"),
            Self::Full => f.write_str("the queue is full"),
            Self::Lost(how) => write!(f, "the controller failed and may still run: {how}"),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegisterWindow { len, needed } => {
                write!(f, "{len} bytes of registers, {needed} needed")
            }
            Self::PageSize { shift } => write!(f, "its smallest page is 2^{shift} bytes"),
            Self::CommandSet => f.write_str("it has no NVM command set"),
            Self::QueueEntries { mqes } => write!(f, "its queues are too short (MQES {mqes})"),
            Self::EntrySize { sqes, cqes } => {
                write!(
                    f,
                    "its queue entry sizes are SQES {sqes:#x}, CQES {cqes:#x}"
                )
            }
            Self::Version(version) => write!(f, "its version is {version}"),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNamespace { nsid } => write!(f, "there is no namespace {nsid}"),
            Self::UnusableNamespace { nsid, reason } => {
                write!(f, "namespace {nsid} cannot be used: {reason}")
            }
            Self::WriteProtected { nsid } => write!(f, "namespace {nsid} is write protected"),
            Self::Length { bytes, block_size } => {
                write!(
                    f,
                    "{bytes} bytes are no whole number of {block_size}-byte blocks"
                )
            }
            Self::OutOfRange {
                block,
                blocks,
                capacity,
            } => write!(
                f,
                "{blocks} blocks from block {block} on do not fit into {capacity} blocks"
            ),
            Self::Memory(Unmappable::Misaligned { offset }) => {
                write!(f, "the memory at byte {offset} is not aligned to 4 bytes")
            }
            Self::Memory(Unmappable::InsideBlock { offset }) => {
                write!(f, "the memory is cut inside a block, at byte {offset}")
            }
            Self::Memory(Unmappable::Length { offset }) => {
                write!(f, "the block at byte {offset} does not fit into a command")
            }
            Self::Access => f.write_str("the memory is not what the command needs"),
            Self::NoSuchRequest => f.write_str("no request of this queue has this ticket"),
            Self::Overlap => f.write_str("the blocks overlap with those they are copied to"),
            Self::NoZone { block } => write!(f, "there is no zone at block {block}"),
            Self::TooLong { blocks, most } => {
                write!(f, "{blocks} blocks are too many for one command of {most}")
            }
            Self::Unsupported => f.write_str("the controller does not offer that"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command)?;
        if self.nsid != 0 {
            write!(f, " of namespace {}", self.nsid)?;
        }
        if let Some(block) = self.block {
            write!(f, " at block {block}")?;
        }
        write!(f, ": {}", self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(waiting) => write!(f, "no answer while waiting for {waiting}"),
            Self::Fatal => f.write_str("it reports a fatal status"),
            Self::Gone => f.write_str("it is gone"),
            Self::NotReady => f.write_str("it stopped being ready"),
            Self::Protocol(violation) => violation.fmt(f),
            Self::SetUp => f.write_str("it could not be set up"),
            Self::Event => f.write_str("it reports an internal error"),
            Self::Reset => f.write_str("it was reset"),
            Self::Dropped => f.write_str("one of its queues was given up"),
            Self::ShutDown => f.write_str("it was shut down"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enable => f.write_str("it to get ready"),
            Self::Disable => f.write_str("it to stop"),
            Self::Admin(command) => command.fmt(f),
            Self::Io => f.write_str("an I/O command"),
            Self::Shutdown => f.write_str("its shutdown"),
            Self::Queues => f.write_str("the cores of its queues"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand { cid } => {
                write!(
                    f,
                    "it completed command {cid:#06x}, which is not outstanding"
                )
            }
            Self::WrongQueue { sq_id } => {
                write!(
                    f,
                    "it completed a command of queue {sq_id} in another queue"
                )
            }
            Self::SubmissionHead { sq_head } => {
                write!(f, "its submission queue head {sq_head} is out of range")
            }
            Self::SubmissionStuck => f.write_str("its submission queue head is stuck"),
        }
    }
}

impl core::error::Error for Error {}
