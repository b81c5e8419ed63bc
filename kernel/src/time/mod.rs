//! Time: what the clock says, and waking tasks when it says so.
//!
//! - [`clock`](mod@clock) reads the time-stamp counter, measured against a timer of known rate, of which `pit` is the last
//!   resort, or with a rate that is `stated`;
//! - `queue` keeps who wants to be woken when;
//! - `driver` connects both to the embassy crates: their `Timer`, `with_timeout` and
//!   `Instant` work in tasks and in `block_on`. A tick is a microsecond.
//!
//! Each core has a queue of its own, for what waits on it. Nothing is locked.

pub mod clock;
mod driver;
mod index;
mod pit;
mod queue;
mod stated;

pub use clock::{Clock, Source, clock, init, microseconds, now};
pub(crate) use queue::{Key, Queue};
