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
//! There is one test at a time; others are turned away. Bytes go over TCP, in the direction that the
//! client wants (`-R`), on as many connections as it wants (`-P`). UDP and both directions at once are refused.
//!
//! - [`wire`]: from bytes to what they say, and back;
//! - [`server`]: one connection of either kind.

pub mod server;
pub mod wire;

#[cfg(test)]
mod tests;

pub use server::{Counters, End, Limits, Server};
