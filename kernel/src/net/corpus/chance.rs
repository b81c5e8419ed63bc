//! Frames by chance: some bytes of a frame that is right, or wrong in one way already, become others.

use super::build::{ICMP, ICMP6, TCP, Target, UDP, arp, icmp, ipv4, ipv6, summed, syn, udp};
use super::by_hand;
use alloc::vec;
use alloc::vec::Vec;

/// Values at which things end.
const EDGES: [u8; 8] = [0, 1, 2, 0x0f, 0x7f, 0x80, 0xfe, 0xff];

/// Without end. The same number makes the same frames.
pub(crate) fn by_chance(target: &Target, seed: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
    let mut bases = right(target);
    let by_hand = by_hand(target).into_iter().flat_map(|case| case.frames);
    // The long ones take their time.
    bases.extend(by_hand.filter(|frame| frame.len() <= 1514));
    let mut chance = Chance(seed);
    core::iter::from_fn(move || {
        // Every second one from a frame that is right.
        let count = if chance.below(2) == 0 { 8 } else { bases.len() };
        let mut frame = bases[chance.below(count)].clone();
        for _ in 0..=chance.below(4) {
            let other = &bases[chance.below(bases.len())];
            change(&mut frame, other, &mut chance);
        }
        Some(match chance.below(8) {
            0 => frame,
            _ => summed(frame),
        })
    })
}

/// Frames with nothing wrong.
pub(crate) fn right(target: &Target) -> Vec<Vec<u8>> {
    let echo = |kind| icmp(kind, 0, [0, 1, 0, 1], &[7; 40]);
    vec![
        ipv4(target, TCP, &syn(target, &[])),
        ipv4(target, TCP, &syn(target, &[7; 64])),
        ipv4(target, UDP, &udp(target, &[7; 64])),
        ipv4(target, ICMP, &echo(8)),
        arp(target),
        ipv6(target, TCP, &syn(target, &[])),
        ipv6(target, UDP, &udp(target, &[7; 64])),
        ipv6(target, ICMP6, &echo(128)),
    ]
}

fn change(frame: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    if frame.is_empty() {
        return;
    }
    // Headers more often than what they announce.
    let within = if chance.below(4) == 0 {
        frame.len()
    } else {
        frame.len().min(80)
    };
    let at = chance.below(within);
    match chance.below(8) {
        0 | 1 => frame[at] = chance.next() as u8,
        2 | 3 => frame[at] = EDGES[chance.below(EDGES.len())],
        4 => frame[at] ^= 1 << chance.below(8),
        5 => frame.truncate(at.max(1)),
        6 => {
            let len = chance.below(64);
            let bytes = (0..len).map(|_| chance.next() as u8);
            frame.extend(bytes);
        }
        _ => {
            // The beginning of one and the end of another.
            frame.truncate(at);
            frame.extend(other.iter().skip(at));
        }
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}
