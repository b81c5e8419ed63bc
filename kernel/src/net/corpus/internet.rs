//! IPv4 and ICMP.

use super::Case;
use super::build::{
    ICMP, IP, L4, SENDER4, TCP, Target, UDP, changed, damaged, icmp, ipv4, sum_header, summed, syn,
    udp,
};
use alloc::vec;
use alloc::vec::Vec;

pub(super) fn cases(target: &Target, cases: &mut Vec<Case>) {
    headers(target, cases);
    options(target, cases);
    fragments(target, cases);
    messages(target, cases);
}

fn echo(target: &Target) -> Vec<u8> {
    ipv4(target, ICMP, &icmp(8, 0, [0, 1, 0, 1], &[7; 56]))
}

fn headers(target: &Target, cases: &mut Vec<Case>) {
    let echo = echo(target);
    let ours = target.ipv4.octets();
    let [a, b, c, _] = ours;
    for (name, at, bytes) in [
        ("IPv4: version 0", IP, &[0x05][..]),
        ("IPv4: version 5", IP, &[0x55]),
        ("IPv4: version 6", IP, &[0x65]),
        ("IPv4: a header of no bytes", IP, &[0x40]),
        ("IPv4: a header of 16 bytes", IP, &[0x44]),
        ("IPv4: a header of 60 bytes", IP, &[0x4f]),
        ("IPv4: 0 bytes long", IP + 2, &[0, 0]),
        ("IPv4: 19 bytes long", IP + 2, &[0, 19]),
        ("IPv4: nothing in it", IP + 2, &[0, 20]),
        ("IPv4: half a header in it", IP + 2, &[0, 25]),
        ("IPv4: a byte more than there is", IP + 2, &[0, 85]),
        ("IPv4: 65535 bytes long", IP + 2, &[255, 255]),
        ("IPv4: the flag that must be 0", IP + 6, &[0x80, 0]),
        ("IPv4: not to be cut, and cut", IP + 6, &[0x60, 0]),
        ("IPv4: no hop left", IP + 8, &[0]),
        ("IPv4: protocol 0", IP + 9, &[0]),
        ("IPv4: protocol 255", IP + 9, &[255]),
        ("IPv4: in itself", IP + 9, &[4]),
        ("IPv4: IGMP", IP + 9, &[2]),
        ("IPv4: what looks like TCP", IP + 9, &[TCP]),
        ("IPv4: what looks like UDP", IP + 9, &[UDP]),
        ("IPv4: from 0.0.0.0", IP + 12, &[0; 4]),
        ("IPv4: from everybody", IP + 12, &[255; 4]),
        ("IPv4: from a group", IP + 12, &[224, 0, 0, 1]),
        ("IPv4: from 127.0.0.1", IP + 12, &[127, 0, 0, 1]),
        ("IPv4: from itself", IP + 12, &ours),
        ("IPv4: from all of the link", IP + 12, &[a, b, c, 255]),
        ("IPv4: from class E", IP + 12, &[250, 1, 2, 3]),
        ("IPv4: to 0.0.0.0", IP + 16, &[0; 4]),
        ("IPv4: to everybody", IP + 16, &[255; 4]),
        ("IPv4: to all of the link", IP + 16, &[a, b, c, 255]),
        ("IPv4: to a group", IP + 16, &[224, 0, 0, 1]),
        ("IPv4: to 127.0.0.1", IP + 16, &[127, 0, 0, 1]),
        ("IPv4: to somebody else", IP + 16, &[a, b, c, 0xee]),
    ] {
        cases.push(Case::one(name, changed(&echo, &[(at, bytes)])));
    }
    cases.push(Case::one(
        "IPv4: a wrong sum",
        damaged(&echo, &[(IP + 10, &[1, 2])]),
    ));
    let cut = (15..echo.len()).map(|len| echo[..len].to_vec());
    cases.push(Case::new("IPv4: cut", cut.collect()));
    let shorter = (15..echo.len()).map(|len| {
        let total = ((len - IP) as u16).to_be_bytes();
        summed(damaged(&echo[..len.max(L4)], &[(IP + 2, &total)]))
    });
    cases.push(Case::new("IPv4: shorter and shorter", shorter.collect()));
}

