//! IPv6, its extensions, and how neighbours are found.

use super::Case;
use super::build::{
    ICMP6, IP, L4_V6, SENDER, SENDER6, TCP, Target, UDP, changed, damaged, icmp, ipv6, syn, udp,
};
use alloc::vec;
use alloc::vec::Vec;

/// Extensions.
const HOPS: u8 = 0;
const ROUTE: u8 = 43;
const PART: u8 = 44;
const NOTHING: u8 = 59;
const DESTINATION: u8 = 60;

/// Messages about neighbours.
const ROUTERS: u8 = 133;
const ROUTER: u8 = 134;
const WHO: u8 = 135;
const NEIGHBOUR: u8 = 136;
const REDIRECT: u8 = 137;

pub(super) fn cases(target: &Target, cases: &mut Vec<Case>) {
    headers(target, cases);
    extensions(target, cases);
    neighbours(target, cases);
    routers(target, cases);
}

fn headers(target: &Target, cases: &mut Vec<Case>) {
    let echo = ipv6(target, ICMP6, &icmp(128, 0, [0, 1, 0, 1], &[7; 56]));
    let ours = target.ipv6.octets();
    let mut everybody = [0; 16];
    (everybody[0], everybody[1], everybody[15]) = (255, 2, 1);
    let mut itself = [0; 16];
    itself[15] = 1;
    for (name, at, bytes) in [
        ("IPv6: version 4", IP, &[0x40][..]),
        ("IPv6: version 0", IP, &[0]),
        ("IPv6: of no bytes", IP + 4, &[0, 0]),
        ("IPv6: of one byte", IP + 4, &[0, 1]),
        ("IPv6: of a byte more than there is", IP + 4, &[0, 65]),
        ("IPv6: of 65535 bytes", IP + 4, &[255, 255]),
        ("IPv6: no hop left", IP + 7, &[0]),
        ("IPv6: what looks like TCP", IP + 6, &[TCP]),
        ("IPv6: what looks like UDP", IP + 6, &[UDP]),
        ("IPv6: with nothing behind", IP + 6, &[NOTHING]),
        ("IPv6: unknown", IP + 6, &[253]),
        ("IPv6: ICMP of version 4", IP + 6, &[1]),
        ("IPv6: encrypted", IP + 6, &[50]),
        ("IPv6: from a group", IP + 8, &everybody),
        ("IPv6: from nobody", IP + 8, &[0; 16]),
        ("IPv6: from itself", IP + 8, &ours),
        ("IPv6: from ::1", IP + 8, &itself),
        ("IPv6: to nobody", IP + 24, &[0; 16]),
        ("IPv6: to ::1", IP + 24, &itself),
        ("IPv6: to a group", IP + 24, &everybody),
        (
            "ICMPv6: too long for a way of 0",
            L4_V6,
            &[2, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("ICMPv6: an unknown kind", L4_V6, &[200]),
        ("ICMPv6: about what is no packet", L4_V6, &[1, 4]),
        ("ICMPv6: an answer that nobody asked for", L4_V6, &[129]),
        (
            "ICMPv6: who listens",
            L4_V6,
            &[130, 0, 0, 0, 255, 255, 0, 0],
        ),
        (
            "ICMPv6: who listens, with more sources than bytes",
            L4_V6 + 26,
            &[255, 255],
        ),
    ] {
        cases.push(Case::one(name, changed(&echo, &[(at, bytes)])));
    }
    cases.push(Case::one(
        "ICMPv6: a wrong sum",
        damaged(&echo, &[(L4_V6 + 2, &[1, 2])]),
    ));
    let land = ipv6(target, TCP, &syn(target, &[]));
    let port = target.port.to_be_bytes();
    let land = changed(&land, &[(IP + 8, &ours), (L4_V6, &port)]);
    cases.push(Case::one("TCP over IPv6: from where it goes", land));
    let cut = (15..echo.len()).map(|len| echo[..len].to_vec());
    cases.push(Case::new("IPv6: cut", cut.collect()));
    let no_sum = damaged(
        &ipv6(target, UDP, &udp(target, &[7; 20])),
        &[(L4_V6 + 6, &[0, 0])],
    );
    cases.push(Case::one("UDP over IPv6: no sum", no_sum));
}

fn extensions(target: &Target, cases: &mut Vec<Case>) {
    let echo = icmp(128, 0, [0, 1, 0, 1], &[7; 16]);
    let with = |first, bytes: &[u8]| ipv6(target, first, &[bytes, &echo].concat());
    for (name, first, bytes) in [
        (
            "extension: a hop's, of padding",
            HOPS,
            &[ICMP6, 0, 1, 4, 0, 0, 0, 0][..],
        ),
        (
            "extension: a hop's, too long",
            HOPS,
            &[ICMP6, 255, 1, 4, 0, 0, 0, 0],
        ),
        (
            "extension: a hop's, with a jumbo",
            HOPS,
            &[ICMP6, 0, 0xc2, 4, 0, 1, 0, 0],
        ),
        (
            "extension: a hop's option of no length",
            HOPS,
            &[ICMP6, 0, 5, 0, 0, 0, 0, 0],
        ),
        (
            "extension: a hop's option, too long",
            HOPS,
            &[ICMP6, 0, 5, 255, 0, 0, 0, 0],
        ),
        (
            "extension: a hop's option, unknown",
            HOPS,
            &[ICMP6, 0, 0xfe, 4, 0, 0, 0, 0],
        ),
        (
            "extension: a hop's option, to be told of",
            HOPS,
            &[ICMP6, 0, 0x85, 4, 0, 0, 0, 0],
        ),
        (
            "extension: a hop's, of itself",
            HOPS,
            &[HOPS, 0, 1, 4, 0, 0, 0, 0],
        ),
        ("extension: a route", ROUTE, &[ICMP6, 2, 0, 1, 0, 0, 0, 0]),
        (
            "extension: a route of 255 steps",
            ROUTE,
            &[ICMP6, 0, 0, 255, 0, 0, 0, 0],
        ),
        (
            "extension: a route of no kind",
            ROUTE,
            &[ICMP6, 0, 99, 1, 0, 0, 0, 0],
        ),
        (
            "extension: the first part",
            PART,
            &[ICMP6, 0, 0, 1, 0, 0, 0, 9],
        ),
        (
            "extension: the last part",
            PART,
            &[ICMP6, 0, 0, 8, 0, 0, 0, 9],
        ),
        (
            "extension: a part beyond the end",
            PART,
            &[ICMP6, 0, 255, 0xf8, 0, 0, 0, 9],
        ),
        (
            "extension: a part that is all",
            PART,
            &[ICMP6, 0, 0, 0, 0, 0, 0, 9],
        ),
        (
            "extension: a destination's, too long",
            DESTINATION,
            &[ICMP6, 99, 1, 4, 0, 0, 0, 0],
        ),
        (
            "extension: a destination's option, unknown",
            DESTINATION,
            &[ICMP6, 0, 0xc5, 4, 0, 0, 0, 0],
        ),
        ("extension: half of one", DESTINATION, &[ICMP6]),
    ] {
        cases.push(Case::one(name, with(first, bytes)));
    }
    for (name, kind, count) in [
        ("extension: thirty hops'", HOPS, 30),
        ("extension: a hundred destinations'", DESTINATION, 100),
        ("extension: a hundred routes", ROUTE, 100),
        ("extension: a hundred parts", PART, 100),
    ] {
        let mut chain = [kind, 0, 0, 0, 0, 0, 0, 0].repeat(count);
        chain[(count - 1) * 8] = ICMP6;
        cases.push(Case::one(name, with(kind, &chain)));
    }
    let part = |from: u16, more: u16, bytes: &[u8]| {
        let [high, low] = (from | more).to_be_bytes();
        ipv6(
            target,
            PART,
            &[&[UDP, 0, high, low, 0, 0, 0, 5], bytes].concat(),
        )
    };
    let all = udp(target, &[7; 80]);
    let over = vec![
        part(0, 1, &all[..56]),
        part(24, 0, &all[24..]),
        part(16, 1, &all[16..48]),
    ];
    cases.push(Case::new("extension: parts over each other", over));
    let many = (0..300u16).map(|number| part(number % 90 * 8, 1, &number.to_be_bytes().repeat(4)));
    cases.push(Case::new("extension: many parts", many.collect()));
}

/// Who is asked about, and one option.
fn about(address: [u8; 16], option: &[u8]) -> Vec<u8> {
    [&address, option].concat()
}

fn neighbours(target: &Target, cases: &mut Vec<Case>) {
    let ours = target.ipv6.octets();
    let ask = |option: &[u8]| ipv6(target, ICMP6, &icmp(WHO, 0, [0; 4], &about(ours, option)));
    let mac = [&[1, 1], &SENDER[..]].concat();
    let padded = |bytes: &[u8]| {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    };
    for (name, option) in [
        ("neighbour: an option of no length", padded(&[1, 0])),
        ("neighbour: an option of 255 words", padded(&[1, 255])),
        ("neighbour: an unknown option", padded(&[200, 1])),
        (
            "neighbour: an unknown option of no length",
            padded(&[200, 0]),
        ),
        ("neighbour: a prefix of 8 bytes", padded(&[3, 1])),
        ("neighbour: a packet of nothing", padded(&[4, 1])),
        (
            "neighbour: everybody asks",
            padded(&[1, 1, 255, 255, 255, 255, 255, 255]),
        ),
        ("neighbour: nobody asks", padded(&[1, 1])),
    ] {
        cases.push(Case::one(name, ask(&option)));
    }
    let asked = ask(&mac);
    cases.push(Case::one("neighbour: half an option", ask(&[1])));
    cases.push(Case::one(
        "neighbour: options without end",
        ask(&[200, 0].repeat(500)),
    ));
    cases.push(Case::one(
        "neighbour: from afar",
        changed(&asked, &[(IP + 7, &[64])]),
    ));
    cases.push(Case::one(
        "neighbour: an unknown code",
        changed(&asked, &[(L4_V6 + 1, &[9])]),
    ));
    let of_all = [&[255, 2], &[0; 13][..], &[1]].concat();
    cases.push(Case::one(
        "neighbour: of a group",
        changed(&asked, &[(L4_V6 + 8, &of_all)]),
    ));
    let cut = (0..32).map(|len| {
        ipv6(
            target,
            ICMP6,
            &icmp(WHO, 0, [0; 4], &about(ours, &mac))[..len],
        )
    });
    cases.push(Case::new("neighbour: cut", cut.collect()));
    let tells = |address, option: &[u8]| {
        ipv6(
            target,
            ICMP6,
            &icmp(NEIGHBOUR, 0, [0xe0, 0, 0, 0], &about(address, option)),
        )
    };
    cases.push(Case::one(
        "neighbour: somebody has the address",
        tells(ours, &[2, 1, 2, 9, 9, 9, 9, 9]),
    ));
    cases.push(Case::one(
        "neighbour: without an address",
        tells(SENDER6, &[]),
    ));
    cases.push(Case::one(
        "neighbour: is everybody",
        tells(SENDER6, &[2, 1, 255, 255, 255, 255, 255, 255]),
    ));
    let many = (0..200).map(|number| {
        let mut address = SENDER6;
        (address[14], address[15]) = (9, number);
        let frame = ipv6(target, ICMP6, &icmp(WHO, 0, [0; 4], &about(ours, &mac)));
        changed(&frame, &[(IP + 8, &address)])
    });
    cases.push(Case::new(
        "neighbour: more than anybody has",
        many.collect(),
    ));
    let redirect = [&SENDER6[..], &SENDER6, &[4, 0, 0, 0, 0, 0, 0, 0]].concat();
    cases.push(Case::one(
        "neighbour: another way",
        ipv6(target, ICMP6, &icmp(REDIRECT, 0, [0; 4], &redirect)),
    ));
    cases.push(Case::one(
        "neighbour: a router is sought",
        ipv6(target, ICMP6, &icmp(ROUTERS, 0, [0; 4], &[1, 0])),
    ));
}

fn routers(target: &Target, cases: &mut Vec<Case>) {
    let announces = |life: u16, options: &[u8]| {
        let [high, low] = life.to_be_bytes();
        let rest = [&[0; 8], options].concat();
        ipv6(target, ICMP6, &icmp(ROUTER, 0, [64, 0, high, low], &rest))
    };
    let prefix = |len, flags, first: u8| {
        let mut option = vec![3, 4, len, flags, 0, 0, 1, 0, 0, 0, 0, 200, 0, 0, 0, 0];
        option.extend([0x20, 1, 0x0d, 0xb8, first, first]);
        option.resize(32, 0);
        option
    };
    for (name, frame) in [
        ("router: that is none", announces(0, &[])),
        (
            "router: an option of no length",
            announces(9, &[3, 0, 64, 0xc0]),
        ),
        (
            "router: a prefix of 0 bits",
            announces(9, &prefix(0, 0xc0, 1)),
        ),
        (
            "router: a prefix of 63 bits",
            announces(9, &prefix(63, 0xc0, 2)),
        ),
        (
            "router: a prefix of 129 bits",
            announces(9, &prefix(129, 0xc0, 3)),
        ),
        (
            "router: a prefix of 255 bits",
            announces(9, &prefix(255, 0xc0, 4)),
        ),
        (
            "router: half a prefix",
            announces(9, &prefix(64, 0xc0, 5)[..17]),
        ),
        (
            "router: packets of 0 bytes",
            announces(9, &[5, 1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "router: packets of 4 GiB",
            announces(9, &[5, 1, 0, 0, 255, 255, 255, 255]),
        ),
        ("router: packets, too short", announces(9, &[5, 1, 0, 0])),
        (
            "router: from afar",
            changed(&announces(9, &[]), &[(IP + 7, &[9])]),
        ),
    ] {
        cases.push(Case::one(name, frame));
    }
    let two = [prefix(64, 0xc0, 6), prefix(255, 0xc0, 7)].concat();
    let behind = announces(9, &two);
    cases.push(Case::one(
        "router: a prefix of 255 bits, behind another",
        behind,
    ));
    let mut message = icmp(
        ROUTER,
        0,
        [64, 0, 0, 9],
        &[&[0; 8], &prefix(255, 0xc0, 8)[..]].concat(),
    );
    // The sum is that of the message alone.
    let sum = announces(9, &prefix(255, 0xc0, 8));
    message[2..4].copy_from_slice(&sum[L4_V6 + 2..L4_V6 + 4]);
    let extended = [&[ICMP6, 0, 1, 4, 0, 0, 0, 0], &message[..]].concat();
    let name = "router: a prefix of 255 bits, behind a hop's extension";
    cases.push(Case::one(name, ipv6(target, HOPS, &extended)));
    let many = (0..60).map(|number| announces(9, &prefix(64, 0xc0, number + 10)));
    cases.push(Case::new(
        "router: more prefixes than addresses",
        many.collect(),
    ));
}
