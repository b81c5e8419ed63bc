//! Datagrams between ports and frames.
//!
//! The engine is not asked: it would look at all sockets for each, and at its tables for each. A datagram that arrives
//! for a port of a program is put there, and one that leaves gets the headers of the one before, if it goes to the same
//! address. What is for nobody's port, or for the engine's own, the engine gets.

use super::super::engine::Engine;
use super::super::neighbours::Waiting;
use super::super::segment::{Carried, ETHERNET};
use super::super::settings::SERVERS;
use super::super::slots::Id;
use super::UdpError;
use super::port::{DATAGRAMS, Known, Leaving};
use super::way::{Changes, UDP, Way};
use crate::dma::Owner;
use crate::net::{MacAddress, Offload, Outgoing};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::{Poll, Waker};
use smoltcp::iface;
use smoltcp::wire::{IpAddress, IpCidr};

/// A way is looked up again after so long: routers may have said something else (microseconds).
const BELIEVED: u64 = 1_000_000;

/// The ports of those who lend addresses, and who borrow them.
const DHCP: (u16, u16) = (67, 68);

/// The port of those who know names.
const DNS: u16 = 53;

impl Engine {
    /// A datagram has arrived. `false`: the engine is to look at it.
    #[inline(always)]
    pub(in crate::net::stack) fn datagram_arrives(
        &mut self,
        frame: &[u8],
        carried: &Carried,
    ) -> bool {
        let Some(packet) = frame.get(carried.payload.clone()) else {
            return false;
        };
        let Some((&[a, b, c, d, e, f, _, _], rest)) = packet.split_first_chunk::<UDP>() else {
            return false;
        };
        let source = u16::from_be_bytes([a, b]);
        let target = u16::from_be_bytes([c, d]);
        let len = u16::from_be_bytes([e, f]);
        let bound = self.ports.bound(target);
        let Some(port) = bound.and_then(|id| self.ports.get_mut(id)) else {
            return false;
        };
        // The engine has two sockets of its own.
        let from = IpAddr::from(carried.source);
        let is_lease = (source, target) == DHCP && self.dhcp.is_some() && from.is_ipv4();
        if is_lease {
            return false;
        }
        // A program may ask the same server, from a port of its own. Which ports the engine asks from, nobody knows: so
        // it looks, too, and says nothing if that is no answer to it.
        let mut is_name = source == DNS && self.questions > 0;
        is_name = is_name
            && self
                .dns_servers
                .iter()
                .take(SERVERS)
                .any(|server| *server == from);
        let datagram = usize::from(len)
            .checked_sub(UDP)
            .and_then(|len| rest.get(..len));
        let Some(datagram) = datagram else {
            self.counters.damaged += 1;
            return true;
        };
        let is_here = frame[0] & 1 == 1 || frame[..6] == self.card.properties().address.0;
        let known = Known::new(carried, self.changes);
        let is_known = known.is_some() && port.known == known;
        if is_here && (is_known || is_for_us(&self.iface, carried)) {
            let is_kept = port.arrived.put(SocketAddr::new(from, source), datagram);
            self.counters.overflowed += u64::from(!is_kept);
            port.wake_reader();
            port.known = known;
        }
        !is_name
    }

    /// Makes a frame of a datagram; it leaves in the next turn.
    pub(super) fn send_datagram(
        &mut self,
        from: Id,
        datagram: &[u8],
        to: SocketAddr,
        waker: &Waker,
    ) -> Poll<Result<(), UdpError>> {
        const UNREACHABLE: Poll<Result<(), UdpError>> = Poll::Ready(Err(UdpError::Unreachable));
        let headers = if to.is_ipv6() { 48 } else { 28 };
        if self.is_gone || to.port() == 0 || to.ip().is_unspecified() {
            return UNREACHABLE;
        }
        if datagram.len() + headers > usize::from(self.card.properties().mtu) {
            return Poll::Ready(Err(UdpError::Length));
        }
        let changes = Changes {
            addresses: self.changes,
            neighbours: self.neighbours.changes,
        };
        let Some(port) = self.ports.get_mut(from) else {
            return UNREACHABLE;
        };
        if port.leaving.len() >= DATAGRAMS {
            port.waits_to_write(waker);
            return Poll::Pending;
        }
        let is_same = port.way.as_ref().is_some_and(|way| {
            let is_believed = way.is_known && way.until > self.now;
            is_believed && way.changes == changes && way.to == to.ip()
        });
        if !is_same {
            let way = self.way(to.ip(), changes);
            if let Some(port) = self.ports.get_mut(from) {
                port.way = way;
            }
        }
        let Some(port) = self.ports.get_mut(from) else {
            return UNREACHABLE;
        };
        let Some(way) = &port.way else {
            return UNREACHABLE;
        };
        let mut frame = self.device.heads.empty(ETHERNET + 48 + datagram.len());
        let offloads = &self.card.properties().offloads;
        let ports = [port.number, to.port()];
        let checksum = way.frame(ports, datagram, offloads, &mut frame);
        match (way.is_known, way.hop) {
            (false, Some(hop)) => {
                let waiting = Waiting::Leaves(frame, checksum);
                self.neighbours.wanted.hold(hop, waiting);
            }
            _ => {
                port.leaving.push_back((frame, checksum));
                if !core::mem::replace(&mut port.is_listed, true) {
                    self.ports.sending.push_back(from);
                }
            }
        }
        self.call();
        Poll::Ready(Ok(()))
    }

