//! Disks over NBD, the network block device protocol (`doc/proto.md` of the `nbd` project).
//!
//! A connection begins with a conversation about which disk it is to be, in the fixed newstyle, and goes
//! on with requests, several at a time, which are answered as they end.
//!
//! ```text
//! handshake: option, reply, …, GO ─► session: request ─► check ─► Export ─► reply ─► Stream
//! ```
//!
//! - [`wire`]: the numbers of the protocol;
//! - [`option`], [`request`] and [`reply`]: from bytes to what they say, and back;
//! - [`contexts`]: what else may be asked of a disk;
//! - [`export`]: a disk as it is given out, and what is done to it; [`disks`]: all of them;
//! - [`cover`]: the blocks that bytes are in, and [`locks`]: which writes must wait for each other;
//! - `handshake`, `intake` and [`session`]: one connection.
//!
//! # Blocks
//!
//! A client may ask for any bytes. Reads fetch the blocks that the bytes are in, and send the bytes of
//! them. A write that begins or ends within a block has to read that block first, and nobody else may
//! write there meanwhile: [`locks`].
//!
//! # What lasts
//!
//! A write is answered when the disk has done it, and a flush concerns everything that the disk has done.
//! So a flush on one connection covers what was answered on all others, and clients may use several.

pub mod contexts;
pub mod cover;
pub mod disks;
pub mod export;
mod handshake;
mod intake;
pub mod limits;
pub mod locks;
pub mod option;
pub mod reply;
pub mod request;
pub mod session;
pub mod wire;

#[cfg(test)]
mod tests;

pub use disks::Disks;
pub use export::{Export, Exports};
pub use limits::{Counters, Limits};
pub use session::{End, serve};
