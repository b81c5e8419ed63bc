//! The numbers of the protocol. On the wire they are big-endian.

/// What a server says first.
pub const GREETING: u64 = 0x4e42_444d_4147_4943;
/// What comes before an option, and says that it is the newstyle.
pub const OPTION: u64 = 0x4948_4156_454f_5054;
/// What comes before the reply to an option.
pub const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// What comes before a request.
pub const REQUEST: u32 = 0x2560_9513;
/// What comes before a simple reply.
pub const SIMPLE_REPLY: u32 = 0x6744_6698;
/// What comes before a chunk of a structured reply.
pub const STRUCTURED_REPLY: u32 = 0x668e_33ef;

/// Flags of the handshake, of either side.
pub mod handshake {
    /// Options are replied to, and unknown ones do not end the connection.
    pub const FIXED: u16 = 1 << 0;
    /// The reply to `EXPORT_NAME` has no zeros at its end.
    pub const NO_ZEROES: u16 = 1 << 1;
}

/// Options.
pub mod option {
    /// Begins the transmission, or ends the connection.
    pub const EXPORT_NAME: u32 = 1;
    /// Ends the connection.
    pub const ABORT: u32 = 2;
    /// Asks for the names of all exports.
    pub const LIST: u32 = 3;
    /// Asks about an export.
    pub const INFO: u32 = 6;
    /// Asks about an export, and begins the transmission.
    pub const GO: u32 = 7;
    /// Agrees that reads have structured replies.
    pub const STRUCTURED_REPLY: u32 = 8;
    /// Asks which contexts there are.
    pub const LIST_META_CONTEXT: u32 = 9;
    /// Chooses contexts that requests may ask for.
    pub const SET_META_CONTEXT: u32 = 10;
}

/// Replies to options.
pub mod answer {
    /// Done.
    pub const ACK: u32 = 1;
    /// The name of an export.
    pub const SERVER: u32 = 2;
    /// Something about an export.
    pub const INFO: u32 = 3;
    /// A context.
    pub const META_CONTEXT: u32 = 4;
    /// It is not known.
    pub const UNSUPPORTED: u32 = 1 << 31 | 1;
    /// It makes no sense.
    pub const INVALID: u32 = 1 << 31 | 3;
    /// There is no such export.
    pub const UNKNOWN: u32 = 1 << 31 | 6;
    /// It is too long.
    pub const TOO_BIG: u32 = 1 << 31 | 9;
}

/// What is said about an export.
pub mod info {
    /// Its length and flags.
    pub const EXPORT: u16 = 0;
    /// Its name.
    pub const NAME: u16 = 1;
    /// What it is, in words.
    pub const DESCRIPTION: u16 = 2;
    /// How long requests may be, and how they should lie.
    pub const BLOCK_SIZE: u16 = 3;
}

/// Flags of an export.
pub mod transmission {
    /// There are flags.
    pub const HAS_FLAGS: u16 = 1 << 0;
    /// It cannot be written.
    pub const READ_ONLY: u16 = 1 << 1;
    /// It can be flushed.
    pub const FLUSH: u16 = 1 << 2;
    /// A write can be made durable at once.
    pub const FUA: u16 = 1 << 3;
    /// Parts can be given up.
    pub const TRIM: u16 = 1 << 5;
    /// Parts can be zeroed without sending zeros.
    pub const WRITE_ZEROES: u16 = 1 << 6;
    /// A read can be asked to come in one chunk.
    pub const DONT_FRAGMENT: u16 = 1 << 7;
    /// What one connection has flushed is durable for all.
    pub const MULTI_CONN: u16 = 1 << 8;
    /// Zeroing can be asked to fail if it would take long.
    pub const FAST_ZERO: u16 = 1 << 11;
}

/// Requests.
pub mod command {
    /// Read.
    pub const READ: u16 = 0;
    /// Write.
    pub const WRITE: u16 = 1;
    /// End the connection.
    pub const DISCONNECT: u16 = 2;
    /// Make durable what was written.
    pub const FLUSH: u16 = 3;
    /// Give up a part.
    pub const TRIM: u16 = 4;
    /// Zero a part.
    pub const WRITE_ZEROES: u16 = 6;
    /// Say what a part is, in the contexts that were chosen.
    pub const BLOCK_STATUS: u16 = 7;
}

/// Flags of a request.
pub mod flag {
    /// It is to last when it is answered.
    pub const FUA: u16 = 1 << 0;
    /// The space is to be kept.
    pub const NO_HOLE: u16 = 1 << 1;
    /// In one chunk.
    pub const DONT_FRAGMENT: u16 = 1 << 2;
    /// Of the first piece only.
    pub const REQ_ONE: u16 = 1 << 3;
    /// Only if it does not take long.
    pub const FAST_ZERO: u16 = 1 << 4;
}

/// Chunks of a structured reply.
pub mod chunk {
    /// It is the last one.
    pub const DONE: u16 = 1;
    /// Bytes, and where they are from.
    pub const OFFSET_DATA: u16 = 1;
    /// Pieces, and what they are in a context.
    pub const BLOCK_STATUS: u16 = 5;
    /// An error, with words.
    pub const ERROR: u16 = 1 << 15 | 1;
}

/// Why a request has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// It is not allowed: the export is read-only.
    Permission = 1,
    /// The disk has failed.
    Io = 5,
    /// There is no memory.
    Memory = 12,
    /// It makes no sense.
    Invalid = 22,
    /// It is beyond the end.
    NoSpace = 28,
    /// It cannot be done in the way that is wanted.
    Unsupported = 95,
}
