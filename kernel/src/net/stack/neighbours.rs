//! Who was heard of on the link.
//!
//! The engine has a table of its own, and asks for who is not in it (ARP), but only once a second, whoever it is. So a
//! few strangers who say that they are on the link, and are not, would keep it from ever asking for anybody else. Here
//! is kept who was heard of lately. Whoever speaks, is not among them and gets no answer at once is asked for, each
//! at most once a second; the engine hears of the answer, and need not ask.

use super::engine::Engine;
use super::segment::ETHERNET;
use crate::net::MacAddress;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv6Message, Icmpv6Packet, IpCidr, IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// Most that are remembered, as many as by the engine.
const MOST: usize = 64;

/// Who has not been heard of for so long may be forgotten by the engine, if there are many others (microseconds).
const LATELY: u64 = 1_000_000;

/// Most that are asked for and have not answered. The oldest makes room.
const ASKED: usize = 64;

/// After so long, they are asked for again.
const PAUSE: u64 = 1_000_000;

/// Who was heard of.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    known: BTreeMap<IpAddr, Known>,
    asked: VecDeque<(Ipv4Addr, u64)>,
}

#[derive(Debug)]
struct Known {
    mac: MacAddress,
    heard: u64,
}

impl Neighbours {
    /// Looks whether somebody introduces himself in this frame.
    pub(super) fn observe(&mut self, frame: &[u8], now: u64) -> bool {
        let Some((address, mac)) = introduction(frame) else {
            return false;
        };
        if address.is_unspecified() || mac.is_multicast() {
            return false;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&address) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(address, Known { mac, heard: now });
        true
    }

    /// Whether somebody is to be asked for. He counts as asked from now on.
    fn seeks(&mut self, address: Ipv4Addr, now: u64) -> bool {
        let known = self.known.get(&IpAddr::V4(address));
        if known.is_some_and(|known| known.heard + LATELY > now) {
            return false;
        }
        let is_asked = |(asked, at): &(Ipv4Addr, u64)| *asked == address && at + PAUSE > now;
        if self.asked.iter().any(is_asked) {
            return false;
        }
        self.asked.retain(|(asked, _)| *asked != address);
        if self.asked.len() >= ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((address, now));
        true
    }

    pub(super) fn list(&self) -> Vec<(IpAddr, MacAddress)> {
        let known = self.known.iter();
        known
            .map(|(address, known)| (*address, known.mac))
            .collect()
    }
}

impl Engine {
    /// Asks for whoever has sent the frame in the device, or who leads there, if he was not heard of lately.
    pub(super) fn seek(&mut self, now: u64) {
        let Some(speaker) = speaker(self.device.bytes(), self.card.properties().address) else {
            return;
        };
        let Some(ours) = self.iface.ipv4_addr() else {
            return;
        };
        let is_near = self.iface.ip_addrs().iter().any(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => cidr.contains_addr(&speaker),
            IpCidr::Ipv6(_) => false,
        });
        let hop = match is_near {
            true => Some(speaker),
            false => {
                let route = self.iface.routes().get_default_ipv4_route();
                route.map(|route| match route.via_router {
                    smoltcp::wire::IpAddress::Ipv4(router) => router,
                    smoltcp::wire::IpAddress::Ipv6(_) => Ipv4Addr::UNSPECIFIED,
                })
            }
        };
        let Some(hop) = hop.filter(|hop| *hop != ours && !hop.is_unspecified()) else {
            return;
        };
        if self.neighbours.seeks(hop, now) {
            let frame = question(self.card.properties().address, ours, hop);
            self.transmit(frame);
        }
    }
}

/// Who has sent a packet of IPv4 to this card alone.
fn speaker(frame: &[u8], card: MacAddress) -> Option<Ipv4Addr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let is_ours = ethernet.dst_addr().0 == card.0;
    if !is_ours || ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let source = Ipv4Packet::new_checked(ethernet.payload()).ok()?.src_addr();
    let is_one = !source.is_unspecified() && !source.is_broadcast() && !source.is_multicast();
    is_one.then_some(source)
}

/// Who has this address?
fn question(card: MacAddress, ours: Ipv4Addr, whose: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(card.0),
        source_protocol_addr: ours,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: whose,
    };
    let mut frame = alloc::vec![0; ETHERNET + repr.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(EthernetAddress::BROADCAST);
    ethernet.set_src_addr(EthernetAddress(card.0));
    ethernet.set_ethertype(EthernetProtocol::Arp);
    repr.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    frame
}

fn introduction(frame: &[u8]) -> Option<(IpAddr, MacAddress)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
            let ArpRepr::EthernetIpv4 {
                source_hardware_addr,
                source_protocol_addr,
                ..
            } = ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            Some((
                source_protocol_addr.into(),
                MacAddress(source_hardware_addr.0),
            ))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            if packet.next_header() != IpProtocol::Icmpv6 {
                return None;
            }
            let message = Icmpv6Packet::new_checked(packet.payload()).ok()?.msg_type();
            let introduces = matches!(
                message,
                Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert
            );
            let mac = MacAddress(ethernet.src_addr().0);
            introduces.then(|| (packet.src_addr().into(), mac))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::corpus::{Target, by_hand};

    const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0x66);

    #[test]
    fn who_is_not_known_is_asked_for_once_a_second_and_others_at_once() {
        let mut neighbours = Neighbours::default();
        assert!(neighbours.seeks(NEAR, 5));
        assert!(!neighbours.seeks(NEAR, PAUSE));
        assert!(neighbours.seeks(Ipv4Addr::new(10, 0, 0, 7), PAUSE));
        assert!(neighbours.seeks(NEAR, PAUSE + 5));
        let cases = by_hand(&Target::EXAMPLE);
        let name = "ARP: an answer that nobody asked for";
        let case = cases.iter().find(|case| case.name == name).unwrap();
        assert!(neighbours.observe(&case.frames[0], PAUSE * 2));
        assert!(!neighbours.seeks(NEAR, PAUSE * 2 + LATELY - 1));
        assert!(neighbours.seeks(NEAR, PAUSE * 2 + LATELY));
    }

    #[test]
    fn strangers_fill_no_more_than_there_is() {
        let mut neighbours = Neighbours::default();
        for number in 0..1000 {
            assert!(neighbours.seeks(Ipv4Addr::from_bits(number + 1), number.into()));
        }
        assert_eq!(neighbours.asked.len(), ASKED);
        let cases = by_hand(&Target::EXAMPLE);
        let all = cases.iter().flat_map(|case| &case.frames);
        for (number, frame) in all.enumerate() {
            neighbours.observe(frame, number as u64);
        }
        assert_eq!(neighbours.list().len(), MOST);
    }
}
