//! How a stack is to be set up, and what it says of itself.

use crate::net::MacAddress;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How a stack is to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the IPv4 address is from.
    pub ipv4: Ipv4,
    /// Whether there is an IPv6 address for the link, and those that routers announce.
    pub ipv6: bool,
    /// Bytes that a connection has room for before they are read. A power of two makes sense.
    pub receive: usize,
    /// Bytes that a connection takes before they are acknowledged. Memory that is sent is taken whole, so
    /// it may be as much more as one piece has.
    pub in_flight: usize,
    /// Most connections at the same time.
    pub connections: usize,
    /// Makes what should not be guessed differ from others: numbers of first bytes, and of ports.
    pub seed: u64,
}

/// Where an IPv4 address is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ipv4 {
    /// There is none.
    Nowhere,
    /// A DHCP server knows.
    Dhcp,
    /// It is known.
    Fixed {
        /// The address.
        address: Ipv4Addr,
        /// The bits that are the same in the whole network.
        prefix: u8,
        /// Who knows the way to everybody else.
        router: Option<Ipv4Addr>,
        /// Who knows names.
        dns: Vec<IpAddr>,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ipv4: Ipv4::Dhcp,
            ipv6: true,
            receive: 32 * 1024,
            in_flight: 512 * 1024,
            connections: 1024,
            seed: 0,
        }
    }
}

/// How a port is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Most connections that are being opened. The oldest makes room for another.
    pub half_open: usize,
    /// Most that wait to be accepted. Further ones are not opened.
    pub waiting: usize,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            half_open: 64,
            waiting: 64,
        }
    }
}

/// What a DHCP server has lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The bits that are the same in the whole network.
    pub prefix: u8,
    /// Who knows the way to everybody else.
    pub router: Option<Ipv4Addr>,
    /// Who knows names.
    pub dns: Vec<Ipv4Addr>,
    /// Who has lent it.
    pub server: Ipv4Addr,
}

/// A stack at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The interface.
    pub interface: String,
    /// Its address on the link.
    pub mac: MacAddress,
    /// Most bytes of an IP packet.
    pub mtu: u16,
    /// Addresses, with the bits that are the same in the whole network.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Networks, and who knows the way there.
    pub routes: Vec<(IpAddr, u8, IpAddr)>,
    /// Who was heard of on the link.
    pub neighbours: Vec<(IpAddr, MacAddress)>,
    /// Who knows names.
    pub dns: Vec<IpAddr>,
    /// Whether a DHCP server is asked.
    pub uses_dhcp: bool,
    /// What it has lent.
    pub lease: Option<Lease>,
    /// What was done.
    pub counters: Counters,
}

/// What a stack has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that arrived.
    pub received: u64,
    /// Of these, frames with a wrong checksum, or that could not be read.
    pub damaged: u64,
    /// Frames that were handed to the card.
    pub sent: u64,
    /// Frames for which there was no room, that the card did not take, that waited in vain for a neighbour to be found, or
    /// whose source is no address of this machine any more.
    pub dropped: u64,
    /// Datagrams for which there was no room where those wait that were not read.
    pub overflowed: u64,
    /// Turns in which the stack was looked at.
    pub turns: u64,
    /// Connections that others have opened.
    pub accepted: u64,
    /// Connections that were opened from here.
    pub connected: u64,
    /// Connections that were being opened and made room for others.
    pub evicted: u64,
    /// Segments that would have opened a connection that there was no room for.
    pub refused: u64,
    /// Segments of data.
    pub segments: u64,
    /// Of these, those that the card makes several of.
    pub super_segments: u64,
    /// Segments that were sent once more.
    pub retransmitted: u64,
    /// Bytes of data that left from where they lay.
    pub referred_bytes: u64,
    /// Bytes of data that were copied on their way: those of short writes, and what a card could not be given.
    pub copied_bytes: u64,
    /// Segments that arrived and did not need the engine.
    pub fast: u64,
}

/// In which state a connection is (RFC 9293, 3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the standard's")]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// A connection, or a port that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// This end.
    pub local: SocketAddr,
    /// The other, if there is one.
    pub remote: Option<SocketAddr>,
    /// In which state it is.
    pub state: State,
    /// Bytes that arrived and were not read.
    pub unread: usize,
    /// Bytes that were written and are not acknowledged.
    pub unacknowledged: usize,
}
