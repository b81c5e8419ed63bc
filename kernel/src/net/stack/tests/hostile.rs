//! Whoever is on the link means harm.

use super::{Pair, address, expect, options, pattern, sleep};
use crate::dma::Owner;
use crate::executor::block_on;
use crate::memory::frames::host;
use crate::net::stack::{Backlog, Stack};
use crate::net::{Checked, Fate, Interface, Offloads, Outgoing, Stream, Wire};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::{Context, Waker};
use proptest::prelude::*;
use smoltcp::wire::*;

/// A SYN from a stranger.
fn syn(number: u32) -> Vec<u8> {
    let mut frame = alloc::vec![0; 54];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(EthernetAddress([2, 0, 0, 0, 0, 3]));
    ethernet.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 2]));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let from = IpAddress::v4(10, 0, 0, 100);
    let to = address(1).into();
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, 20, 64);
    ip.emit(ethernet.payload_mut(), &Default::default());
    let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.set_src_port((number % 60_000) as u16 + 1);
    tcp.set_dst_port(80);
    tcp.set_seq_number(TcpSeqNumber(number as i32));
    tcp.set_header_len(20);
    tcp.set_syn(true);
    tcp.set_window_len(1000);
    tcp.fill_checksum(&from, &to);
    frame
}

#[test]
fn a_flood_of_openings_is_bounded_and_others_get_through() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let backlog = Backlog {
            half_open: 16,
            waiting: 4,
        };
        let mut listener = pair.stacks[1].listen(80, backlog).unwrap();
        for number in 0..2000 {
            let frame = Outgoing::new(syn(number).into_memory());
            while pair.wires[0].transmit(frame_again(&frame)).is_err() {
                embassy_futures::yield_now().await;
            }
            if number % 50 == 0 {
                embassy_futures::yield_now().await;
                assert!(pair.stacks[1].connections().len() <= 17);
            }
        }
        sleep(10_000).await;
        assert!(pair.stacks[1].status().counters.evicted > 1000);
        let mut client = pair.stacks[0]
            .connect(SocketAddr::new(address(1), 80))
            .await
            .unwrap();
        let mut server = listener.accept().await.unwrap();
        client.write(b"through").await.unwrap();
        assert_eq!(server.read(&mut [0; 10]).await, Ok(7));
        // Those that were never opened are forgotten.
        sleep(60_000_000).await;
        assert_eq!(pair.stacks[1].connections().len(), 2);
    });
}

fn frame_again(frame: &Outgoing) -> Outgoing {
    Outgoing::new(frame.head.bytes().to_vec().into_memory())
}

#[test]
fn connections_that_nobody_accepts_are_bounded() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let backlog = Backlog {
            half_open: 16,
            waiting: 3,
        };
        let mut listener = pair.stacks[1].listen(80, backlog).unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(
                pair.stacks[0]
                    .connect(SocketAddr::new(address(1), 80))
                    .await
                    .unwrap(),
            );
        }
        let fourth = pair.stacks[0]
            .connect(SocketAddr::new(address(1), 80))
            .await;
        assert_eq!(fourth.err(), Some(crate::net::StreamError::TimedOut));
        assert!(pair.stacks[1].status().counters.refused > 0);
        drop(listener.accept().await.unwrap());
        pair.stacks[0]
            .connect(SocketAddr::new(address(1), 80))
            .await
            .unwrap();
    });
}

/// A stack of which everything is known but the time, and a wire to it.
pub(super) fn alone() -> (Stack, [Arc<Wire>; 2]) {
    let wires = Wire::pair(1500, Offloads::NONE);
    let stack = Stack::new(wires[1].clone(), options(1)).unwrap();
    stack.with(|engine| engine.supply());
    (stack, wires)
}

pub(super) fn turn(stack: &Stack, now: u64) {
    stack.with(|engine| engine.poll(now, &mut Context::from_waker(Waker::noop())));
}

/// Frames that are nearly right.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let base = prop_oneof![
        Just(syn(5)),
        Just({
            let mut frame = syn(6);
            frame[46] = 0x50;
            frame[47] = 0x12;
            frame
        }),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|payload| {
            let mut frame = syn(7);
            frame[23] = 17;
            frame.extend(payload);
            let total = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame
        }),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|payload| {
            let mut frame = alloc::vec![
                0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0
            ];
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([58, 255]);
            frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
            frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            frame.extend(payload);
            frame
        }),
        proptest::collection::vec(any::<u8>(), 14..200).prop_map(|mut frame| {
            frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 2, 8, 6]);
            frame
        }),
        proptest::collection::vec(any::<u8>(), 14..1500),
    ];
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4);
    (base, changes, any::<bool>()).prop_map(|(mut frame, changes, has_sum)| {
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if has_sum && frame.len() >= 34 && frame[12..14] == [8, 0] {
            repair(&mut frame);
        }
        frame
    })
}

