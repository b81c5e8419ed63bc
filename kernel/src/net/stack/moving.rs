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

    /// Says to everybody on the link which addresses are here. It is said once, so it waits also where others are not let
    /// wait; but not behind the same.
    fn announce(&mut self) {
        if self.card.is_overfull() {
            return;
        }
        let card = self.card.interface().properties().address;
        for cidr in self.iface.ip_addrs().to_vec() {
            let frame = match cidr {
                IpCidr::Ipv4(cidr) => arp(card, cidr.address()),
                IpCidr::Ipv6(cidr) => advertisement(card, cidr.address()),
            };
            self.transmit_anyway(frame);
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
    use crate::cores::CoreId;
    use crate::dma::Memory;
    use crate::lock::Mutex;
    use crate::net::stack::bell::Bell;
    use crate::net::stack::tests::options;
    use crate::net::{
        Counters, Interface, Link, Offloads, Outgoing, Properties, Received, Reception, Refusal,
        Refused, Sent, Wire,
    };
    use alloc::sync::Arc;
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use smoltcp::wire::Icmpv6Message;

    /// A card that may have no room, and that notes what it sends.
    struct Card {
        wire: Arc<Wire>,
        is_full: AtomicBool,
        moves: AtomicU64,
        sent: Mutex<Vec<Vec<u8>>>,
    }

    impl Interface for Card {
        fn name(&self) -> &str {
            self.wire.name()
        }
        fn properties(&self) -> Properties {
            self.wire.properties()
        }
        fn link(&self) -> Link {
            self.wire.link()
        }
        fn cores(&self) -> Vec<CoreId> {
            self.wire.cores()
        }
        fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>> {
            self.wire.supply(memory)
        }
        fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
            self.wire.poll_receive(cx)
        }
        fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>> {
            if self.is_full.load(Ordering::Relaxed) {
                let (what, why) = (frame, Refusal::Full);
                return Err(Refused { what, why });
            }
            let mut bytes = vec![0; frame.head.len()];
            frame.head.copy_to(0, &mut bytes).unwrap();
            self.sent.lock().push(bytes);
            Ok(())
        }
        fn poll_sent(&self, _: &mut Context<'_>) -> Poll<Option<Sent>> {
            Poll::Pending
        }
        fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
        fn flush(&self) {}
        fn set_reception(&self, _: Reception) {}
        fn announcements(&self) -> u64 {
            self.moves.load(Ordering::Relaxed)
        }
        fn poll_changed(&self, seen: u64, _: &mut Context<'_>) -> Poll<u64> {
            match self.announcements() {
                now if now == seen => Poll::Pending,
                now => Poll::Ready(now),
            }
        }
        fn counters(&self) -> Counters {
            self.wire.counters()
        }
    }

    /// A card is often moved while it has much to send. What waits for it to have room is all that it can take, and
    /// what is said once must not be lost.
    #[test]
    fn an_announcement_waits_for_room_behind_everything_else() {
        let [wire, _other] = Wire::pair(1500, Offloads::NONE);
        let mac = wire.properties().address;
        let card = Arc::new(Card {
            wire,
            is_full: AtomicBool::new(true),
            moves: AtomicU64::new(0),
            sent: Mutex::new(Vec::new()),
        });
        let mut engine = Engine::new(card.clone(), options(0), 0).unwrap();
        let addresses = engine.iface.ip_addrs().to_vec();
        let ours = addresses.iter().find_map(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => Some(cidr.address()),
            IpCidr::Ipv6(_) => None,
        });
        let question = arp(mac, ours.unwrap());
        while engine.card.room() > 0 {
            engine.transmit(vec![0; 60]);
        }
        card.moves.store(1, Ordering::Relaxed);
        let mut cx = Context::from_waker(Waker::noop());
        engine.poll(0, &mut cx);
        assert!(card.sent.lock().is_empty());
        // A card that asks again and again gets no more memory for that.
        for moves in 2..100 {
            card.moves.store(moves, Ordering::Relaxed);
            engine.bell = Bell::default();
            engine.poll(0, &mut cx);
            assert_eq!(engine.announced, moves);
        }
        card.is_full.store(false, Ordering::Relaxed);
        engine.poll(0, &mut cx);
        let sent = card.sent.lock();
        assert_eq!(sent.iter().filter(|frame| **frame == question).count(), 1);
    }

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
