//! The way of datagrams to somebody, found once: its headers, of which only lengths and sums differ from one to the next.

use super::super::segment::ETHERNET;
use super::super::sums::{self, folded, sum};
use crate::net::{Checksum, MacAddress, Offloads};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes of a UDP header.
pub(super) const UDP: usize = 8;

/// The protocol's number in IP.
const PROTOCOL: u8 = 17;

/// Routers that a packet may pass.
const LIFE: u8 = 64;

/// How often what a way depends on has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) addresses: u64,
    pub(super) neighbours: u64,
}

/// The headers of datagrams to an address, with room for those of UDP.
#[derive(Debug)]
pub(in crate::net::stack) struct Way {
    pub(super) to: IpAddr,
    /// Whom it is handed to, if it is one machine.
    pub(super) hop: Option<IpAddr>,
    /// Whether it is known where he is: his address is in the headers.
    pub(super) is_known: bool,
    /// Which changes it knows of, and how long it is believed.
    pub(super) changes: Changes,
    pub(super) until: u64,
    headers: [u8; ETHERNET + 40 + UDP],
    /// Where that of UDP starts.
    start: usize,
    /// Sums of what is the same in each: of the header of IPv4, and of the pseudo-header.
    header: u32,
    pseudo: u32,
}

impl Way {
    /// The way from one address to another, of the same kind.
    pub(super) fn new(
        card: MacAddress,
        to_card: Option<MacAddress>,
        from: IpAddr,
        to: IpAddr,
    ) -> Self {
        let mut headers = [0; ETHERNET + 40 + UDP];
        if let Some(mac) = to_card {
            headers[..6].copy_from_slice(&mac.0);
        }
        headers[6..12].copy_from_slice(&card.0);
        let ip = &mut headers[12..];
        let (start, addresses) = match (from, to) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                ip[..2].copy_from_slice(&[0x86, 0xdd]);
                ip[2] = 0x60;
                (ip[8], ip[9]) = (PROTOCOL, LIFE);
                ip[10..26].copy_from_slice(&from.octets());
                ip[26..42].copy_from_slice(&to.octets());
                (ETHERNET + 40, 22..ETHERNET + 40)
            }
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                ip[..2].copy_from_slice(&[8, 0]);
                // It is whole, and stays so: then it needs no number (RFC 6864).
                (ip[2], ip[8], ip[10], ip[11]) = (0x45, 0x40, LIFE, PROTOCOL);
                ip[14..18].copy_from_slice(&from.octets());
                ip[18..22].copy_from_slice(&to.octets());
                (ETHERNET + 20, 26..ETHERNET + 20)
            }
            // Nobody asks for such a way.
            _ => (ETHERNET, 0..0),
        };
        Self {
            to,
            hop: None,
            is_known: to_card.is_some(),
            changes: Changes::default(),
            until: 0,
            header: sum(&headers[ETHERNET..start]),
            pseudo: sum(&headers[addresses]) + u32::from(PROTOCOL),
            headers,
            start,
        }
    }

    /// Makes a frame of a datagram, and says what the card is to do with it.
    pub(super) fn frame(
        &self,
        ports: [u16; 2],
        datagram: &[u8],
        offloads: &Offloads,
        frame: &mut Vec<u8>,
    ) -> Option<Checksum> {
        let (start, mut head) = (self.start, self.headers);
        let len = (UDP + datagram.len()) as u16;
        if start == ETHERNET + 20 {
            let all = len + 20;
            let sum = !folded(self.header + u32::from(all));
            head[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&all.to_be_bytes());
            head[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        } else {
            head[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&len.to_be_bytes());
        }
        let ([a, b], [c, d]) = (ports[0].to_be_bytes(), ports[1].to_be_bytes());
        let [e, f] = len.to_be_bytes();
        head[start..start + 6].copy_from_slice(&[a, b, c, d, e, f]);
        frame.extend_from_slice(&head[..start + UDP]);
        frame.extend_from_slice(datagram);
        let pseudo = folded(self.pseudo + u32::from(len));
        let place = Checksum {
            start: start as u16,
            field: sums::UDP,
        };
        // Without a body, nothing is out of reach.
        sums::fill(frame, None, place, pseudo, offloads).unwrap_or(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::segment;
    use super::*;
    use crate::net::Checked;
    use proptest::prelude::*;
    use smoltcp::wire::*;
    use std::vec;

    const CARD: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);
    const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    proptest! {
        /// Another's eyes see in the frame what was put into it, and all sums are right.
        #[test]
        fn a_frame_is_what_it_says(
            is_v6 in any::<bool>(), a in any::<[u8; 16]>(), b in any::<[u8; 16]>(),
            ports in any::<[u16; 2]>(), datagram in prop::collection::vec(any::<u8>(), 0..1472),
        ) {
            let [from, to]: [IpAddr; 2] = [a, b].map(|bytes| match is_v6 {
                true => bytes.into(),
                false => [bytes[0], bytes[1], bytes[2], bytes[3]].into(),
            });
            let way = Way::new(CARD, Some(OTHER), from, to);
            let mut frames = [vec![], vec![]];
            let left = way.frame(ports, &datagram, &Offloads::NONE, &mut frames[0]);
            prop_assert_eq!(left, None);
            let carried = segment::carried(&frames[0]).unwrap();
            prop_assert!(segment::is_header_right(&frames[0], &carried));
            prop_assert!(sums::is_right(&frames[0], &carried, Checked::No));
            let ethernet = EthernetFrame::new_checked(&frames[0]).unwrap();
            prop_assert_eq!((ethernet.dst_addr().0, ethernet.src_addr().0), (OTHER.0, CARD.0));
            prop_assert_eq!((carried.source, carried.target), (from.into(), to.into()));
            prop_assert_eq!((carried.protocol, carried.payload.end), (IpProtocol::Udp, frames[0].len()));
            let packet = UdpPacket::new_checked(&frames[0][carried.payload.clone()]).unwrap();
            prop_assert_eq!([packet.src_port(), packet.dst_port()], ports);
            prop_assert_eq!(packet.payload(), &datagram[..]);
            prop_assert_ne!(packet.checksum(), 0);
            // A card fills in what is left to it, and comes to the same.
            let left = way.frame(ports, &datagram, &Offloads::ALL, &mut frames[1]);
            let (start, field) = (carried.payload.start, 6);
            prop_assert_eq!(left, Some(Checksum { start: start as u16, field }));
            let sum = match !checksum::data(&frames[1][start..]) {
                0 => !0,
                sum => sum,
            };
            frames[1][start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
            prop_assert_eq!(&frames[0], &frames[1]);
        }
    }
}
