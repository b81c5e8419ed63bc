//! A card that changes its address, or is somewhere else under the same one.
//!
//! A machine that was moved to another host has its card at another wire, and switches still send its frames to the old
//! one until they hear of it from there. Only the card knows that, and only the stack knows the addresses that others
//! look for. So the card wishes for an announcement, and the stack says to everybody, unasked, which addresses are
//! here: for IPv4 a question for its own address (RFC 5227, section 2.3), for IPv6 an answer that nobody asked for
//! (RFC 4861, section 7.2.6), and each is said once for each wish.

use super::engine::{Engine, hardware};
use super::segment::ETHERNET;
use crate::net::MacAddress;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::task::{Context, Poll, Waker};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpCidr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr,
};

/// All nodes of the link (RFC 4291, section 2.7.1), and their address of Ethernet.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);

/// What others look at to know that it comes from this link (RFC 4861, section 7.1.2).
const HOP_LIMIT: u8 = 255;

impl Engine {
    /// The card's address may change, and the card may be somewhere else.
    pub(super) fn follow_card(&mut self, caller: &Waker) {
        let Some(waker) = self.bell.rung(caller) else {
            return;
        };
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(changes) = self
            .card
            .interface()
            .clone()
            .poll_changed(self.card_changes, &mut cx)
        {
            if changes == self.card_changes {
                return;
            }
            self.card_changes = changes;
            let address = self.card.interface().properties().address;
            if let Some(hardware) = hardware(address) {
                self.iface.set_hardware_addr(hardware);
                if self.card.set_address(address) {
                    // Headers that were written for datagrams have the old one.
                    self.changes += 1;
                }
            }
            let wished = self.card.interface().announcements();
            if core::mem::replace(&mut self.announced, wished) != wished {
                self.announce();
            }
        }
    }

    /// Says to everybody on the link which addresses are here.
    fn announce(&mut self) {
        let card = self.card.interface().properties().address;
        for cidr in self.iface.ip_addrs().to_vec() {
            let frame = match cidr {
                IpCidr::Ipv4(cidr) => arp(card, cidr.address()),
                IpCidr::Ipv6(cidr) => advertisement(card, cidr.address()),
            };
            self.transmit(frame);
        }
    }
}

/// A frame with a header of Ethernet, and so many bytes behind it.
fn frame(card: MacAddress, to: EthernetAddress, kind: EthernetProtocol, bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + bytes];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(to);
    ethernet.set_src_addr(EthernetAddress(card.0));
    ethernet.set_ethertype(kind);
    frame
}

/// Who has our own address? Nobody else does, and all hear who asks.
fn arp(card: MacAddress, ours: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(card.0),
        source_protocol_addr: ours,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: ours,
    };
    let to = EthernetAddress::BROADCAST;
    let mut frame = frame(card, to, EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET..]));
    frame
}

/// Our address is here, and whoever has heard otherwise is to forget that.
fn advertisement(card: MacAddress, ours: Ipv6Addr) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: ours,
        lladdr: Some(HardwareAddress::Ethernet(EthernetAddress(card.0)).into()),
    });
    let packet = Ipv6Repr {
        src_addr: ours,
        dst_addr: ALL_NODES,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let bytes = packet.buffer_len() + message.buffer_len();
    let mut frame = frame(card, ALL_NODES_MAC, EthernetProtocol::Ipv6, bytes);
    let mut ip = Ipv6Packet::new_unchecked(&mut frame[ETHERNET..]);
    packet.emit(&mut ip);
    message.emit(
        &ours,
        &ALL_NODES,
        &mut Icmpv6Packet::new_unchecked(ip.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::Icmpv6Message;

    const CARD: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

    #[test]
    fn a_question_for_the_own_address_is_for_all() {
        let frame = arp(CARD, Ipv4Addr::new(10, 1, 2, 3));
        let expected = [
            &[0xff; 6][..],
            &CARD.0,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &CARD.0,
            &[10, 1, 2, 3],
            &[0; 6],
            &[10, 1, 2, 3],
        ];
        assert_eq!(frame, expected.concat());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_right_by_its_checksum() {
        let ours = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 7);
        let frame = advertisement(CARD, ours);
        assert_eq!(frame[..6], ALL_NODES_MAC.0);
        let ip = Ipv6Packet::new_checked(&frame[ETHERNET..]).unwrap();
        assert_eq!((ip.src_addr(), ip.dst_addr()), (ours, ALL_NODES));
        assert_eq!(ip.hop_limit(), 255);
        let message = Icmpv6Packet::new_checked(ip.payload()).unwrap();
        assert!(message.verify_checksum(&ours, &ALL_NODES));
        assert_eq!(message.msg_type(), Icmpv6Message::NeighborAdvert);
        // Override, and neither a router's nor an answer; the target, and the card's address as option 2.
        let bytes = &ip.payload()[4..];
        assert_eq!(bytes[..4], [0x20, 0, 0, 0]);
        assert_eq!(bytes[4..20], ours.octets());
        assert_eq!(bytes[20..], [&[2, 1][..], &CARD.0].concat());
    }
}
