//! Data both ways, whatever becomes of the frames, and from where it lies.

use super::{Pair, byte, expect, pattern, sleep};
use crate::dma::{Memory, Owner};
use crate::executor::block_on;
use crate::memory::frames::{Frames, host};
use crate::net::stack::Backlog;
use crate::net::{Fate, Interface, Offloads, Outgoing, Stream};
use alloc::vec::Vec;
use core::net::SocketAddr;
use embassy_futures::join::join;

/// Frames of memory with a pattern.
pub(super) fn frames(seed: u64, from: usize, len: usize) -> Memory {
    let pages = (len as u64).next_multiple_of(4096);
    let mut frames = Frames::allocate(pages).unwrap();
    for (at, to) in frames.bytes_mut()[..len].iter_mut().enumerate() {
        *to = byte(seed, from + at);
    }
    frames.into_memory().part(0..len).unwrap()
}

/// Sends so many bytes in all ways that there are, and closes.
async fn say(connection: &mut super::Connection, seed: u64, len: usize) {
    let mut at = 0;
    for (number, piece) in [7, 1, 500, 9000, 3, 30_000, 70_000]
        .iter()
        .cycle()
        .enumerate()
    {
        let piece = (*piece).min(len - at);
        match number % 3 {
            2 => connection
                .send(frames(seed, at, piece.max(1)).part(0..piece).unwrap())
                .await
                .unwrap(),
            _ => connection.write(&pattern(seed, at, piece)).await.unwrap(),
        }
        at += piece;
        if at == len {
            break;
        }
    }
    connection.close().await.unwrap();
}

async fn hear(connection: &mut super::Connection, seed: u64, len: usize) {
    expect(connection, seed, len).await;
    assert_eq!(connection.read(&mut [0; 10]).await, Ok(0));
}

/// Both talk at once, and hear each other to the end.
async fn talk(pair: &Pair, len: usize) {
    let (mut client, mut server) = pair.connected().await;
    // Each has one handle, so it speaks and hears by turns.
    join(
        async {
            say(&mut client, 1, len).await;
            hear(&mut client, 2, len).await;
            client.flush().await.unwrap();
        },
        async {
            hear(&mut server, 1, len).await;
            say(&mut server, 2, len).await;
            server.flush().await.unwrap();
        },
    )
    .await;
}

pub(super) const LEN: usize = 300_000;

#[test]
fn data_goes_both_ways_through_plain_cards_and_able_ones() {
    let arena = host::arena();
    let free = arena.free_bytes();
    for offloads in [Offloads::NONE, Offloads::ALL] {
        let pair = Pair::new(offloads);
        block_on(talk(&pair, LEN));
        let [one, other] = pair.stacks.clone().map(|stack| stack.status().counters);
        assert_eq!(one.super_segments > 0, offloads == Offloads::ALL);
        assert_eq!(one.referred_bytes + one.copied_bytes, LEN as u64);
        assert_eq!((one.retransmitted, one.damaged, other.damaged), (0, 0, 0));
        assert_eq!((one.connected, other.accepted), (1, 1));
    }
    assert_eq!(arena.free_bytes(), free);
}

#[test]
fn what_a_window_has_room_for_is_let_in() {
    /// The first is less than half of the room for what arrives: no reason to tell of a window anew once it is read.
    const QUESTIONS: [usize; 2] = [12_000, 32_000];
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        join(
            async {
                for round in 0..10 {
                    for len in QUESTIONS {
                        client.write(&pattern(round, 0, len)).await.unwrap();
                        expect(&mut client, 2, 100).await;
                    }
                }
            },
            async {
                for round in 0..10 {
                    for len in QUESTIONS {
                        // It is acknowledged, and the window with it, before it is read.
                        sleep(100_000).await;
                        expect(&mut server, round, len).await;
                        server.write(&pattern(2, 0, 100)).await.unwrap();
                    }
                }
            },
        )
        .await;
    });
    // Nothing is lost on the way, so nothing is sent again.
    let counters = pair.stacks.clone().map(|stack| stack.status().counters);
    assert_eq!(counters.map(|counters| counters.retransmitted), [0, 0]);
}

#[test]
fn data_arrives_whatever_becomes_of_frames() {
    let arena = host::arena();
    let free = arena.free_bytes();
    for offloads in [Offloads::NONE, Offloads::ALL] {
        let mut again = 0;
        for seed in 0..8u64 {
            let pair = Pair::new(offloads);
            let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
            pair.wires[0].set_fate(move |_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match random % 20 {
                    0 => Fate::Lost,
                    1 => Fate::Twice,
                    2 | 3 => Fate::Late,
                    _ => Fate::Arrives,
                }
            });
            // Hours are enough.
            let hours = embassy_time::Duration::from_secs(36_000);
            let done = block_on(embassy_time::with_timeout(hours, talk(&pair, LEN)));
            assert!(
                done.is_ok(),
                "{seed}: {:?}",
                pair.stacks.clone().map(|stack| stack.connections())
            );
            let counters = pair.stacks.clone().map(|stack| stack.status().counters);
            again += counters[0].retransmitted + counters[1].retransmitted;
        }
        assert!(again > 8);
    }
    assert_eq!(arena.free_bytes(), free);
}