fn options(target: &Target, cases: &mut Vec<Case>) {
    // Twelve bytes of options.
    let message = icmp(8, 0, [0, 1, 0, 1], &[7; 20]);
    let with = |bytes: &[u8]| {
        let mut all = [0; 12];
        all[..bytes.len()].copy_from_slice(bytes);
        let mut frame = ipv4(target, ICMP, &[&all[..], &message].concat());
        frame[IP] = 0x48;
        summed(frame)
    };
    let route = target.ipv4.octets();
    let [a, b, c, d] = route;
    for (name, bytes) in [
        ("IPv4 option: of no length", &[131, 0][..]),
        ("IPv4 option: of length 1", &[131, 1]),
        ("IPv4 option: of length 2", &[131, 2]),
        ("IPv4 option: longer than the header", &[131, 255]),
        ("IPv4 option: a loose route", &[131, 7, 4, a, b, c, d]),
        ("IPv4 option: a strict route", &[137, 7, 4, a, b, c, d]),
        (
            "IPv4 option: a route that points before itself",
            &[131, 7, 0, a, b, c, d],
        ),
        (
            "IPv4 option: a route that points behind itself",
            &[131, 7, 255, a, b, c, d],
        ),
        ("IPv4 option: a record that is full", &[7, 3, 4]),
        ("IPv4 option: times", &[68, 12, 5, 0xf1]),
        ("IPv4 option: nothing but nothing", &[1; 12]),
        (
            "IPv4 option: a kind at the very end",
            &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7],
        ),
        ("IPv4 option: unknown", &[0xfe, 12, 1, 2, 3]),
    ] {
        cases.push(Case::one(name, with(bytes)));
    }
}

/// A part of a packet, from this byte on (a multiple of eight).
fn fragment(target: &Target, ident: u16, from: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let frame = ipv4(target, UDP, payload);
    let offset = ((from / 8) | (u16::from(more) << 13)).to_be_bytes();
    // The sum of UDP is that of all parts together, in the first one.
    let mut frame = damaged(&frame, &[(IP + 4, &ident.to_be_bytes()), (IP + 6, &offset)]);
    frame[L4..].copy_from_slice(payload);
    sum_header(&mut frame);
    frame
}

fn fragments(target: &Target, cases: &mut Vec<Case>) {
    let all = udp(target, &[7; 80]);
    let part = |ident, from: u16, to: usize, more| {
        let from_byte = usize::from(from).min(all.len());
        fragment(
            target,
            ident,
            from,
            more,
            &all[from_byte..to.max(from_byte)],
        )
    };
    let mut case = |name, frames: Vec<Vec<u8>>| cases.push(Case::new(name, frames));
    case("fragments: the first of two", vec![part(1, 0, 40, true)]);
    case("fragments: the last of two", vec![part(2, 40, 88, false)]);
    case(
        "fragments: in order",
        vec![part(3, 0, 40, true), part(3, 40, 88, false)],
    );
    case(
        "fragments: the other way",
        vec![part(4, 40, 88, false), part(4, 0, 40, true)],
    );
    case(
        "fragments: one within another",
        vec![part(5, 0, 56, true), part(5, 24, 28, false)],
    );
    case(
        "fragments: one over another",
        vec![part(6, 0, 56, true), part(6, 48, 88, false)],
    );
    case("fragments: twice", vec![part(7, 0, 40, true); 5]);
    case(
        "fragments: of eight bytes",
        (0..11)
            .map(|n| part(8, n * 8, usize::from(n) * 8 + 8, n < 10))
            .collect(),
    );
    case(
        "fragments: of no bytes",
        vec![part(9, 0, 0, true), part(9, 8, 8, true)],
    );
    case("fragments: of an odd length", vec![part(10, 0, 13, true)]);
    let far = fragment(target, 11, 65_528, false, &[7; 1400]);
    case(
        "fragments: beyond the end of all packets",
        vec![part(11, 0, 40, true), far],
    );
    case(
        "fragments: of 500 packets",
        (0..500).map(|n| part(100 + n, 0, 40, true)).collect(),
    );
    let mut header = part(12, 0, 16, true);
    header[L4] = 0;
    case(
        "fragments: a header in two",
        vec![header, part(12, 16, 40, false)],
    );
}

