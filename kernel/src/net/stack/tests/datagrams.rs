//! Datagrams past the engine: whatever the engine would do with them is done with them.

use super::carrying::frames;
use super::placing::Spy;
use super::{Pair, address, asks_for_names, drive, options, sleep};
use crate::dma::Owner;
use crate::executor::{self, block_on};
use crate::lock::Mutex;
use crate::memory::frames::host;
use crate::net::stack::engine::{Turn, instant};
use crate::net::stack::{Backlog, Ipv4, Options, Stack, UdpError, UdpSocket};
use crate::net::{Fate, Interface, MacAddress, Offloads, Outgoing, Reception, Stream, Wire};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use smoltcp::iface::Route;

const SECOND: u64 = 1_000_000;

/// The next datagram, if there is one soon.
pub(super) async fn soon(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut bytes = vec![0; 2000];
    match select(socket.receive_from(&mut bytes), sleep(3 * SECOND)).await {
        Either::First(received) => received
            .ok()
            .map(|(len, from)| (bytes[..len].to_vec(), from)),
        Either::Second(()) => None,
    }
}

/// Port 1000 of the first machine, and port 2000 of the second.
fn sockets(pair: &Pair) -> [UdpSocket; 2] {
    let udp = |end: usize, port| pair.stacks[end].udp(port).unwrap();
    [udp(0, 1000), udp(1, 2000)]
}

fn v6(end: usize) -> IpAddr {
    let end = 2 + end as u16;
    core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, end).into()
}

/// Frames with datagrams that have left, on all ends.
pub(super) fn note(wire: &Wire) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let all = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let noted = all.clone();
    wire.set_fate(move |frame| {
        let is_v4 = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&17);
        let is_v6 = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&17);
        if is_v4 || is_v6 {
            noted.lock().push(frame.to_vec());
        }
        Fate::Arrives
    });
    all
}

fn throw(wire: &Wire, frame: &[u8]) {
    let frame = Outgoing::new(frame.to_vec().into_memory());
    assert!(wire.transmit(frame).is_ok());
}

#[test]
fn a_card_with_another_address_sends_and_receives_under_it() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let sent = note(&pair.wires[0]);
    block_on(async {
        let [near, far] = sockets(&pair);
        let (to, back) = (
            SocketAddr::new(address(1), 2000),
            SocketAddr::new(address(0), 1000),
        );
        near.send_to(b"before", to).await.unwrap();
        assert_eq!(soon(&far).await, Some((b"before".to_vec(), back)));
        far.send_to(b"yes", back).await.unwrap();
        assert_eq!(soon(&near).await, Some((b"yes".to_vec(), to)));
        let new = MacAddress([2, 0, 0, 0, 0, 0x33]);
        pair.wires[1].set_reception(Reception {
            address: Some(new),
            ..Reception::default()
        });
        sleep(1000).await;
        far.send_to(b"I", back).await.unwrap();
        assert_eq!(soon(&near).await, Some((b"I".to_vec(), to)));
        let last = sent.lock().pop().unwrap();
        assert_eq!(last[6..12], new.0, "the old address");
        // The other end forgets where it was.
        sleep(61 * SECOND).await;
        near.send_to(b"after", to).await.unwrap();
        assert_eq!(soon(&far).await, Some((b"after".to_vec(), back)));
    });
}

/// More than wait at a time are sent in one call, and come in their order; behind one that cannot be sent, nothing is.
#[test]
fn many_in_one_call_are_sent_in_their_order_up_to_one_that_cannot_be() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let [near, far] = sockets(&pair);
        let to = SocketAddr::new(address(1), 2000);
        let from = SocketAddr::new(address(0), 1000);
        // Somebody who is not known has only a few kept for him.
        near.send_to(b"first", to).await.unwrap();
        assert_eq!(soon(&far).await, Some((b"first".to_vec(), from)));
        let numbers: Vec<[u8; 2]> = (0..100_u16).map(u16::to_be_bytes).collect();
        let mut all: Vec<(&[u8], SocketAddr)> =
            numbers.iter().map(|bytes| (&bytes[..], to)).collect();
        let hears = async {
            for number in &numbers {
                assert_eq!(soon(&far).await, Some((number.to_vec(), from)));
            }
        };
        let (sent, ()) = join(near.send_all(&all), hears).await;
        assert_eq!(sent, Ok(()));
        let long = vec![0; 2000];
        all.truncate(3);
        all[2].0 = &long;
        all.push((b"behind", to));
        assert_eq!(near.send_all(&all).await, Err(UdpError::Length));
        near.send_to(b"after", to).await.unwrap();
        for bytes in [&numbers[0][..], &numbers[1], b"after"] {
            assert_eq!(soon(&far).await, Some((bytes.to_vec(), from)));
        }
    });
}