#[test]
fn a_frame_that_is_damaged_is_not_believed() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let mut number = 0;
    // There is no way to damage frames on the wire, but to send a damaged one besides.
    let [one, other] = &pair.stacks;
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        client.write(b"right").await.unwrap();
        let mut bytes = [0; 5];
        assert_eq!(server.read(&mut bytes).await, Ok(5));
        let wire = &pair.wires[0];
        for at in [22, 40, 50, 54] {
            let mut frame = frame_of(&client, &server, b"wrong");
            frame[at] ^= 0x10;
            wire.transmit(Outgoing::new(frame.into_memory())).unwrap();
            number += 1;
        }
        client.write(b"right").await.unwrap();
        assert_eq!(server.read(&mut bytes).await, Ok(5));
        assert_eq!(&bytes, b"right");
    });
    assert_eq!(other.status().counters.damaged, number);
    assert_eq!(one.status().counters.damaged, 0);
}

/// A segment that would be the next, with a wrong sum.
fn frame_of(client: &super::Connection, server: &super::Connection, data: &[u8]) -> Vec<u8> {
    use smoltcp::wire::*;
    let mut frame = alloc::vec![0; 54 + data.len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    ethernet.set_dst_addr(EthernetAddress([2, 0, 0, 0, 0, 3]));
    ethernet.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 2]));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let (from, to): (IpEndpoint, IpEndpoint) = (server.peer().into(), client.peer().into());
    let ip = IpRepr::new(from.addr, to.addr, IpProtocol::Tcp, 20 + data.len(), 64);
    ip.emit(ethernet.payload_mut(), &Default::default());
    let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.set_src_port(from.port);
    tcp.set_dst_port(to.port);
    tcp.set_header_len(20);
    tcp.set_ack(true);
    tcp.payload_mut().copy_from_slice(data);
    tcp.fill_checksum(&from.addr, &to.addr);
    frame
}

/// A head that was written and what follows it are one frame; and an answer says what has arrived, so that no
/// frame is spent on that.
#[test]
fn a_question_and_its_answer_are_two_frames() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::ALL);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        super::sleep(1_000_000).await;
        let before = pair.stacks.clone().map(|stack| stack.status().counters);
        client.write(b"GET").await.unwrap();
        let mut bytes = [0; 100];
        assert_eq!(server.read(&mut bytes).await, Ok(3));
        server.write(b"head of ").await.unwrap();
        server.write(b"the answer").await.unwrap();
        server.send(frames(5, 0, 1024)).await.unwrap();
        let mut read = 0;
        while read < 1024 + 18 {
            read += client.read(&mut bytes).await.unwrap();
        }
        super::sleep(1_000_000).await;
        let after = pair.stacks.clone().map(|stack| stack.status().counters);
        let frames: Vec<u64> = (0..2)
            .map(|end| after[end].sent - before[end].sent)
            .collect();
        // The question, and that the answer has arrived.
        assert_eq!(frames, [2, 1]);
        assert_eq!(after[1].copied_bytes - before[1].copied_bytes, 18);
    });
}

#[test]
fn a_reader_that_is_slow_stops_the_writer_and_loses_nothing() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::ALL);
    block_on(async {
        let (mut client, mut server) = pair.connected().await;
        let len = 700_000;
        join(
            async {
                for at in (0..len).step_by(10_000) {
                    client.write(&pattern(9, at, 10_000)).await.unwrap();
                }
                client.flush().await.unwrap();
            },
            async {
                // Nobody reads for minutes. The window is shut, and is asked for now and then.
                super::sleep(200_000_000).await;
                let unread = pair.stacks[1].connections();
                assert!(unread.iter().any(|one| one.unread == 32 * 1024));
                let full = pair.stacks[0].connections();
                assert!(full.iter().any(|one| one.unacknowledged >= 500_000));
                expect(&mut server, 9, len).await;
            },
        )
        .await;
    });
}

#[test]
fn ipv6_carries_the_same() {
    let _arena = host::arena();
    for offloads in [Offloads::NONE, Offloads::ALL] {
        let pair = Pair::new(offloads);
        block_on(async {
            let addresses = pair.stacks[1].status().addresses;
            let (address, _) = *addresses
                .iter()
                .find(|(address, _)| address.is_ipv6())
                .unwrap();
            assert_eq!(
                address,
                "fe80::ff:fe00:3".parse::<core::net::IpAddr>().unwrap()
            );
            let mut listener = pair.stacks[1].listen(80, Backlog::default()).unwrap();
            let to = SocketAddr::new(address, 80);
            let mut client = pair.stacks[0].connect(to).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            join(say(&mut client, 4, LEN), hear(&mut server, 4, LEN)).await;
        });
    }
}
