//! How fast bytes go, as iperf3 measures it.
//!
//! A client of iperf3 (`iperf3 -c HOST -p PORT`) opens a connection to talk, and then others for the bytes.
//! They have a cookie in common. On the first one either side says by a byte where the test is,
//! and values go as JSON with their length before it:
//!
//! ```text
//! client                 server
//! cookie ───────────────►
//!        ◄─────────────── PARAM_EXCHANGE
//! JSON   ───────────────►
//!        ◄─────────────── CREATE_STREAMS
//! cookie ═══════════════►             on each further connection
//!        ◄─────────────── TEST_START, TEST_RUNNING
//! bytes  ═══════════════► or ◄═══════
//! TEST_END ─────────────►
//!        ◄─────────────── EXCHANGE_RESULTS
//! JSON   ───────────────►
//!        ◄─────────────── JSON, DISPLAY_RESULTS
//! IPERF_DONE ───────────►
//! ```
//!
//! There is one test at a time; others are turned away. Bytes go in the direction that the client wants (`-R`),
//! or both (`--bidir`: first come the connections to the server, then those to the client), on as many connections
//! as it wants (`-P`).
//!
//! With `-u` they go as datagrams of UDP, to and from the same port. A client begins a lane by a datagram of four
//! bytes, and has an answer. What was lost is told by numbers in the datagrams that came. A datagram is one packet:
//! longer ones are refused.
//!
//! - [`wire`]: from bytes to what they say, and back;
//! - [`datagram`]: the same for datagrams, and what became of them;
//! - [`server`]: one connection of either kind;
//! - [`Datagrams`]: a port of UDP, the kernel's or another; `datagrams`: what goes through it.

pub mod datagram;
mod datagrams;
mod port;
pub mod server;
mod test;
pub mod wire;

#[cfg(test)]
mod tests;

pub use port::Datagrams;
pub use server::{Counters, End, Limits, Server};
