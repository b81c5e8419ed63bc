//! Block devices (section 5.2).
//!
//! A [`Disk`] is the device: it agrees with it on features, makes its [`Queue`]s known to it, and
//! gets it back after a failure. A queue is one core's, and carries requests.
//!
//! The way of a request through the files: `config` checks it against the device's size, `request`
//! is what it is until it is over, `queue/sending` writes it as a chain of descriptors (`chain`,
//! `split`), and `queue/completion` takes what the device says of it. `disk` is the way there,
//! and [`device`](crate::device) the way back after a failure. `cache` is when a durable write needs a flush, and
//! `serial` what a disk is called.

mod cache;
mod config;
mod disk;
mod queue;
mod request;
mod serial;

pub use crate::device::Options;
pub use config::{Extent, Properties};
pub use disk::Disk;
pub use queue::{Counters, Queue, Reach, Refused, Ticket, Turn, attend};
pub use request::{Command, Done, Operation, Request};
pub use serial::Serial;
