//! Why a picture is not shown.

use crate::error::{Error, RequestError};
use core::fmt;

/// Why a command has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuError {
    /// The device or the memory: nothing was asked, or there was no answer.
    Device(Error),
    /// The device has refused, and says why.
    Refused(Refusal),
    /// The device has answered something that is no answer. What it has done is not known.
    Reply(ReplyError),
    /// The picture does not allow that. Nothing was asked.
    Picture(PictureError),
}

/// What the device says of a command that it does not carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// VIRTIO_GPU_RESP_ERR_UNSPEC.
    Unspecified,
    /// VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY.
    OutOfMemory,
    /// VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID.
    Screen,
    /// VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID.
    Picture,
    /// VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID.
    Context,
    /// VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER.
    Parameter,
}

impl Refusal {
    /// The refusal of this number.
    pub(super) const fn of(kind: u32) -> Option<Self> {
        match kind {
            0x1200 => Some(Self::Unspecified),
            0x1201 => Some(Self::OutOfMemory),
            0x1202 => Some(Self::Screen),
            0x1203 => Some(Self::Picture),
            0x1204 => Some(Self::Context),
            0x1205 => Some(Self::Parameter),
            _ => None,
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// So many bytes are not what an answer to this has.
    Short(u32),
    /// It is an answer to something else.
    Kind {
        /// The number that a good answer has.
        expected: u32,
        /// The number that it has.
        got: u32,
    },
    /// It is an answer to a command of another number.
    Fence(u64),
}

/// What a picture does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureError {
    /// It has no pixels.
    Empty,
    /// The part is not in it.
    Outside,
    /// The device has memory for it already.
    Attached,
    /// The device has no memory for it.
    Detached,
    /// There is no such screen.
    NoScreen,
}

impl From<Error> for GpuError {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<RequestError> for GpuError {
    fn from(error: RequestError) -> Self {
        Self::Device(Error::Request(error))
    }
}

impl From<ReplyError> for GpuError {
    fn from(error: ReplyError) -> Self {
        Self::Reply(error)
    }
}

impl From<PictureError> for GpuError {
    fn from(error: PictureError) -> Self {
        Self::Picture(error)
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(Error::Request(RequestError::Length)) => {
                f.write_str("the memory is shorter than the picture")
            }
            Self::Device(Error::Request(RequestError::Pieces { .. })) => {
                f.write_str("the memory is in more pieces than the device takes")
            }
            Self::Device(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "the device refuses: {refusal}"),
            Self::Reply(error) => write!(f, "{error}"),
            Self::Picture(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for GpuError {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "it does not say why",
            Self::OutOfMemory => "it has no memory",
            Self::Screen => "there is no such screen",
            Self::Picture => "there is no such picture, or there is one already",
            Self::Context => "there is no such context",
            Self::Parameter => "a number makes no sense",
        })
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(bytes) => write!(f, "an answer of {bytes} bytes"),
            Self::Kind { expected, got } => {
                write!(f, "an answer {got:#x} instead of {expected:#x}")
            }
            Self::Fence(fence) => write!(f, "an answer to the command {fence}"),
        }
    }
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a picture has at least one pixel",
            Self::Outside => "that is not in the picture",
            Self::Attached => "the picture has memory already: detach it first",
            Self::Detached => "the picture has no memory: attach some first",
            Self::NoScreen => "there is no such screen",
        })
    }
}
