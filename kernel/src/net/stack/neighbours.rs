//! Who was heard of on the link, for people who ask. The engine has a table of its own.

use crate::net::MacAddress;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv6Packet,
};

/// Most that are remembered.
const MOST: usize = 64;

/// Who was heard of.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<IpAddr, MacAddress>);

impl Neighbours {
    /// Looks whether somebody introduces himself in this frame.
    pub(super) fn observe(&mut self, frame: &[u8]) -> bool {
        let Some((address, mac)) = introduction(frame) else {
            return false;
        };
        if address.is_unspecified() || mac.is_multicast() {
            return false;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.pop_first();
        }
        self.0.insert(address, mac);
        true
    }

    pub(super) fn list(&self) -> Vec<(IpAddr, MacAddress)> {
        self.0
            .iter()
            .map(|(address, mac)| (*address, *mac))
            .collect()
    }
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