/// Makes the sums right, so that the frame gets further.
fn repair(frame: &mut [u8]) {
    let header = usize::from(frame[14] & 15) * 4;
    if header < 20 || 14 + header > frame.len() {
        return;
    }
    frame[24..26].fill(0);
    let sum = !checksum::data(&frame[14..14 + header]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    if let Some(carried) = super::super::segment::carried(frame)
        && let Ok(mut tcp) = TcpPacket::new_checked(&mut frame[carried.payload.clone()])
    {
        tcp.fill_checksum(&carried.source, &carried.target);
    }
}

proptest! {
    /// Nothing that arrives is more than a number in a counter.
    #[test]
    fn nothing_that_arrives_panics(frames in proptest::collection::vec(nearly(), 1..40)) {
        let (stack, wires) = alone();
        let listener = stack.listen(80, Backlog::default()).unwrap();
        let udp = stack.udp(80).unwrap();
        let mut now = 0;
        for frame in frames {
            // Frames that are too short are none.
            let _ = wires[0].transmit(Outgoing::new(frame.into_memory()));
            now += 10_000;
            turn(&stack, now);
            turn(&stack, now);
        }
        for _ in 0..20 {
            now += 5_000_000;
            turn(&stack, now);
        }
        prop_assert!(stack.connections().len() <= 70);
        drop((listener, udp));
    }

    /// What the other end says of a connection that is open may be anything: it ends, or it goes on.
    #[test]
    fn numbers_of_all_kinds_do_no_harm(
        segments in proptest::collection::vec((any::<i16>(), any::<i16>(), any::<u16>(), 0u8..64, 0usize..100), 1..60),
    ) {
        let (stack, wires) = alone();
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..16 {
            wires[0].supply(alloc::vec![0; 2048].into_memory()).unwrap();
        }
        wires[0].transmit(Outgoing::new(syn(1000).into_memory())).unwrap();
        turn(&stack, 0);
        turn(&stack, 0);
        // It asks for the way first.
        let arp = next(&wires[0], &mut cx);
        wires[0].transmit(Outgoing::new(arp_answer(&arp).into_memory())).unwrap();
        turn(&stack, 1000);
        turn(&stack, 1000);
        // It may have asked twice.
        let answer = loop {
            let frame = next(&wires[0], &mut cx);
            if frame[12..14] == [8, 0] {
                break frame;
            }
        };
        let iss = u32::from_be_bytes(*answer[38..].first_chunk().unwrap());
        let say = |seq: u32, ack: u32, window: u16, flags: u8, len: usize| {
            let mut frame = syn(1000);
            frame.extend(core::iter::repeat_n(7, len));
            let total = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame[38..42].copy_from_slice(&seq.to_be_bytes());
            frame[42..46].copy_from_slice(&ack.to_be_bytes());
            frame[47] = flags;
            frame[48..50].copy_from_slice(&window.to_be_bytes());
            repair(&mut frame);
            let _ = wires[0].transmit(Outgoing::new(frame.into_memory()));
        };
        say(1001, iss.wrapping_add(1), 4000, 0x10, 0);
        turn(&stack, 2000);
        let Some(mut server) = accepted(&mut listener) else {
            panic!("it is open");
        };
        let mut now = 2000;
        write(&mut server, &pattern(1, 0, 20_000));
        for (seq, ack, window, flags, len) in segments {
            now += 50_000;
            let near = |base: u32, by: i16| base.wrapping_add_signed(i32::from(by) / 8);
            say(near(1001, seq), near(iss.wrapping_add(1), ack), window, flags, len);
            turn(&stack, now);
            let mut bytes = [0; 64];
            let mut read = core::pin::pin!(server.read(&mut bytes));
            let _ = read.as_mut().poll(&mut cx);
        }
        for _ in 0..100 {
            now += 3_000_000;
            turn(&stack, now);
        }
    }
}

fn next(wire: &Wire, cx: &mut Context<'_>) -> Vec<u8> {
    match wire.poll_receive(cx) {
        core::task::Poll::Ready(Some(frame)) => {
            assert_eq!(frame.checked, Checked::No);
            let bytes = frame.first.bytes().to_vec();
            wire.supply(frame.first.whole()).unwrap();
            // IPv6 and multicast are of no interest.
            match bytes[12..14] == [8, 6] || bytes[12..14] == [8, 0] && bytes[23] == 6 {
                true => bytes,
                false => next(wire, cx),
            }
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn arp_answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[..6].copy_from_slice(&question[6..12]);
    answer[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    answer[21] = 2;
    answer[22..28].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    answer[28..32].copy_from_slice(&question[38..42]);
    answer[32..38].copy_from_slice(&question[22..28]);
    answer[38..42].copy_from_slice(&question[28..32]);
    answer
}

fn accepted(listener: &mut super::super::Listener) -> Option<super::Connection> {
    let mut accept = core::pin::pin!(listener.accept());
    match accept
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        core::task::Poll::Ready(Ok(connection)) => Some(connection),
        _ => None,
    }
}

fn write(connection: &mut super::Connection, bytes: &[u8]) {
    let mut write = core::pin::pin!(connection.write(bytes));
    assert!(
        write
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
}

/// Somebody guesses the numbers of a connection's segments, and gets it to end, or to believe something, only
/// with the right ones.
#[test]
fn a_reset_out_of_nowhere_is_not_believed() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        let from: IpEndpoint = server.peer().into();
        for number in 0..100u32 {
            let mut frame = syn(0);
            frame[34..36].copy_from_slice(&from.port.to_be_bytes());
            frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
            frame[38..42].copy_from_slice(&(number << 25).wrapping_add(99).to_be_bytes());
            frame[47] = 4;
            repair(&mut frame);
            pair.wires[0]
                .transmit(Outgoing::new(frame.into_memory()))
                .unwrap();
        }
        pair.wires[0].set_fate(|_| Fate::Arrives);
        client.write(&pattern(1, 0, 5000)).await.unwrap();
        expect(&mut server, 1, 5000).await;
    });
}
