//! The [corpus](crate::net::corpus) of frames that nobody should send: whatever arrives, others are served.

use super::hostile::{alone, arp_answer, turn};
use super::{Pair, address, expect, pattern};
use crate::dma::Owner;
use crate::executor::block_on;
use crate::memory::frames::host;
use crate::net::corpus::{
    self, Target, by_chance, by_hand, dhcp_answer, dhcp_answers, dns_answer, dns_answers,
};
use crate::net::stack::{Backlog, Ipv4, Stack};
use crate::net::{Interface, Offloads, Outgoing, Stream, Wire};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll, Waker};

const TARGET: Target = Target::EXAMPLE;

/// From the first end to the second, past the stack of the first.
async fn throw(pair: &Pair, frame: Vec<u8>) {
    if corpus::is_from(&frame, [10, 0, 0, 1]) {
        return;
    }
    // Some are too short or too long for any card.
    let _ = pair.wires[0].transmit(Outgoing::new(frame.into_memory()));
    embassy_futures::yield_now().await;
}

/// The second end is there, goes on with what it was doing, and is open for others.
async fn serves(pair: &Pair, open: &mut [super::Connection; 2], name: &str) {
    // Also where so many neighbours are heard of that it is forgotten who asks: then he is asked for first.
    let answer = pair.stacks[0].ping(address(1), 1, 2_000_000).await;
    assert!(answer.is_ok(), "no answer after `{name}`");
    let [client, server] = open;
    client.write(&pattern(3, 0, 2000)).await.unwrap();
    expect(server, 3, 2000).await;
}

#[test]
fn whatever_is_wrong_with_a_frame_others_are_served() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let backlog = Backlog::default();
        let mut listener = pair.stacks[1].listen(TARGET.port, backlog).unwrap();
        let udp = pair.stacks[1].udp(TARGET.port).unwrap();
        let to = SocketAddr::new(address(1), TARGET.port);
        let client = pair.stacks[0].connect(to).await.unwrap();
        let mut open = [client, listener.accept().await.unwrap()];
        for case in by_hand(&TARGET) {
            for frame in case.frames {
                throw(&pair, frame).await;
            }
            serves(&pair, &mut open, case.name).await;
            assert!(pair.stacks[1].connections().len() <= backlog.half_open + 3);
        }
        for (number, frame) in by_chance(&TARGET, 1).take(20_000).enumerate() {
            throw(&pair, frame).await;
            if number % 500 == 0 {
                serves(&pair, &mut open, &std::format!("chance {number}")).await;
                assert!(pair.stacks[1].connections().len() <= backlog.half_open + 3);
            }
        }
        let status = pair.stacks[1].status();
        assert!(status.neighbours.len() <= 64 && status.addresses.len() <= 8);
        assert!(status.addresses.contains(&(address(1), 24)));
        let mut client = pair.stacks[0].connect(to).await.unwrap();
        client.write(&pattern(4, 0, 100)).await.unwrap();
        expect(&mut listener.accept().await.unwrap(), 4, 100).await;
        drop(udp);
    });
}

/// The next packet of UDP that the stack sends, at some time.
fn asks(stack: &Stack, wire: &Wire, now: &mut u64) -> Vec<u8> {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2000 {
        while let Poll::Ready(Some(frame)) = wire.poll_receive(&mut cx) {
            let bytes = frame.first.bytes().to_vec();
            wire.supply(frame.first.whole()).unwrap();
            if bytes[12..14] == [8, 6] && bytes[38..42] == [10, 0, 0, 1] {
                say(wire, arp_answer(&bytes));
            }
            if bytes[12..14] == [8, 0] && bytes[23] == 17 {
                return bytes;
            }
        }
        *now += 100_000;
        turn(stack, *now);
    }
    panic!("it never asks");
}

fn say(wire: &Wire, frame: Vec<u8>) {
    let _ = wire.transmit(Outgoing::new(frame.into_memory()));
}

