//! Namespaces (NVM command set specification 1.0, section 4.1.5.1).
//!
//! A namespace is a disk of its own behind the controller. Which formats this driver can
//! use is decided here, from the identify data alone. A namespace in another format is
//! still listed, with the reason, so that nobody wonders where it went.

use crate::limits::Limits;
use crate::status::Status;
use crate::wire::IdentifyNamespace;
use core::fmt;

/// A namespace of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// Namespace Identifier (NSID).
    pub id: u32,
    /// Number of logical blocks (NSZE).
    pub blocks: u64,
    /// Bytes in a logical block, a power of two; 0 if the namespace has no known format.
    pub block_size: u32,
    /// The controller refuses to write to the namespace.
    pub write_protected: bool,
    /// Why the namespace cannot be used; `None` if it can be used.
    pub unusable: Option<Unusable>,
    /// The controller has a volatile write cache (VWC), so flushes mean something.
    pub(crate) has_write_cache: bool,
    /// What one command of the namespace may transfer.
    pub(crate) limits: Limits,
}

/// Why a namespace cannot be used by this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// The controller would not describe the namespace.
    NotIdentified(Status),
    /// The namespace has no blocks.
    Empty,
    /// The LBA format in use is not in the table of formats.
    Format {
        /// Index of the format.
        index: u8,
    },
    /// Blocks are smaller than 512 bytes, or do not fit into one command.
    BlockSize {
        /// The block size as a power of two (LBADS).
        shift: u8,
    },
    /// Blocks carry metadata, for which this driver has no place.
    Metadata {
        /// Bytes of metadata in a block (MS).
        bytes: u16,
    },
    /// Blocks are protected end to end by a type that does not exist, or have too little
    /// metadata for it.
    Protection {
        /// The protection information type (DPS).
        kind: u8,
    },
    /// The guard of the protection information has 32 bits or an unknown format.
    Guard {
        /// The Protection Information Format (PIF).
        format: u8,
    },
    /// The protection information has a storage tag.
    StorageTag {
        /// Its size (STS).
        bits: u8,
    },
    /// The size in bytes is no 64-bit number.
    TooLarge,
}

impl Namespace {
    /// Reads the identify data of namespace `id`, for a controller with these limits.
    pub(crate) fn new(id: u32, identify: &IdentifyNamespace, controller: Limits) -> Self {
        let index = identify.format_index();
        let format = identify.lbaf[index];
        let shift = format.lbads();
        // Larger block sizes are unusable in any case.
        let block_size = if shift < 32 { 1_u32 << shift } else { 0 };
        let limits = controller.for_blocks(block_size);
        let unusable = if identify.nsze == 0 {
            Some(Unusable::Empty)
        } else if index > usize::from(identify.nlbaf) {
            Some(Unusable::Format { index: index as u8 })
        } else if shift < 9 || limits.is_none() {
            Some(Unusable::BlockSize { shift })
        } else if format.ms() != 0 {
            Some(Unusable::Metadata { bytes: format.ms() })
        } else if identify.dps & 7 != 0 {
            let kind = identify.dps & 7;
            Some(Unusable::Protection { kind })
        } else if identify.nsze.checked_mul(u64::from(block_size)).is_none() {
            Some(Unusable::TooLarge)
        } else {
            None
        };
        Self {
            id,
            blocks: identify.nsze,
            block_size,
            write_protected: identify.nsattr & 1 != 0,
            unusable,
            has_write_cache: false,
            limits: limits.unwrap_or(controller),
        }
    }

    /// A namespace that the controller lists but would not describe.
    pub(crate) fn not_identified(id: u32, status: Status, controller: Limits) -> Self {
        Self {
            id,
            blocks: 0,
            block_size: 0,
            write_protected: false,
            unusable: Some(Unusable::NotIdentified(status)),
            has_write_cache: false,
            limits: controller,
        }
    }

    /// True if the controller said nothing of the namespace that is not zero.
    pub(crate) fn looks_inactive(&self) -> bool {
        self.blocks == 0 && self.unusable == Some(Unusable::Empty)
    }

    /// The block size as a power of two.
    pub(crate) const fn block_shift(&self) -> u32 {
        self.block_size.trailing_zeros()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIdentified(status) => write!(f, "not identified: {status}"),
            Self::Empty => f.write_str("it has no blocks"),
            Self::Format { index } => write!(f, "its LBA format {index} is not described"),
            Self::BlockSize { shift } => write!(f, "blocks of 2^{shift} bytes"),
            Self::Metadata { bytes } => write!(f, "{bytes} bytes of metadata in each block"),
            Self::Protection { kind } => write!(f, "protection information of type {kind}"),
            Self::Guard { format } => write!(f, "protection information of format {format}"),
            Self::StorageTag { bits } => {
                write!(
                    f,
                    "a storage tag of {bits} bits in the protection information"
                )
            }
            Self::TooLarge => f.write_str("more bytes than 64 bits can count"),
        }
    }
}
