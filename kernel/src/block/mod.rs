//! Block devices: a request carries memory, and a device moves it.
//!
//! # The problem
//!
//! A device works on many requests at once, takes its time, and finishes them in any order. What
//! asks for them is many, too: tasks on several cores, a file system that somebody waits for. And
//! some of those lose interest half-way.
//!
//! # The idea
//!
//! A [`Request`] owns its memory. [`submit`](BlockDevice::submit) gives it to the device and returns
//! a [`Ticket`], or leaves it as it was. [`poll`](BlockDevice::poll) asks for the [`Completion`], in which
//! the memory comes back, and [`abandon`](BlockDevice::abandon) says that nobody will ask. That is
//! all that a device implements. The futures on top of it (`device.read(block, frames).await`) are
//! nothing but a request or a ticket: no allocation, and nothing that a dropped future could take
//! away from the device.
//!
//! # Rules
//!
//! 1. A request's memory belongs to the device from `submit` until its completion. It is freed, or
//!    given back, once: then.
//! 2. A ticket belongs to the core that submitted the request.
//! 3. A request is cut into what a device can do at once in one place, by its driver, by its
//!    limits. [`Limits`] tell what is cheap, not what is allowed.
//! 4. Requests may be carried out in any order. Who wants an order waits.
//! 5. A device that is removed ends its requests by an error. Its handle stays valid, and everything
//!    that is asked of it from then on is [`BlockError::Removed`].
//!
//! The parts: `request` is the vocabulary, `future` the interface for tasks, `blocking` the one for
//! everybody else, [`read_at`] reads bytes at any place, [`partition`] is a device within a device,
//! and [`RamDisk`] is one made of memory, which does what a test tells it.

pub(crate) mod blocking;
mod bytes;
mod error;
mod future;
mod geometry;
mod limits;
pub mod partition;
mod ram;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use bytes::count_direct;
pub use bytes::{Counters, counters, fetch, load, read_at};
pub use error::BlockError;
pub use future::{Execution, Failed, Performing, Transferring};
pub use geometry::Geometry;
pub use limits::{Limits, Ranges};
pub use ram::{Counts, RamDisk};
pub use request::{Completion, Durability, Operation, Refusal, Request, Space, Ticket};

use core::task::{Context, Poll};

// ANCHOR: BlockDevice
/// Something that has blocks.
pub trait BlockDevice: Send + Sync {
    /// A name without spaces, unique in the system for as long as anybody holds the device.
    fn name(&self) -> &str;

    /// The size and shape at this moment.
    fn geometry(&self) -> Geometry;

    /// What the device can do and how it likes it.
    fn limits(&self) -> Limits;

    /// Gives a request to the device, on this core. The device takes the request's memory, and wakes
    /// the waker when it is done. A request that is not accepted is as it was.
    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal>;

    /// Whether a request is done. The ticket means nothing after it was: ask once.
    ///
    /// If it is not, the waker is woken when it may be. Only the last waker counts, that of `submit`
    /// included.
    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion>;

    /// Says that nobody will ask for a request any more. It may be carried out or not; its memory
    /// is freed when the device is done with it.
    fn abandon(&self, ticket: Ticket);

    /// Whether a request may be accepted on this core. If not, the waker is woken when one may be.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// How many requests of this core the device has, those included that nobody asks for. Requests
    /// for other devices behind the same queue may count.
    fn outstanding(&self) -> usize;
}
// ANCHOR_END: BlockDevice
