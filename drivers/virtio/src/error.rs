//! What can go wrong, by who has to deal with it.

use crate::platform::OutOfMemory;
use crate::transport::{CapabilityError, FeatureError, StatusError};
use core::fmt;

/// What becomes of a request that does not go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request makes no sense for this device. Nothing was sent.
    Request(RequestError),
    /// There is no room in the queue at this moment.
    Full,
    /// The device has tried, and failed. The blocks of the request may have any content.
    Device(DeviceError),
    /// The device failed as a whole while it had the request. It may have been carried out.
    Failed(Failure),
    /// The device is out of use. Nothing was sent.
    Dead(Failure),
    /// As [`Failed`](Self::Failed), and the device could not be kept from memory: the memory of the
    /// request is lost.
    Lost(Failure),
    /// The platform has no memory for the queue.
    OutOfMemory,
    /// The device has no such queue.
    NoQueue,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It goes beyond the last block.
    OutOfRange,
    /// Its memory has another length than its blocks, or there are no blocks.
    Length,
    /// The device is read-only.
    ReadOnly,
    /// The device has not offered this.
    Unsupported,
    /// The memory does not allow what the request does with it.
    Access,
    /// A block of the memory is in more pieces than the device takes at once, or than fit.
    Pieces {
        /// Where in the memory the block starts, in bytes.
        offset: u64,
    },
    /// The ticket is of no request that the queue has: of another queue's, or of one that was given back.
    NoSuchRequest,
}

/// What the device says of a request that it could not carry out (section 5.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// VIRTIO_BLK_S_IOERR.
    Io,
    /// VIRTIO_BLK_S_UNSUPP.
    Unsupported,
    /// A status that means nothing, or none at all.
    Status(u8),
    /// An answer to a flush that means nothing, or none at all (section 5.19.6).
    Answer(u32),
    /// It says that it went well, and that it has not written all of the data.
    Short {
        /// Bytes that it says it has written.
        written: u32,
    },
}

/// Why a device needs a reset, or is out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not there any more.
    Gone,
    /// It does not answer.
    Timeout(Waiting),
    /// It has set DEVICE_NEEDS_RESET.
    NeedsReset,
    /// It broke a rule.
    Violation(Violation),
    /// Device and driver do not agree on features.
    Features(FeatureError),
    /// It does not take a step of the set-up.
    Status(StatusError),
    /// A register block or a place in one is where it cannot be.
    Capability(CapabilityError),
    /// Its configuration makes no sense.
    Config(ConfigError),
    /// A queue is missing, or too small.
    QueueSize {
        /// Which one.
        queue: u16,
        /// The size that the device says.
        size: u16,
    },
    /// A queue is in use that nobody has told it of.
    QueueReady {
        /// Which one.
        queue: u16,
    },
    /// After a reset it is another device: other features, blocks of another size.
    Changed,
    /// Somebody has asked for a reset.
    Reset,
    /// Somebody has asked for its end.
    ShutDown,
    /// A queue was dropped while the device could use it.
    Dropped,
}

/// What a device does not answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A reset.
    Reset,
    /// A request.
    Request,
}

/// A rule that the device broke. It is reset, and nothing that it said is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The used index went back, or ahead of what is available.
    UsedIndex(u16),
    /// It has used a chain that it does not have.
    UsedId(u32),
    /// It says that it has written more than it may, or nothing where it must.
    UsedLength(u32),
    /// It says that a frame lies in so many pieces of memory: none, or more than it has.
    Buffers(u16),
    /// A message about a port that it cannot have, or one that has no end, or no meaning.
    Message {
        /// The port.
        port: u32,
        /// What the message is about, by its number in the specification.
        event: u16,
    },
}