/// Whose datagrams were for this machine is remembered, but not longer than its address is.
#[test]
fn what_is_sent_to_an_address_that_is_not_ours_any_more_does_not_arrive() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let sent = note(&pair.wires[0]);
    block_on(async {
        let [near, far] = sockets(&pair);
        let to = SocketAddr::new(address(1), 2000);
        let from = SocketAddr::new(address(0), 1000);
        for bytes in [b"1", b"2"] {
            near.send_to(bytes, to).await.unwrap();
            assert_eq!(soon(&far).await, Some((bytes.to_vec(), from)));
        }
        let frame = sent.lock().pop().unwrap();
        throw(&pair.wires[0], &frame);
        assert_eq!(soon(&far).await, Some((b"2".to_vec(), from)));
        pair.stacks[1].configure(Ipv4::Nowhere);
        throw(&pair.wires[0], &frame);
        assert_eq!(soon(&far).await, None);
    });
}

/// What `send_to` has taken leaves, even if the socket is dropped before anybody had a turn.
#[test]
fn what_was_sent_leaves_though_its_socket_is_gone() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let [near, far] = sockets(&pair);
        let to = SocketAddr::new(address(1), 2000);
        let from = SocketAddr::new(address(0), 1000);
        near.send_to(b"first", to).await.unwrap();
        assert_eq!(soon(&far).await, Some((b"first".to_vec(), from)));
        for bytes in [b"1", b"2"] {
            near.send_to(bytes, to).await.unwrap();
        }
        drop(near);
        let again = pair.stacks[0].udp(1000);
        for bytes in [b"1", b"2"] {
            assert_eq!(soon(&far).await, Some((bytes.to_vec(), from)));
        }
        drop(again.expect("the number is free"));
    });
}

/// A program asks the same server by itself, while the stack asks it for a name.
#[test]
fn what_a_server_of_names_sends_to_a_program_is_the_programs() {
    let _arena = host::arena();
    let pair = Pair::with(Offloads::NONE, asks_for_names);
    block_on(async {
        let server = pair.stacks[1].udp(53).unwrap();
        let program = pair.stacks[0].udp(4000).unwrap();
        let asks = select(pair.stacks[0].resolve("phyros.example"), sleep(9 * SECOND));
        let answers = async {
            assert!(soon(&server).await.is_some());
            let to = SocketAddr::new(address(0), 4000);
            server.send_to(b"yours", to).await.unwrap();
            let from = SocketAddr::new(address(1), 53);
            assert_eq!(soon(&program).await, Some((b"yours".to_vec(), from)));
        };
        join(asks, answers).await;
    });
}

#[test]
fn a_datagram_behind_an_extension_for_all_hops_arrives() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let sent = note(&pair.wires[0]);
    block_on(async {
        let [near, far] = sockets(&pair);
        let to = SocketAddr::new(v6(1), 2000);
        near.send_to(b"plain", to).await.unwrap();
        assert!(soon(&far).await.is_some());
        let plain = sent.lock().pop().unwrap();
        // Padding; a router is to look at it; something that may be passed over, and something that may not.
        for (options, is_heard) in [
            (&[1, 4, 0, 0, 0, 0][..], true),
            (&[5, 2, 0, 0, 1, 0], true),
            (&[0x1e, 4, 1, 2, 3, 4], true),
            (&[0, 0, 0, 0, 0, 0], true),
            (&[0x5e, 4, 1, 2, 3, 4], false),
            (&[0xde, 4, 1, 2, 3, 4], false),
            (&[1, 5, 0, 0, 0, 0], false),
        ] {
            let mut frame = plain.clone();
            frame.splice(54..54, [&[17, 0], options].concat());
            frame[20] = 0;
            frame[19] += 8;
            throw(&pair.wires[0], &frame);
            let heard = soon(&far).await.map(|one| one.0);
            assert_eq!(heard, is_heard.then(|| b"plain".to_vec()), "{options:?}");
            *frame.last_mut().unwrap() ^= 1;
            throw(&pair.wires[0], &frame);
            assert_eq!(soon(&far).await, None, "it is damaged");
        }
        assert!(soon(&near).await.is_none());
    });
}

/// Nothing has happened for long, and the other machine is somewhere else meanwhile.
#[test]
fn what_was_known_long_ago_is_not_believed_any_more() {
    let _arena = host::arena();
    let pair = Pair::with(Offloads::NONE, |options| Options {
        ipv6: false,
        ..options
    });
    block_on(async {
        let [near, far] = sockets(&pair);
        let to = SocketAddr::new(address(1), 2000);
        near.send_to(b"before", to).await.unwrap();
        assert!(soon(&far).await.is_some());
        pair.wires[1].set_reception(Reception {
            address: Some(MacAddress([2, 0, 0, 0, 0, 0x33])),
            ..Reception::default()
        });
        sleep(100 * SECOND).await;
        near.send_to(b"after", to).await.unwrap();
        let heard = soon(&far).await.map(|one| one.0);
        assert_eq!(heard, Some(b"after".to_vec()));
    });
}