    /// The way to an address; `None` if there is none.
    fn way(&mut self, to: IpAddr, changes: Changes) -> Option<Way> {
        let address = IpAddress::from(to);
        let from: IpAddr = self.iface.get_source_address(&address)?.into();
        if from == IpAddr::V6(Ipv6Addr::LOCALHOST) {
            return None;
        }
        let card = self.card.properties().address;
        let group = group(to).or_else(|| {
            let is_all = is_all(self.iface.ip_addrs(), address);
            is_all.then_some(MacAddress([0xff; 6]))
        });
        let hop = match group {
            Some(_) => None,
            None => Some(self.hop_to(to)?),
        };
        let mac = group.or_else(|| {
            let hop = hop?;
            self.neighbours.want(hop, self.now);
            self.neighbours.find(hop, self.now)
        });
        let mut way = Way::new(card, mac, from, to);
        (way.hop, way.changes) = (hop, changes);
        way.until = self.now + BELIEVED;
        Some(way)
    }

    /// Hands over what waits, as far as there is room.
    pub(in crate::net::stack) fn poll_datagrams(&mut self) {
        while self.card.room() > 0
            && let Some(next) = self.ports.left.pop_front()
        {
            self.datagram_leaves(next);
        }
        while let Some(id) = self.ports.sending.pop_front() {
            let room = self.card.room();
            let is_alone = self.ports.sending.is_empty();
            let Some(port) = self.ports.get_mut(id) else {
                continue;
            };
            if room == 0 {
                self.ports.sending.push_front(id);
                return;
            }
            // One of each in turn.
            let count = port.leaving.len().min(if is_alone { room } else { 1 });
            port.is_listed = port.leaving.len() > count;
            port.wake_writer();
            if port.is_listed {
                self.ports.sending.push_back(id);
            }
            for _ in 0..count {
                let port = self.ports.get_mut(id);
                if let Some(next) = port.and_then(|port| port.leaving.pop_front()) {
                    self.datagram_leaves(next);
                }
            }
        }
    }

    #[inline]
    fn datagram_leaves(&mut self, (frame, checksum): Leaving) {
        let offload = Offload {
            checksum,
            segmentation: None,
        };
        self.hand_over(Outgoing::new(frame.into_memory()).with_offload(offload));
    }
}

/// Whether a packet is for this machine, and comes from one that may send.
fn is_for_us(iface: &iface::Interface, carried: &Carried) -> bool {
    let (source, target, all) = (carried.source, carried.target, iface.ip_addrs());
    let is_ours = all.iter().any(|cidr| cidr.address() == target)
        || is_all(all, target)
        || target.is_multicast() && iface.has_multicast_group(target);
    let is_one = match source {
        IpAddress::Ipv4(_) => !source.is_multicast() && !is_all(all, source),
        IpAddress::Ipv6(_) => !source.is_multicast() && !source.is_unspecified(),
    };
    is_ours && is_one
}

/// Whether an address is that of all machines on the link.
fn is_all(addresses: &[IpCidr], address: IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(Ipv4Addr::BROADCAST) => true,
        IpAddress::Ipv4(address) => addresses.iter().any(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => cidr.broadcast() == Some(address),
            IpCidr::Ipv6(_) => false,
        }),
        IpAddress::Ipv6(_) => false,
    }
}

/// The card address of a group (RFC 1112, section 6.4, and RFC 2464, section 7).
fn group(of: IpAddr) -> Option<MacAddress> {
    match of {
        IpAddr::V4(address) if address.is_multicast() => {
            let [_, a, b, c] = address.octets();
            Some(MacAddress([1, 0, 0x5e, a & 0x7f, b, c]))
        }
        IpAddr::V6(address) if address.is_multicast() => {
            let [.., a, b, c, d] = address.octets();
            Some(MacAddress([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