/// What is wrong with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The block of registers ends before a field of a feature that was accepted.
    Short {
        /// Bytes that it has.
        len: usize,
    },
    /// The generation changes each time that it is read.
    Unsteady,
    /// Blocks of such a size are none.
    BlockSize(u32),
    /// It has no pages of any size.
    Pages,
    /// A range of addresses or numbers is empty.
    Empty,
    /// It lets past what it is told not to.
    Open,
    /// Segments of such a size are too small for a sector.
    SegmentSize(u32),
    /// Memory that is empty, or goes on beyond the last address.
    Memory {
        /// Where it is to start.
        start: u64,
        /// Bytes that it is to have.
        len: u64,
    },
    /// The memory is to be where a capability says, and none does.
    NoMemory,
    /// A link on which packets of so many bytes fit is none.
    Mtu(u16),
    /// A card with so many pairs of queues is none.
    Pairs(u16),
    /// A graphics device with so many screens is none.
    Screens(u32),
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => write!(f, "{error}"),
            Self::Full => f.write_str("the queue is full"),
            Self::Device(error) => write!(f, "{error}"),
            Self::Failed(failure) => write!(f, "the device failed: {failure}"),
            Self::Dead(failure) => write!(f, "the device is out of use: {failure}"),
            Self::Lost(failure) => write!(f, "the device cannot be stopped: {failure}"),
            Self::OutOfMemory => write!(f, "{OutOfMemory}"),
            Self::NoQueue => f.write_str("the device has no more queues"),
        }
    }
}

impl core::error::Error for Error {}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("beyond the last block"),
            Self::Length => f.write_str("the memory is not as long as the blocks"),
            Self::ReadOnly => f.write_str("the device is read-only"),
            Self::Unsupported => f.write_str("the device does not offer that"),
            Self::Access => f.write_str("the memory is for the other direction"),
            Self::NoSuchRequest => f.write_str("no request of this queue has this ticket"),
            Self::Pieces { offset } => {
                write!(
                    f,
                    "a block at {offset:#x} of the memory is in too many pieces"
                )
            }
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io => f.write_str("I/O error"),
            Self::Unsupported => f.write_str("the device does not know the request"),
            Self::Status(status) => write!(f, "status {status:#x}"),
            Self::Answer(answer) => write!(f, "an answer that means nothing: {answer:#x}"),
            Self::Short { written } => write!(f, "only {written} bytes were transferred"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it is gone"),
            Self::Timeout(Waiting::Reset) => f.write_str("it does not confirm a reset"),
            Self::Timeout(Waiting::Request) => f.write_str("it does not answer a request"),
            Self::NeedsReset => f.write_str("it needs a reset"),
            Self::Violation(violation) => write!(f, "{violation}"),
            Self::Features(error) => write!(f, "{error}"),
            Self::Status(error) => write!(f, "{error}"),
            Self::Capability(error) => write!(f, "{error}"),
            Self::Config(error) => write!(f, "{error}"),
            Self::QueueSize { queue, size } => {
                write!(f, "its queue {queue} has only {size} entries")
            }
            Self::QueueReady { queue } => {
                write!(f, "it uses a queue {queue} that it was not told of")
            }
            Self::Changed => f.write_str("it came back as another device"),
            Self::Reset => f.write_str("it was reset on demand"),
            Self::ShutDown => f.write_str("it was shut down"),
            Self::Dropped => f.write_str("a queue was dropped"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsedIndex(index) => write!(f, "its used index {index} is out of reach"),
            Self::UsedId(id) => write!(f, "it has used {id}, which it does not have"),
            Self::UsedLength(len) => write!(f, "it has written {len} bytes, which it may not"),
            Self::Buffers(buffers) => write!(f, "a frame in {buffers} pieces of memory"),
            Self::Message { port, event } => {
                write!(f, "a message {event} about port {port} that makes no sense")
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => write!(f, "its configuration has only {len} bytes"),
            Self::Unsteady => f.write_str("its configuration does not stand still"),
            Self::BlockSize(size) => write!(f, "blocks of {size} bytes"),
            Self::Pages => f.write_str("it has no pages of any size"),
            Self::Empty => f.write_str("a range of its addresses or numbers is empty"),
            Self::Open => f.write_str("it lets past what it is told not to"),
            Self::SegmentSize(size) => write!(f, "segments of {size} bytes"),
            Self::Memory { start, len } => {
                write!(f, "memory of {len:#x} bytes at {start:#x}")
            }
            Self::NoMemory => f.write_str("it does not say where its memory is"),
            Self::Mtu(mtu) => write!(f, "packets of {mtu} bytes"),
            Self::Pairs(pairs) => write!(f, "{pairs} pairs of queues"),
            Self::Screens(screens) => write!(f, "{screens} screens"),
        }
    }
}
