//! Ethernet and ARP.

use super::Case;
use super::build::{IP, SENDER, SENDER4, Target, arp, changed, damaged, ethernet, icmp, ipv4};
use alloc::vec;
use alloc::vec::Vec;

pub(super) fn cases(target: &Target, cases: &mut Vec<Case>) {
    let echo = ipv4(target, 1, &icmp(8, 0, [0, 1, 0, 1], &[7; 56]));
    let mut one = |name, frame| cases.push(Case::one(name, frame));
    one("one byte", vec![2]);
    one("an address alone", echo[..6].to_vec());
    one("a header without a type", echo[..13].to_vec());
    one("a header alone", echo[..14].to_vec());
    one("a length for a type", changed(&echo, &[(12, &[5, 0xdc])]));
    one("an unknown type", changed(&echo, &[(12, &[0xff, 0xff])]));
    one("a type of zero", changed(&echo, &[(12, &[0, 0])]));
    one(
        "a VLAN",
        ethernet(target, 0x8100, &[0, 5, 8, 0, 0x45, 0, 0, 20]),
    );
    one(
        "VLANs in VLANs",
        ethernet(target, 0x8100, &[0x81, 0].repeat(700)),
    );
    one("from everybody", damaged(&echo, &[(6, &[0xff; 6])]));
    one(
        "from a group",
        damaged(&echo, &[(6, &[1, 0, 0x5e, 0, 0, 1])]),
    );
    one("from itself", damaged(&echo, &[(6, &target.mac)]));
    one("from nobody", damaged(&echo, &[(6, &[0; 6])]));
    one(
        "to somebody else",
        damaged(&echo, &[(0, &[2, 9, 9, 9, 9, 9])]),
    );
    one("to nobody", damaged(&echo, &[(0, &[0; 6])]));
    let mut padded = echo.clone();
    padded.resize(1514, 0xee);
    one("much padding", padded);
    for (name, len) in [("a jumbo frame", 9014), ("as long as it gets", 65_000)] {
        let data = icmp(8, 0, [0, 2, 0, 1], &vec![7; len - IP - 28]);
        one(name, ipv4(target, 1, &data));
    }
    arps(target, cases);
}

fn arps(target: &Target, cases: &mut Vec<Case>) {
    let question = arp(target);
    let ours = target.ipv4.octets();
    for (name, changes) in [
        ("ARP: unknown hardware", &[(14, &[0xff, 0xff][..])][..]),
        ("ARP: unknown protocol", &[(16, &[0x86, 0xdd])]),
        ("ARP: hardware addresses of no bytes", &[(18, &[0])]),
        ("ARP: hardware addresses of 255 bytes", &[(18, &[255])]),
        ("ARP: protocol addresses of no bytes", &[(19, &[0])]),
        ("ARP: protocol addresses of 255 bytes", &[(19, &[255])]),
        ("ARP: all lengths wrong", &[(18, &[255, 255])]),
        ("ARP: operation 0", &[(20, &[0, 0])]),
        ("ARP: operation 3", &[(20, &[0, 3])]),
        ("ARP: operation 65535", &[(20, &[255, 255])]),
        ("ARP: somebody else has the address", &[(28, &ours)]),
        ("ARP: and says so", &[(20, &[0, 2]), (28, &ours)]),
        ("ARP: an answer that nobody asked for", &[(20, &[0, 2])]),
        ("ARP: everybody is one", &[(20, &[0, 2]), (22, &[255; 6])]),
        (
            "ARP: a group is one",
            &[(20, &[0, 2]), (22, &[1, 0, 0x5e, 0, 0, 1])],
        ),
        ("ARP: nobody is one", &[(20, &[0, 2]), (22, &[0; 6])]),
        (
            "ARP: its own card is another",
            &[(20, &[0, 2]), (22, &target.mac)],
        ),
        ("ARP: from 0.0.0.0", &[(28, &[0; 4])]),
        ("ARP: from everybody", &[(28, &[255; 4])]),
        ("ARP: from a group", &[(28, &[224, 0, 0, 1])]),
        ("ARP: from itself", &[(28, &[127, 0, 0, 1])]),
        ("ARP: of itself", &[(38, &SENDER4)]),
    ] {
        cases.push(Case::one(name, changed(&question, changes)));
    }
    let cut = (15..question.len()).step_by(3);
    let cut = cut.map(|len| question[..len].to_vec()).collect();
    cases.push(Case::new("ARP: cut", cut));
    let many = (0..200).map(|number| {
        let mac = [&SENDER[..5], &[number]].concat();
        changed(&question, &[(20, &[0, 2]), (22, &mac), (30, &[1, number])])
    });
    cases.push(Case::new(
        "ARP: more neighbours than anybody has",
        many.collect(),
    ));
}
