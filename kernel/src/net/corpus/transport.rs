//! TCP and UDP.

use super::Case;
use super::build::{IP, L4, TCP, Target, UDP, changed, damaged, ipv4, syn, udp};
use alloc::vec;
use alloc::vec::Vec;

/// Where things lie in a header of TCP.
const PORTS: usize = L4;
const OFFSET: usize = L4 + 12;
const FLAGS: usize = L4 + 13;
const OPTIONS: usize = L4 + 20;

pub(super) fn cases(target: &Target, cases: &mut Vec<Case>) {
    segments(target, cases);
    options(target, cases);
    datagrams(target, cases);
}

fn segments(target: &Target, cases: &mut Vec<Case>) {
    let whole = ipv4(target, TCP, &syn(target, &[]));
    let with_data = ipv4(target, TCP, &syn(target, &[7; 100]));
    let ours = target.ipv4.octets();
    let port = target.port.to_be_bytes();
    for (name, changes) in [
        ("TCP: data from byte 0", &[(OFFSET, &[0x00][..])][..]),
        ("TCP: data from byte 16", &[(OFFSET, &[0x40])]),
        ("TCP: data from a byte behind the end", &[(OFFSET, &[0xb0])]),
        ("TCP: data from byte 60", &[(OFFSET, &[0xf0])]),
        ("TCP: options that are data", &[(OFFSET, &[0x50])]),
        ("TCP: no flags", &[(FLAGS, &[0])]),
        ("TCP: all flags", &[(FLAGS, &[0xff])]),
        ("TCP: reserved bits", &[(OFFSET, &[0xaf, 2])]),
        ("TCP: it begins and ends", &[(FLAGS, &[3])]),
        ("TCP: it begins and is reset", &[(FLAGS, &[6])]),
        ("TCP: it begins and ends and is reset", &[(FLAGS, &[7])]),
        ("TCP: an end of nothing", &[(FLAGS, &[1])]),
        ("TCP: a reset of nothing", &[(FLAGS, &[4])]),
        ("TCP: an acknowledgement of nothing", &[(FLAGS, &[0x10])]),
        ("TCP: an answer to nothing", &[(FLAGS, &[0x12])]),
        ("TCP: urgent", &[(FLAGS, &[0x22]), (L4 + 18, &[255, 255])]),
        ("TCP: no window", &[(L4 + 14, &[0, 0])]),
        ("TCP: from port 0", &[(PORTS, &[0, 0])]),
        ("TCP: to port 0", &[(PORTS + 2, &[0, 0])]),
        (
            "TCP: to where nobody listens",
            &[(PORTS + 2, &[0xff, 0xf0])],
        ),
        (
            "TCP: from where it goes",
            &[(IP + 12, &ours), (PORTS, &port)],
        ),
        (
            "TCP: from another port of where it goes",
            &[(IP + 12, &ours)],
        ),
        ("TCP: from everybody", &[(IP + 12, &[255; 4])]),
        ("TCP: from a group", &[(IP + 12, &[224, 0, 0, 5])]),
        ("TCP: from nobody", &[(IP + 12, &[0; 4])]),
        ("TCP: from 127.0.0.1", &[(IP + 12, &[127, 0, 0, 1])]),
        ("TCP: to everybody", &[(IP + 16, &[255; 4])]),
        ("TCP: to a group", &[(IP + 16, &[224, 0, 0, 1])]),
        ("TCP: the last number", &[(L4 + 4, &[255; 4])]),
        ("TCP: shorter than its header", &[(IP + 2, &[0, 39])]),
        ("TCP: shorter than its options", &[(IP + 2, &[0, 45])]),
        ("TCP: of no bytes", &[(IP + 2, &[0, 20])]),
        ("TCP: in a part of a packet", &[(IP + 6, &[0x20, 0])]),
        ("TCP: in the rest of a packet", &[(IP + 6, &[0, 1])]),
    ] {
        cases.push(Case::one(name, changed(&whole, changes)));
    }
    cases.push(Case::one("TCP: data with the beginning", with_data.clone()));
    cases.push(Case::one(
        "TCP: a wrong sum",
        damaged(&whole, &[(L4 + 16, &[1, 2])]),
    ));
    cases.push(Case::one(
        "TCP: no sum",
        damaged(&whole, &[(L4 + 16, &[0, 0])]),
    ));
    let odd = ipv4(target, TCP, &syn(target, &[7; 33]));
    cases.push(Case::one(
        "TCP: a wrong last byte",
        damaged(&odd, &[(odd.len() - 1, &[8])]),
    ));
    let flags = (0..=255).map(|flags| {
        let port = [0xa0, flags];
        changed(&with_data, &[(PORTS, &port), (FLAGS, &[flags])])
    });
    cases.push(Case::new("TCP: flags of all kinds", flags.collect()));
}

