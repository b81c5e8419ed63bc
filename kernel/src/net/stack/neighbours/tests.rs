//! Who is remembered, and who is asked for.

use super::*;
use crate::net::corpus::{Target, by_hand};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};
use std::vec;

const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0x66));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const PAUSE: u64 = searches::PAUSE;

#[test]
fn who_speaks_is_asked_for_once_a_second_and_others_at_once() {
    let mut neighbours = Neighbours::default();
    let mut seeks = |address, now| {
        neighbours.seek(address, now);
        neighbours.due(now) == Some(address)
    };
    assert!(seeks(NEAR, 5));
    assert!(!seeks(NEAR, PAUSE));
    assert!(seeks(FAR, PAUSE));
    assert!(!seeks(NEAR, PAUSE + 4));
    // The search is over.
    assert!(!seeks(NEAR, PAUSE + 5));
    assert!(seeks(NEAR, PAUSE + 6));
    let cases = by_hand(&Target::EXAMPLE);
    let name = "ARP: an answer that nobody asked for";
    let case = cases.iter().find(|case| case.name == name).unwrap();
    let said = asking::introduction(&case.frames[0]).unwrap();
    assert_eq!(said.address, NEAR);
    let later = 5 * PAUSE;
    assert!(neighbours.learn(&said, later));
    let mut seeks = |now| {
        neighbours.seek(NEAR, now);
        neighbours.strangers.due(now).is_some()
    };
    assert!(!seeks(later + LATELY - 1));
    assert!(seeks(later + LATELY));
}

#[test]
fn strangers_fill_no_more_than_there_is_and_take_no_room_from_others() {
    let mut neighbours = Neighbours::default();
    neighbours.want(FAR, 0);
    assert_eq!(neighbours.due(0), Some(FAR));
    for number in 0..1000 {
        neighbours.seek(Ipv4Addr::from_bits(number + 1).into(), 0);
    }
    assert_eq!(neighbours.strangers.len(), searches::MOST);
    assert_eq!(neighbours.wanted.due(PAUSE), Some(FAR));
    let cases = by_hand(&Target::EXAMPLE);
    let all = cases.iter().flat_map(|case| &case.frames);
    for (number, frame) in all.enumerate() {
        if let Some(said) = asking::introduction(frame) {
            neighbours.learn(&said, number as u64);
        }
    }
    assert_eq!(neighbours.list().len(), MOST);
    assert!(neighbours.changes > 0);
}

/// An answer of IPv6, as it is on the wire: who says that he is where.
fn answer(flags: NdiscNeighborFlags, mac: [u8; 6]) -> Introduction {
    let ours = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags,
        target_addr: ours,
        lladdr: Some(RawHardwareAddress::from(EthernetAddress(mac))),
    });
    let ip = Ipv6Repr {
        src_addr: ours,
        dst_addr: ours,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut frame = vec![0; 54 + message.buffer_len()];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    let mut packet = Icmpv6Packet::new_unchecked(&mut frame[54..]);
    message.emit(&ours, &ours, &mut packet, &ChecksumCapabilities::default());
    asking::introduction(&frame).expect("it is whole")
}

#[test]
fn an_answer_that_does_not_override_takes_nobodys_place_and_is_a_reason_to_ask() {
    let (here, there) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let none = NdiscNeighborFlags::SOLICITED;
    let overrides = NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE;
    let whom = answer(none, here).address;
    let mut neighbours = Neighbours::default();
    let is_at = |neighbours: &Neighbours, now| neighbours.find(whom, now).map(|mac| mac.0);
    // Whoever is not known is where the first answer says.
    assert!(neighbours.learn(&answer(none, here), 5));
    assert_eq!(is_at(&neighbours, 6), Some(here));
    neighbours.want(whom, 6);
    assert_eq!(neighbours.due(6), None, "it was just heard of");
    assert!(!neighbours.learn(&answer(none, there), 7));
    assert_eq!((is_at(&neighbours, 7), neighbours.changes), (Some(here), 0));
    neighbours.want(whom, 8);
    assert_eq!(neighbours.due(8), Some(whom), "it is doubtful");
    // It answers.
    assert!(neighbours.learn(&answer(none, here), 9));
    neighbours.wanted.found(whom);
    neighbours.want(whom, 10);
    assert_eq!(neighbours.due(10), None);
    // One that does override moves it.
    assert!(neighbours.learn(&answer(overrides, there), 11));
    assert_eq!(
        (is_at(&neighbours, 11), neighbours.changes),
        (Some(there), 1)
    );
    // Doubt makes nobody older, and who has not been heard of for long is as one who is not known.
    assert!(!neighbours.learn(&answer(none, here), 10 + LIFE));
    assert!(neighbours.learn(&answer(none, here), 11 + LIFE));
    assert_eq!(is_at(&neighbours, 11 + LIFE), Some(here));
}
