//! Questions for neighbours, and frames in which they introduce themselves: ARP (RFC 826) on IPv4, neighbour
//! discovery (RFC 4861) on IPv6.

use super::super::segment::ETHERNET;
use crate::net::MacAddress;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::phy::{ChecksumCapabilities, Medium};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

/// Messages of neighbours come from the link itself, and say so with the longest life that a packet can have.
const FROM_HERE: u8 = 255;

/// Somebody says where he is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) address: IpAddr,
    pub(super) mac: MacAddress,
    /// Whom he says it to, if he asks for him or answers him.
    pub(super) to: Option<IpAddr>,
    /// Whether it counts against what others have said before. So does everything but an answer of IPv6 that says that it
    /// does not: of somebody who answers for another, or of several who have the same address (RFC 4861, section 7.2.4).
    pub(super) overrides: bool,
}

/// What a frame says of who has sent it.
pub(super) fn introduction(frame: &[u8]) -> Option<Introduction> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let said = match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(ethernet.payload()),
        EthernetProtocol::Ipv6 => discovery(ethernet.payload()),
        _ => None,
    };
    said.filter(|said| {
        let is_one = !said.address.is_unspecified() && !said.address.is_multicast();
        is_one && !said.mac.is_multicast() && said.mac.0 != [0; 6]
    })
}

fn arp(bytes: &[u8]) -> Option<Introduction> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let is_known = matches!(operation, ArpOperation::Request | ArpOperation::Reply);
    is_known.then(|| Introduction {
        address: source_protocol_addr.into(),
        mac: MacAddress(source_hardware_addr.0),
        to: Some(target_protocol_addr.into()),
        overrides: true,
    })
}

fn discovery(bytes: &[u8]) -> Option<Introduction> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    if packet.next_header() != IpProtocol::Icmpv6 || packet.hop_limit() != FROM_HERE {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let (source, target) = (packet.src_addr(), packet.dst_addr());
    let checksums = ChecksumCapabilities::default();
    let (address, raw, to, overrides) =
        match Icmpv6Repr::parse(&source, &target, &message, &checksums) {
            Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
                target_addr,
                lladdr,
            })) => (source, lladdr?, Some(target_addr.into()), true),
            Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags,
                target_addr,
                lladdr,
            })) => {
                let overrides = flags.contains(NdiscNeighborFlags::OVERRIDE);
                (target_addr, lladdr?, None, overrides)
            }
            _ => return None,
        };
    let HardwareAddress::Ethernet(mac) = raw.parse(Medium::Ethernet).ok()?;
    Some(Introduction {
        address: address.into(),
        mac: MacAddress(mac.0),
        to,
        overrides,
    })
}

/// Who has sent a packet to this card alone.
pub(super) fn speaker(frame: &[u8], card: MacAddress) -> Option<IpAddr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.dst_addr().0 != card.0 {
        return None;
    }
    let source: IpAddr = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            packet.src_addr().into()
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            packet.src_addr().into()
        }
        _ => return None,
    };
    let is_all = source == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!is_all && !source.is_unspecified() && !source.is_multicast()).then_some(source)
}

/// Whether a frame asks for an echo, so that whoever has sent it waits for what comes back.
pub(super) fn is_echo(frame: &[u8]) -> bool {
    let kind = match frame.get(12..14) {
        Some([8, 0]) if frame.get(23) == Some(&1) => {
            let header = frame.get(ETHERNET).map(|first| usize::from(first & 15) * 4);
            frame.get(ETHERNET + header.unwrap_or(0))
        }
        Some([0x86, 0xdd]) if frame.get(20) == Some(&58) => frame.get(54),
        _ => None,
    };
    matches!(
        (kind, frame.get(13)),
        (Some(8), Some(0)) | (Some(128), Some(0xdd))
    )
}

/// Who has this address?
pub(super) fn question(card: MacAddress, ours: IpAddr, whose: IpAddr) -> Option<Vec<u8>> {
    match (ours, whose) {
        (IpAddr::V4(ours), IpAddr::V4(whose)) => Some(arp_question(card, ours, whose)),
        (IpAddr::V6(ours), IpAddr::V6(whose)) => Some(solicitation(card, ours, whose)),
        _ => None,
    }
}

fn arp_question(card: MacAddress, ours: Ipv4Addr, whose: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(card.0),
        source_protocol_addr: ours,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: whose,
    };
    let mut frame = vec![0; ETHERNET + repr.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(EthernetAddress::BROADCAST);
    ethernet.set_src_addr(EthernetAddress(card.0));
    ethernet.set_ethertype(EthernetProtocol::Arp);
    repr.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    frame
}

fn solicitation(card: MacAddress, ours: Ipv6Addr, whose: Ipv6Addr) -> Vec<u8> {
    // Only those hear of it whose addresses end like that (RFC 4291, section 2.7.1).
    let [.., a, b, c] = whose.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let solicits = NdiscRepr::NeighborSolicit {
        target_addr: whose,
        lladdr: Some(RawHardwareAddress::from(EthernetAddress(card.0))),
    };
    let message = Icmpv6Repr::Ndisc(solicits);
    let ip = Ipv6Repr {
        src_addr: ours,
        dst_addr: group,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: FROM_HERE,
    };
    let headers = ETHERNET + ip.buffer_len();
    let mut frame = vec![0; headers + message.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(EthernetAddress([0x33, 0x33, 0xff, a, b, c]));
    ethernet.set_src_addr(EthernetAddress(card.0));
    ethernet.set_ethertype(EthernetProtocol::Ipv6);
    ip.emit(&mut Ipv6Packet::new_unchecked(ethernet.payload_mut()));
    let checksums = ChecksumCapabilities::default();
    let mut packet = Icmpv6Packet::new_unchecked(&mut frame[headers..]);
    message.emit(&ours, &group, &mut packet, &checksums);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

    #[test]
    fn who_asks_says_where_he_is_and_whom_he_asks_for() {
        for (ours, whose) in [("10.0.0.7", "10.0.0.9"), ("fe80::7", "fe80::12:3456")] {
            let (ours, whose) = (ours.parse().unwrap(), whose.parse().unwrap());
            let mut frame = question(CARD, ours, whose).unwrap();
            let said = Introduction {
                address: ours,
                mac: CARD,
                to: Some(whose),
                overrides: true,
            };
            assert_eq!(introduction(&frame), Some(said));
            assert!(frame[0] & 1 == 1 && speaker(&frame, CARD).is_none());
            // From somewhere else, or damaged on the way.
            if ours.is_ipv6() {
                assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
                frame[21] = 64;
                assert_eq!(introduction(&frame), None);
                frame[21] = 255;
                frame[60] ^= 1;
                assert_eq!(introduction(&frame), None);
            }
        }
    }
}
