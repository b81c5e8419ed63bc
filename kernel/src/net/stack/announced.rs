//! What routers announce, looked at before the engine sees it.
//!
//! A router says of a prefix how many of its 128 bits are the same in the whole network (RFC 4861, section 4.6.2), in a
//! byte. The engine believes that there are no more than 128, and panics if there are. Anybody on the link can say
//! so, in one frame. So a frame that does is no frame.

use super::segment::ETHERNET;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Message, IpProtocol, Ipv6ExtHeader, Ipv6Packet,
};

/// Where options start in the message of a router.
const OPTIONS: usize = 16;

/// The option that has a prefix.
const PREFIX: u8 = 3;

/// Whether a router announces a prefix of more bits than an address has.
pub(super) fn is_absurd(frame: &[u8]) -> bool {
    let message = message(frame);
    let is_router = |message: &&[u8]| message.first() == Some(&Icmpv6Message::RouterAdvert.into());
    let options = message.filter(is_router).and_then(|all| all.get(OPTIONS..));
    let mut left = options.unwrap_or(&[]);
    while let [kind, words, bits, ..] = *left {
        if kind == PREFIX && bits > 128 {
            return true;
        }
        // Behind one without a length is nothing.
        match left.get(usize::from(words) * 8..) {
            Some(rest) if words > 0 => left = rest,
            _ => break,
        }
    }
    false
}

/// The message of ICMPv6 in a frame, also behind the one extension that the engine follows.
fn message(frame: &[u8]) -> Option<&[u8]> {
    let is_ipv6 = EthernetFrame::new_checked(frame).ok()?.ethertype() == EthernetProtocol::Ipv6;
    let packet = Ipv6Packet::new_checked(frame.get(ETHERNET..).filter(|_| is_ipv6)?).ok()?;
    let payload = packet.payload();
    match packet.next_header() {
        IpProtocol::Icmpv6 => Some(payload),
        IpProtocol::HopByHop => {
            let extension = Ipv6ExtHeader::new_checked(payload).ok()?;
            let len = (usize::from(extension.header_len()) + 1) * 8;
            let is_it = extension.next_header() == IpProtocol::Icmpv6;
            payload.get(len..).filter(|_| is_it)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::corpus::{Target, by_hand};
    use std::vec::Vec;

    #[test]
    fn only_prefixes_that_are_too_long_are_absurd() {
        let cases = by_hand(&Target::EXAMPLE);
        let is_absurd = |name: &str| {
            let case = cases.iter().find(|case| case.name == name).unwrap();
            let all: Vec<bool> = case.frames.iter().map(|frame| is_absurd(frame)).collect();
            assert!(all.iter().all(|one| *one == all[0]));
            all[0]
        };
        for name in [
            "router: a prefix of 129 bits",
            "router: a prefix of 255 bits",
            "router: a prefix of 255 bits, behind another",
            "router: a prefix of 255 bits, behind a hop's extension",
        ] {
            assert!(is_absurd(name), "{name}");
        }
        for name in [
            "router: a prefix of 63 bits",
            "router: an option of no length",
            "router: that is none",
            "router: packets, too short",
            "router: more prefixes than addresses",
            "neighbour: a prefix of 8 bytes",
            "IPv6: cut",
            "an unknown type",
        ] {
            assert!(!is_absurd(name), "{name}");
        }
    }
}
