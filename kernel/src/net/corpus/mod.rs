//! Frames that nobody should send: what a stack is tried with, on the host and in machines.
//!
//! There are two kinds. Some are made by hand, each wrong in one way that has a name ([`by_hand`]). Others are made
//! from these, and from frames that are right, by chance ([`by_chance`]): bytes are changed, frames are cut, made
//! longer and put together, and most have right checksums afterwards, so that they get further. Chance is a function
//! of a number, so whatever goes wrong, goes wrong again.
//!
//! Nothing here uses the code that is tried: frames are bytes at offsets, as in the standards.

mod build;
mod chance;
mod internet;
mod link;
#[cfg(test)]
mod questions;
mod transport;
mod version6;

pub(crate) use build::Target;
pub(crate) use chance::by_chance;
#[cfg(test)]
pub(crate) use chance::right;
#[cfg(test)]
pub(crate) use questions::{dhcp_answer, dhcp_answers, dns_answer, dns_answers};

use alloc::vec::Vec;

/// Frames that belong together, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<Vec<u8>>,
}

impl Case {
    fn one(name: &'static str, frame: Vec<u8>) -> Self {
        Self::new(name, [frame].into())
    }

    fn new(name: &'static str, frames: Vec<Vec<u8>>) -> Self {
        Self { name, frames }
    }
}

/// Whether a frame claims to be from this address. A link on which somebody takes another's name is beyond all help
/// that a stack has, so tests leave such frames out if the name is that of somebody whom they need.
pub(crate) fn is_from(frame: &[u8], address: [u8; 4]) -> bool {
    // The sender in ARP, and in IPv4.
    [28, 26]
        .iter()
        .any(|at| frame.get(*at..at + 4) == Some(&address))
}

/// A segment that opens a connection, from any address and port.
#[cfg(phyros)]
pub(crate) fn opening(target: &Target, from: [u8; 4], port: u16) -> Vec<u8> {
    let frame = build::ipv4(target, build::TCP, &build::syn(target, &[]));
    let changes = [
        (build::IP + 12, &from[..]),
        (build::L4, &port.to_be_bytes()),
    ];
    build::changed(&frame, &changes)
}

/// A request for an echo, with nothing wrong, from any address of IPv6.
#[cfg(test)]
pub(crate) fn asking_for_an_echo(target: &Target, from: [u8; 16]) -> Vec<u8> {
    let echo = build::icmp(128, 0, [0, 1, 0, 1], &[7; 40]);
    let frame = build::ipv6(target, build::ICMP6, &echo);
    build::changed(&frame, &[(build::IP + 8, &from)])
}

/// All that are made by hand.
pub(crate) fn by_hand(target: &Target) -> Vec<Case> {
    let mut cases = Vec::new();
    link::cases(target, &mut cases);
    internet::cases(target, &mut cases);
    transport::cases(target, &mut cases);
    version6::cases(target, &mut cases);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// FNV-1a.
    fn digest(frames: impl Iterator<Item = Vec<u8>>) -> u64 {
        frames.flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    #[test]
    fn each_case_has_a_name_of_its_own_and_frames() {
        let cases = by_hand(&Target::EXAMPLE);
        let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 150, "only {}", cases.len());
        assert!(cases.iter().all(|case| !case.frames.is_empty()));
    }

    /// The corpus is kept by what makes it: it is the same each time, and a change to it is seen.
    #[test]
    fn the_corpus_is_always_the_same() {
        let frames = |seed| by_chance(&Target::EXAMPLE, seed).take(1000);
        assert_eq!(digest(frames(1)), digest(frames(1)));
        assert_ne!(digest(frames(1)), digest(frames(2)));
        let by_hand = by_hand(&Target::EXAMPLE);
        let by_hand = by_hand.into_iter().flat_map(|case| case.frames);
        let digests = (digest(by_hand), digest(frames(1)));
        let kept = (0xc8ab_0e6f_c221_3609, 0x265c_8b85_ae20_ebf4);
        assert_eq!(digests, kept, "the corpus has changed");
    }
}
