//! A connection, as a program sees it.
//!
//! A service reads what its client says and answers it, and it should not matter to it whether a
//! stack is below or, in a test, two queues. So services are written over [`Stream`], and whatever
//! has connections implements it.
//!
//! There are two ways to say something. [`write`](Stream::write) copies, as is right for a line of
//! text or the header of a reply. [`send`](Stream::send) takes memory by value, and the bytes leave
//! the machine from where they lie: what a disk has written there by DMA, a card reads there by DMA.
//! Both keep their order among each other.
//!
//! A future that is dropped before it is ready has taken some of the bytes or none: after that, all
//! that is left is to drop the connection. Reading is different: a `read` that is dropped has taken
//! nothing.

use crate::dma::{DmaError, Memory};
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;

// ANCHOR: Stream
/// A connection. Bytes arrive in the order in which they were written, or it fails.
pub trait Stream {
    /// Reads at least one byte; 0 when the other end has closed.
    // Not memory: the caller's own bytes, into which is copied.
    fn read(&mut self, into: &mut [u8]) -> impl Future<Output = Result<usize, StreamError>>;

    /// Copies bytes into the connection's own memory. Resolves when all are taken.
    // Not memory: the caller's own bytes, which are copied.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), StreamError>>;

    /// Takes memory, whose bytes are sent from where they lie. Resolves when it is taken, which waits
    /// until not too much is on its way, and not when it is acknowledged. The memory is freed when it is.
    fn send(&mut self, memory: Memory) -> impl Future<Output = Result<(), StreamError>>;

    /// Resolves when all that was written and sent has been acknowledged.
    fn flush(&mut self) -> impl Future<Output = Result<(), StreamError>>;

    /// Says that no more will come, after what was written. Reading goes on.
    fn close(&mut self) -> impl Future<Output = Result<(), StreamError>>;

    /// Who is at the other end.
    fn peer(&self) -> SocketAddr;
}
// ANCHOR_END: Stream

/// Why a connection does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError {
    /// The other end has given it up.
    Reset,
    /// The other end has not answered for too long.
    TimedOut,
    /// There is no way to the other end, or the interface is gone.
    Unreachable,
    /// This end has closed it.
    Closed,
    /// The memory cannot be given to a card. The connection is as it was.
    Memory(DmaError),
    /// There is no memory to copy through.
    OutOfMemory,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("the other end has given up the connection"),
            Self::TimedOut => f.write_str("the other end does not answer"),
            Self::Unreachable => f.write_str("there is no way to the other end"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::Memory(error) => write!(f, "{error}"),
            Self::OutOfMemory => f.write_str("no memory for the connection"),
        }
    }
}

impl core::error::Error for StreamError {}
