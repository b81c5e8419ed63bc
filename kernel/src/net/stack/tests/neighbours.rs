//! Neighbours that nobody knows yet: what is for them waits for them, and for nobody else.

use super::{Pair, address, sleep};
use crate::dma::Owner;
use crate::executor::block_on;
use crate::memory::frames::host;
use crate::net::corpus::{Target, asking_for_an_echo, by_hand};
use crate::net::stack::PingError;
use crate::net::{Fate, Interface, Offloads, Outgoing, Wire};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::{AtomicUsize, Ordering};
use embassy_futures::join::join;

/// As long as an answer may take on a wire that takes no time.
const AT_ONCE: u64 = 5_000;

const SECOND: u64 = 1_000_000;

fn v6(end: u16) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2 + end).into()
}

/// Whether somebody is asked for in this frame.
fn is_question(frame: &[u8]) -> bool {
    let is_arp = frame.get(12..14) == Some(&[8, 6]) && frame.get(20..22) == Some(&[0, 1]);
    let is_icmp6 = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&58);
    is_arp || is_icmp6 && frame.get(54) == Some(&135)
}

#[test]
fn an_echo_of_somebody_new_does_not_wait_for_anybody_else() {
    let _arena = host::arena();
    for (somebody, nobody) in [
        (address(1), "10.0.0.9".parse().unwrap()),
        (v6(1), "fe80::9".parse().unwrap()),
    ] {
        let pair = Pair::new(Offloads::ALL);
        let stack = &pair.stacks[0];
        block_on(async {
            // The link is there, and what is said at first has been said.
            sleep(10 * SECOND).await;
            let first = stack.ping(nobody, 1, 5 * SECOND);
            let second = async {
                sleep(1000).await;
                stack.ping(somebody, 2, 5 * SECOND).await
            };
            let (first, second) = join(first, second).await;
            assert_eq!(first, Err(PingError::TimedOut));
            let took = second.expect("there is an answer");
            assert!(took < AT_ONCE, "{somebody}: {took} us");
        });
    }
}

#[test]
fn a_question_that_gets_lost_is_asked_again_and_what_waits_is_not_lost() {
    let _arena = host::arena();
    for somebody in [address(1), v6(1)] {
        let pair = Pair::new(Offloads::NONE);
        let questions = AtomicUsize::new(0);
        block_on(sleep(10 * SECOND));
        pair.wires[0].set_fate(move |frame| {
            match is_question(frame) && questions.fetch_add(1, Ordering::Relaxed) < 2 {
                true => Fate::Lost,
                false => Fate::Arrives,
            }
        });
        let took = block_on(pair.stacks[0].ping(somebody, 1, 5 * SECOND)).unwrap();
        assert!(
            (SECOND - 1000..3 * SECOND).contains(&took),
            "{somebody}: {took} us"
        );
    }
}

fn throw(wire: &Wire, frame: Vec<u8>) {
    assert!(wire.transmit(Outgoing::new(frame.into_memory())).is_ok());
}

/// Strangers who say that they are on the link, and are not, speak all the time; and so many others introduce
/// themselves that it is forgotten who is there. Who is there is answered nevertheless.
#[test]
fn strangers_keep_nobody_from_being_answered() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let (target, wire) = (Target::EXAMPLE, &pair.wires[0]);
    let knows = |whom| {
        let known = pair.stacks[1].status().neighbours;
        known.iter().any(|(address, _)| *address == whom)
    };
    block_on(async {
        sleep(SECOND).await;
        assert!(pair.stacks[0].ping(v6(1), 1, SECOND).await.is_ok());
        assert!(knows(v6(0)));
        let cases = by_hand(&target);
        let name = "neighbour: more than anybody has";
        let many = cases.into_iter().find(|case| case.name == name).unwrap();
        let strangers = async {
            for number in 0..200_u16 {
                let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5712, number);
                throw(wire, asking_for_an_echo(&target, from.octets()));
                sleep(10_000).await;
            }
        };
        let somebody = async {
            sleep(SECOND).await;
            for frame in many.frames {
                throw(wire, frame);
                sleep(10).await;
            }
            assert!(!knows(v6(0)), "that is no flood");
            let took = pair.stacks[0].ping(v6(1), 2, SECOND / 2).await;
            assert!(took.is_ok_and(|took| took < AT_ONCE), "{took:?}");
            assert!(knows(v6(0)));
        };
        join(strangers, somebody).await;
    });
}
