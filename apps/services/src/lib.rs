//! What a machine with disks and a network does for others.
//!
//! Each service is a function from a connection to its end. It knows a connection as a
//! [`Stream`](kernel::net::Stream), so it runs over a TCP connection in the machine and over two queues in
//! a test, and it asks a [`Clock`](clock::Clock) for the time, so no test waits.
//!
//! The way of the data is the same in all of them:
//!
//! ```text
//! disk ─ DMA ─► owned memory ─ Stream::send ─► the card's DMA ─► wire
//! ```
//!
//! Nobody copies it. What a service writes itself is small: the head of an answer, a line of a protocol.
//!
//! - [`http`] for files, folders, and pages about the machine;
//! - [`nbd`] for disks;
//! - [`iperf`] and [`echo`] to see how fast bytes go, and whether;
//! - [`appliance`]: what of the machine is shown over HTTP.
//!
//! What holds everywhere:
//!
//! - whatever a client sends, it gets an answer or its connection ends: nothing panics, nothing waits
//!   for ever, nothing grows without a limit, and the limits are data;
//! - what was done, and what was refused, is counted.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod appliance;
pub mod clock;
pub mod counter;
pub mod echo;
pub mod http;
pub mod iperf;
pub mod nbd;

#[cfg(test)]
mod testing;