fn listening() -> (Stack, [Arc<Wire>; 2]) {
    let (stack, wires) = alone();
    for _ in 0..32 {
        let memory = alloc::vec![0; 2048].into_memory();
        wires[0].supply(memory).unwrap();
    }
    (stack, wires)
}

#[test]
fn whatever_is_wrong_with_an_offer_of_an_address_a_right_one_is_taken() {
    let (stack, wires) = listening();
    let mut now = 0;
    let count = {
        stack.configure(Ipv4::Dhcp);
        let asked = asks(&stack, &wires[0], &mut now);
        dhcp_answers(&asked).len()
    };
    // Each is an answer to a question of its own, which begins anew.
    for number in 0..count {
        stack.configure(Ipv4::Dhcp);
        let case = loop {
            let asked = asks(&stack, &wires[0], &mut now);
            if let Some(case) = dhcp_answers(&asked).into_iter().nth(number) {
                break case;
            }
        };
        for frame in case.frames {
            say(&wires[0], frame);
            turn(&stack, now);
        }
        let wrong = |(address, _): &(IpAddr, u8)| match address {
            IpAddr::V4(v4) => v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
            IpAddr::V6(_) => false,
        };
        assert!(!stack.status().addresses.iter().any(wrong), "{}", case.name);
        let lent = (0..20).any(|_| {
            let asked = asks(&stack, &wires[0], &mut now);
            say(&wires[0], dhcp_answer(&asked));
            turn(&stack, now);
            turn(&stack, now);
            stack.status().lease.is_some()
        });
        assert!(lent, "nothing is lent after `{}`", case.name);
        let lease = stack.status().lease.unwrap();
        assert_eq!(lease.address, Ipv4Addr::new(10, 0, 0, 9), "{}", case.name);
    }
}

#[test]
fn whatever_is_wrong_with_an_answer_to_a_name_the_next_question_is_answered() {
    let (stack, wires) = listening();
    stack.configure(Ipv4::Fixed {
        address: TARGET.ipv4,
        prefix: 24,
        router: None,
        dns: alloc::vec![address(0)],
    });
    let mut cx = Context::from_waker(Waker::noop());
    let mut now = 0;
    let mut number = 0;
    loop {
        let mut resolving = core::pin::pin!(stack.resolve("example.test"));
        assert!(resolving.as_mut().poll(&mut cx).is_pending());
        let asked = asks(&stack, &wires[0], &mut now);
        let case = dns_answers(&asked).into_iter().nth(number);
        number += 1;
        let Some(case) = case else {
            say(&wires[0], dns_answer(&asked));
            turn(&stack, now);
            let Poll::Ready(Ok(found)) = resolving.as_mut().poll(&mut cx) else {
                panic!("it is not found");
            };
            assert_eq!(found, [IpAddr::from([10, 0, 0, 44])]);
            break;
        };
        for frame in case.frames {
            say(&wires[0], frame);
            turn(&stack, now);
        }
        if let Poll::Ready(Ok(found)) = resolving.as_mut().poll(&mut cx) {
            assert_eq!(case.name, "DNS: 60 answers", "{found:?}");
            assert!(found.len() <= 8);
        }
    }
    assert!(number > 20);
}

/// What is thrown at the stack is made without it, so there is something to go wrong: frames that are right are
/// answered.
#[test]
fn frames_that_are_right_are_answered() {
    let (stack, wires) = listening();
    let listener = stack.listen(TARGET.port, Backlog::default()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut answers = Vec::new();
    for frame in corpus::right(&TARGET) {
        say(&wires[0], frame);
        turn(&stack, 1000);
        while let Poll::Ready(Some(frame)) = wires[0].poll_receive(&mut cx) {
            answers.push(frame.first.bytes().to_vec());
            wires[0].supply(frame.first.whole()).unwrap();
        }
    }
    // It asks for the way, and is asked; the echo is answered behind that.
    assert!(
        answers
            .iter()
            .any(|frame| frame[12..14] == [8, 6] && frame[21] == 2)
    );
    assert!(stack.connections().len() >= 3, "{:?}", stack.connections());
    assert_eq!(stack.status().counters.damaged, 0);
    drop(listener);
}
