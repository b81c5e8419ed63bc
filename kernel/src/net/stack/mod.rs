//! TCP/IP on a network interface.
//!
//! # The problem
//!
//! A stack that copies what it sends into its frames touches every byte that leaves the machine, and a file's
//! bytes are in memory already: a disk has written them there. All that is new are some headers.
//!
//! # The idea
//!
//! ```text
//!   Connection, Listener, UdpSocket, …        what programs have
//!        │ write: copied   │ send: memory by value
//!   ┌────▼─────────────────▼──────────┐
//!   │ Outbox: parts of common memory  │ Flow: which bytes are next, or once more
//!   └────┬────────────────────────────┘
//!        │ headers │ body              ◄── engine (smoltcp): opens, receives, acknowledges, closes;
//!   ┌────▼─────────▼──────────────────┐    ARP, ICMP, DHCP, DNS
//!   │ Interface: gathers, sums, cuts  │
//!   └─────────────────────────────────┘
//! ```
//!
//! [smoltcp](https://docs.rs/smoltcp) is the engine for everything but datagrams, and the data that connections send.
//! Data is counted by a `flow` of its own and kept in an `outbox`, until the other end has it; a frame is
//! headers in memory of the stack, and a part of the memory that was handed over. Where the card can, it cuts one
//! such frame into as many as the wire needs, and sums them up.
//!
//! # Rules
//!
//! 1. Nothing is sent but by `engine::Engine::poll`, on the core that has the interface's queues. Handles may be
//!    used anywhere; they leave word.
//! 2. What comes from the network changes counters and states, and never panics. Everything that it can fill has
//!    a bound: connections, those that are half open, those that are over, bytes that were not read.
//! 3. Memory that was sent is not written until all of it is acknowledged and no card has any of it.
//!
//! Programs need none of these types: they are written over [`Stream`](super::Stream) and
//! [`Transport`], and another stack would implement those.

mod announced;
#[cfg(phyros)]
mod attend;
mod bell;
mod card;
mod connection;
mod connections;
#[cfg(all(phyros, feature = "vm-tests"))]
mod costs;
mod device;
mod drive;
mod ended;
mod engine;
mod flow;
mod handle;
mod heads;
mod listener;
mod listening;
mod moving;
mod neighbours;
mod options;
mod outbox;
mod paths;
mod ping;
mod resolve;
mod segment;
mod settings;
mod slots;
mod sums;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod watching;

#[cfg(phyros)]
pub use attend::{stacks, start, started, way_to};
pub use connection::Connection;
pub use connections::ListenError;
pub use handle::{Stack, Transport};
pub use listener::Listener;
pub use options::{Backlog, ConnectionStatus, Counters, Ipv4, Lease, Options, State, Status};
pub use ping::PingError;
pub use resolve::ResolveError;
pub use udp::{UdpError, UdpSocket};