fn options(target: &Target, cases: &mut Vec<Case>) {
    let whole = ipv4(target, TCP, &syn(target, &[]));
    for (name, bytes) in [
        ("TCP option: of no length", &[2, 0][..]),
        ("TCP option: of length 1", &[2, 1]),
        ("TCP option: longer than the header", &[2, 255]),
        ("TCP option: unknown and of no length", &[254, 0]),
        ("TCP option: unknown and of length 1", &[254, 1]),
        ("TCP option: unknown", &[254, 20]),
        ("TCP option: segments of 0 bytes", &[2, 4, 0, 0]),
        ("TCP option: segments of 1 byte", &[2, 4, 0, 1]),
        ("TCP option: segments of 65535 bytes", &[2, 4, 255, 255]),
        ("TCP option: segments, too short", &[2, 3, 5]),
        ("TCP option: segments, too long", &[2, 6, 5, 5, 5, 5]),
        ("TCP option: windows shifted by 255", &[3, 3, 255]),
        ("TCP option: windows shifted by 15", &[3, 3, 15]),
        ("TCP option: windows, too short", &[3, 2]),
        ("TCP option: times, too short", &[8, 2]),
        ("TCP option: times, too long", &[8, 20]),
        ("TCP option: parts, of no length", &[5, 0]),
        ("TCP option: parts of none", &[5, 2]),
        ("TCP option: parts of an odd length", &[5, 9, 0, 0, 0, 1]),
        (
            "TCP option: parts backwards",
            &[5, 10, 0, 0, 0, 9, 0, 0, 0, 1],
        ),
        ("TCP option: a signature", &[19, 18]),
        ("TCP option: fast open", &[34, 2]),
        ("TCP option: nothing", &[0; 20]),
        ("TCP option: nothing but nothing", &[1; 20]),
        ("TCP option: all bits", &[255; 20]),
        (
            "TCP option: a kind at the very end",
            &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2],
        ),
    ] {
        // Each from a port of its own, so that each is seen.
        let from = [0xb0, u8::wrapping_add(bytes[0], bytes[1])];
        let frame = changed(&whole, &[(PORTS, &from), (OPTIONS, bytes)]);
        cases.push(Case::one(name, frame));
    }
    let lengths = (0..=255).map(|len| {
        let port = [0xb1, len];
        changed(&whole, &[(PORTS, &port), (OPTIONS, &[len % 9, len])])
    });
    cases.push(Case::new(
        "TCP option: lengths of all kinds",
        lengths.collect(),
    ));
}

fn datagrams(target: &Target, cases: &mut Vec<Case>) {
    let whole = ipv4(target, UDP, &udp(target, &[7; 32]));
    let len = L4 + 4;
    // The sum is made for the length that IP has.
    for (name, at, bytes) in [
        ("UDP: of length 0", len, &[0, 0][..]),
        ("UDP: of length 7", len, &[0, 7]),
        ("UDP: of nothing", len, &[0, 8]),
        ("UDP: shorter than IP says", len, &[0, 30]),
        ("UDP: a byte longer than IP says", len, &[0, 41]),
        ("UDP: of 65535 bytes", len, &[255, 255]),
        ("UDP: from port 0", L4, &[0, 0]),
        ("UDP: to port 0", L4 + 2, &[0, 0]),
        ("UDP: to DHCP", L4, &[0, 67, 0, 68]),
        ("UDP: from DNS", L4, &[0, 53, 0xc0, 0]),
        ("UDP: from where it is echoed", L4, &[0, 7]),
        ("UDP: to where nobody listens", L4 + 2, &[0xff, 0xf1]),
    ] {
        cases.push(Case::one(name, changed(&whole, &[(at, bytes)])));
    }
    cases.push(Case::one(
        "UDP: a wrong sum",
        damaged(&whole, &[(L4 + 6, &[1, 2])]),
    ));
    cases.push(Case::one(
        "UDP: no sum",
        damaged(&whole, &[(L4 + 6, &[0, 0])]),
    ));
    let short = vec![7; 7];
    cases.push(Case::one(
        "UDP: shorter than its header",
        ipv4(target, UDP, &short),
    ));
    let flood = (0..400u16).map(|number| changed(&whole, &[(L4, &(number + 1).to_be_bytes())]));
    cases.push(Case::new("UDP: more than anybody reads", flood.collect()));
}