/// Messages that say something of a packet that was sent, and lie.
fn messages(target: &Target, cases: &mut Vec<Case>) {
    // A packet as the target could have sent it.
    let mut sent = ipv4(target, TCP, &syn(target, &[]))[IP..].to_vec();
    let (ours, theirs) = (target.ipv4.octets(), SENDER4);
    sent[12..16].copy_from_slice(&ours);
    sent[16..20].copy_from_slice(&theirs);
    let says = |kind, code, rest, about: &[u8]| ipv4(target, ICMP, &icmp(kind, code, rest, about));
    let about = |at: usize, bytes: &[u8]| damaged(&sent, &[(at, bytes)]);
    let mut one = |name, frame| cases.push(Case::one(name, frame));
    one(
        "ICMP: a wrong sum",
        damaged(&echo(target), &[(L4 + 2, &[1, 2])]),
    );
    one("ICMP: of no bytes", ipv4(target, ICMP, &[]));
    one(
        "ICMP: of four bytes",
        ipv4(target, ICMP, &[8, 0, 0xf7, 0xff]),
    );
    one("ICMP: an unknown kind", says(255, 0, [0; 4], &[7; 30]));
    one("ICMP: an unknown code", says(8, 77, [0; 4], &[7; 30]));
    one(
        "ICMP: an answer that nobody asked for",
        says(0, 0, [0, 1, 0, 1], &[7; 30]),
    );
    one("ICMP: what time is it", says(13, 0, [0; 4], &[0; 12]));
    one("ICMP: what is the mask", says(17, 0, [0; 4], &[0; 4]));
    one(
        "ICMP: I am a router",
        says(9, 0, [1, 2, 255, 255], &[10, 0, 0, 66, 0, 0, 0, 0]),
    );
    one("ICMP: I am no router", says(9, 0, [255, 0, 0, 0], &[]));
    one("ICMP: another way", says(5, 1, [10, 0, 0, 66], &sent));
    one("ICMP: slower", says(4, 0, [0; 4], &sent));
    one("ICMP: too far", says(11, 0, [0; 4], &sent));
    one("ICMP: a field is wrong", says(12, 0, [255, 0, 0, 0], &sent));
    for (name, code, mtu) in [
        ("ICMP: nobody listens there", 3, 0u16),
        ("ICMP: too long for a way of 0", 4, 0),
        ("ICMP: too long for a way of 1", 4, 1),
        ("ICMP: too long for a way of 68", 4, 68),
        ("ICMP: too long for a way of 65535", 4, 65_535),
        ("ICMP: not there, for an unknown reason", 99, 0),
    ] {
        let [high, low] = mtu.to_be_bytes();
        one(name, says(3, code, [0, 0, high, low], &sent));
    }
    for (name, packet) in [
        ("ICMP: about nothing", Vec::new()),
        ("ICMP: about four bytes", sent[..4].to_vec()),
        ("ICMP: about half a header", sent[..19].to_vec()),
        ("ICMP: about a header", sent[..20].to_vec()),
        ("ICMP: about a header and a byte", sent[..21].to_vec()),
        ("ICMP: about version 6", about(0, &[0x65])),
        ("ICMP: about a header of no bytes", about(0, &[0x40])),
        ("ICMP: about a header of 60 bytes", about(0, &[0x4f])),
        ("ICMP: about 65535 bytes", about(2, &[255, 255])),
        ("ICMP: about 3 bytes", about(2, &[0, 3])),
        ("ICMP: about a fragment", about(6, &[0x3f, 0xff])),
        ("ICMP: about UDP that is TCP", about(9, &[UDP])),
        ("ICMP: about ICMP", about(9, &[ICMP])),
        (
            "ICMP: about somebody else's packet",
            about(12, &[9, 9, 9, 9]),
        ),
        (
            "ICMP: about a header that ends behind all",
            about(20 + 12, &[0xf0]),
        ),
    ] {
        one(name, says(3, 3, [0; 4], &packet));
    }
    // About itself, as deep as it goes.
    let mut deep = sent.clone();
    for _ in 0..40 {
        deep = says(3, 3, [0; 4], &deep)[IP..].to_vec();
    }
    one(
        "ICMP: about messages about messages",
        says(3, 3, [0; 4], &deep),
    );
}