/// What is behind the datagram in its packet is not the datagram's, and not in its sum.
#[test]
fn a_datagram_may_be_shorter_than_its_packet() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    let sent = note(&pair.wires[0]);
    block_on(async {
        let [near, far] = sockets(&pair);
        for to in [address(1), v6(1)] {
            near.send_to(b"plain", (to, 2000).into()).await.unwrap();
            assert!(soon(&far).await.is_some());
            let mut frame = sent.lock().pop().unwrap();
            frame.extend([1, 2, 3]);
            match to {
                IpAddr::V4(_) => {
                    let mut packet = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
                    packet.set_total_len(20 + 8 + 8);
                    packet.fill_checksum();
                }
                IpAddr::V6(_) => frame[19] += 3,
            }
            throw(&pair.wires[0], &frame);
            let heard = soon(&far).await.map(|one| one.0);
            assert_eq!(heard, Some(b"plain".to_vec()), "{to}");
        }
    });
}

/// Somebody is to be asked for, and the card takes nothing: it says when it does, and nobody looks all the time.
#[test]
fn a_question_that_finds_no_room_waits_for_room() {
    let _arena = host::arena();
    let [near, _far] = Wire::pair(1500, Offloads::NONE);
    let spy = Spy::new(near, 1500);
    spy.set_room(0);
    let stack = Stack::new(spy, options(0)).unwrap();
    let socket = stack.udp(0).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let turn = |now| stack.with(|engine| engine.poll(now, &mut Context::from_waker(Waker::noop())));
    let mut send = |to: IpAddr| {
        let sent = core::pin::pin!(socket.send_to(b"?", (to, 9).into()))
            .as_mut()
            .poll(&mut cx);
        assert!(sent.is_ready());
    };
    for now in 0..100 {
        send("239.1.2.3".parse().unwrap());
        turn(now * 1000);
        if stack.with(|engine| engine.card.room()) == 0 {
            break;
        }
    }
    send(address(1));
    let now = 200_000;
    let next = turn(now);
    assert!(matches!(next, Turn::Until(at) if at > now), "{next:?}");
}

/// Connections have more to send than the card takes, all the time.
#[test]
fn datagrams_leave_though_connections_take_all_the_room() {
    let _arena = host::arena();
    let [near, far] = Wire::pair(1500, Offloads::NONE);
    let spy = Spy::new(near, 1500);
    let stacks = [
        Stack::new(spy.clone(), options(0)).unwrap(),
        Stack::new(far, options(1)).unwrap(),
    ];
    let _tasks = [drive(&stacks[0]), drive(&stacks[1])];
    block_on(async {
        let mut listener = stacks[1].listen(80, Backlog::default()).unwrap();
        let mut pumps = Vec::<Pin<Box<dyn Future<Output = ()>>>>::new();
        for _ in 0..12 {
            let mut client = stacks[0].connect((address(1), 80).into()).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            pumps.push(Box::pin(async move {
                loop {
                    client.send(frames(3, 0, 4096)).await.unwrap();
                }
            }));
            pumps.push(Box::pin(async move {
                let mut bytes = [0; 4000];
                loop {
                    assert!(server.read(&mut bytes).await.unwrap() > 0);
                }
            }));
        }
        pumps.push(Box::pin(async {
            loop {
                spy.set_room(8);
                sleep(1000).await;
            }
        }));
        let all = poll_fn(|cx| {
            for pump in &mut pumps {
                let _ = pump.as_mut().poll(cx);
            }
            Poll::<()>::Pending
        });
        let datagrams = async {
            sleep(SECOND).await;
            let near = stacks[0].udp(1000).unwrap();
            let far = stacks[1].udp(2000).unwrap();
            for _ in 0..20 {
                let started = executor::time();
                near.send_to(b"?", (address(1), 2000).into()).await.unwrap();
                assert!(soon(&far).await.is_some());
                let took = executor::time() - started;
                assert!(took < 20_000, "{took} us");
            }
        };
        select(datagrams, all).await;
    });
}

/// What a router has said holds for as long as it has said.
#[test]
fn a_router_is_believed_for_as_long_as_it_has_said() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let [near, _far] = sockets(&pair);
        let router = v6(1).into();
        pair.stacks[0].with(|engine| {
            let mut route = Route::new_ipv6_gateway(Ipv6Addr::UNSPECIFIED);
            (route.via_router, route.expires_at) = (router, Some(instant(5 * SECOND)));
            let routes = engine.iface.routes_mut();
            routes.update(|all| all.push(route).expect("there is room"));
        });
        let away = "2001:db8::7".parse().unwrap();
        let to = SocketAddr::new(away, 7);
        assert_eq!(near.send_to(b"soon", to).await, Ok(()));
        sleep(6 * SECOND).await;
        assert_eq!(near.send_to(b"late", to).await, Err(UdpError::Unreachable));
    });
}
