//! What is no connection: UDP, echoes, groups, names, addresses that are lent.

use super::{Pair, address, asks_for_names, drive, options, sleep};
use crate::dma::Owner;
use crate::executor::block_on;
use crate::lock::Mutex;
use crate::memory::frames::host;
use crate::net::stack::{Ipv4, Options, PingError, ResolveError, Stack, UdpError};
use crate::net::{Fate, Interface, Offloads, Outgoing, Wire};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use embassy_futures::join::join;

#[test]
fn datagrams_go_both_ways() {
    let _arena = host::arena();
    for offloads in [Offloads::NONE, Offloads::ALL] {
        let pair = Pair::new(offloads);
        block_on(async {
            let [one, other] = [
                pair.stacks[0].udp(0).unwrap(),
                pair.stacks[1].udp(53).unwrap(),
            ];
            assert_eq!(pair.stacks[1].udp(53).err(), Some(UdpError::InUse));
            let to = SocketAddr::new(address(1), 53);
            let longest = super::pattern(1, 0, 1472);
            let mut bytes = [0; 2000];
            for sent in [&b"a question"[..], &[], &longest] {
                one.send_to(sent, to).await.unwrap();
                let (len, from) = other.receive_from(&mut bytes).await.unwrap();
                assert_eq!(&bytes[..len], sent);
                assert_eq!(from, SocketAddr::new(address(0), one.port()));
                other.send_to(b"an answer", from).await.unwrap();
                assert_eq!(one.receive_from(&mut bytes).await.unwrap(), (9, to));
            }
            assert_eq!(one.send_to(&[0; 1473], to).await, Err(UdpError::Length));
        });
        let damaged = pair
            .stacks
            .clone()
            .map(|stack| stack.status().counters.damaged);
        assert_eq!(damaged, [0, 0]);
    }
}

#[test]
fn echoes_come_back_or_not() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::ALL);
    block_on(async {
        let stack = &pair.stacks[0];
        // The other end may not be there at once.
        assert!(stack.ping(address(1), 1, 3_000_000).await.is_ok());
        let v6: IpAddr = "fe80::ff:fe00:3".parse().unwrap();
        assert!(stack.ping(v6, 2, 3_000_000).await.is_ok());
        let nobody = "10.0.0.9".parse().unwrap();
        assert_eq!(
            stack.ping(nobody, 3, 3_000_000).await,
            Err(PingError::TimedOut)
        );
        let nowhere = "11.0.0.9".parse().unwrap();
        assert_eq!(
            stack.ping(nowhere, 3, 1_000_000).await,
            Err(PingError::Unreachable)
        );
        let status = stack.status();
        assert!(
            status
                .neighbours
                .contains(&(address(1), pair.wires[1].properties().address))
        );
    });
}

/// An echo as it has come, but for one thing.
fn false_echo(echo: &[u8], what: usize) -> Vec<u8> {
    use smoltcp::wire::*;
    let mut echo = echo.to_vec();
    let is_v4 = EthernetFrame::new_unchecked(&echo).ethertype() == EthernetProtocol::Ipv4;
    let (source, icmp) = if is_v4 { (29, 34) } else { (37, 54) };
    // Who it was, whose it is, which one, and what it says from first to last.
    let place = [source, icmp + 5, icmp + 7, icmp + 8, icmp + 39];
    echo[place[what]] ^= 0x10;
    let mut ethernet = EthernetFrame::new_unchecked(&mut echo);
    if is_v4 {
        let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        ip.fill_checksum();
        Icmpv4Packet::new_unchecked(ip.payload_mut()).fill_checksum();
    } else {
        let mut ip = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        Icmpv6Packet::new_unchecked(ip.payload_mut()).fill_checksum(&from, &to);
    }
    echo
}

#[test]
fn only_the_echo_that_was_asked_for_is_one() {
    let _arena = host::arena();
    let v6: IpAddr = "fe80::ff:fe00:3".parse().unwrap();
    for to in [address(1), v6] {
        let pair = Pair::new(Offloads::NONE);
        let (place, reply) = if to.is_ipv4() { (34, 0) } else { (54, 129) };
        // The first that comes back is held up.
        let held = Arc::new(Mutex::new(None));
        let hold = held.clone();
        pair.wires[0].set_fate(move |bytes| {
            let protocol = bytes.get(if reply == 0 { 23 } else { 20 });
            let is_icmp = protocol == Some(&if reply == 0 { 1 } else { 58 });
            let mut held = hold.lock();
            if is_icmp && bytes.get(place) == Some(&reply) && held.is_none() {
                *held = Some(bytes.to_vec());
                return Fate::Lost;
            }
            Fate::Arrives
        });
        let is_true = Cell::new(false);
        block_on(async {
            let lies = async {
                let echo = loop {
                    if let Some(echo) = held.lock().clone() {
                        break echo;
                    }
                    sleep(1000).await;
                };
                for what in 0..5 {
                    let frame = Outgoing::new(false_echo(&echo, what).into_memory());
                    assert!(pair.wires[1].transmit(frame).is_ok());
                    sleep(1000).await;
                }
                is_true.set(true);
                let frame = Outgoing::new(echo.into_memory());
                assert!(pair.wires[1].transmit(frame).is_ok());
            };
            let asks = async {
                let answer = pair.stacks[0].ping(to, 1, 9_000_000).await;
                assert!(answer.is_ok() && is_true.get(), "{to}: {answer:?}");
            };
            join(asks, lies).await;
        });
    }
}

#[test]
fn a_group_hears_what_is_said_to_it() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let group: IpAddr = "239.1.2.3".parse().unwrap();
        let (one, other) = (
            pair.stacks[0].udp(0).unwrap(),
            pair.stacks[1].udp(7000).unwrap(),
        );
        let to = SocketAddr::new(group, 7000);
        one.send_to(b"nobody", to).await.unwrap();
        sleep(1000).await;
        pair.stacks[1].join(group).unwrap();
        assert!(pair.stacks[1].join(address(0)).is_err());
        one.send_to(b"all of you", to).await.unwrap();
        let mut bytes = [0; 100];
        assert_eq!(other.receive_from(&mut bytes).await.unwrap().0, 10);
        pair.stacks[1].leave(group).unwrap();
        one.send_to(b"nobody", to).await.unwrap();
        one.send_to(b"you", SocketAddr::new(address(1), 7000))
            .await
            .unwrap();
        assert_eq!(other.receive_from(&mut bytes).await.unwrap().0, 3);
    });
}

/// A name is asked for at the other end, where the test answers.
#[test]
fn a_name_has_addresses() {
    let _arena = host::arena();
    let pair = Pair::with(Offloads::NONE, asks_for_names);
    block_on(async {
        let server = pair.stacks[1].udp(53).unwrap();
        let answers = async {
            let mut bytes = [0; 512];
            loop {
                let (len, from) = server.receive_from(&mut bytes).await.unwrap();
                let answer = answer(&bytes[..len]);
                server.send_to(&answer, from).await.unwrap();
            }
        };
        let asks = async {
            let stack = &pair.stacks[0];
            let found = stack.resolve("phyros.example").await;
            assert_eq!(found, Ok(vec!["192.0.2.7".parse().unwrap()]));
            assert_eq!(
                stack.resolve("nobody.example").await,
                Err(ResolveError::Unknown)
            );
            assert_eq!(stack.resolve("a..b").await, Err(ResolveError::Name));
            assert_eq!(
                stack.resolve("10.0.0.9").await,
                Ok(vec!["10.0.0.9".parse().unwrap()])
            );
            // Questions that nobody waits for any more are taken back.
            for _ in 0..100 {
                let ask = stack.resolve("phyros.example");
                embassy_futures::select::select(ask, embassy_futures::yield_now()).await;
            }
            assert!(stack.resolve("phyros.example").await.is_ok());
        };
        embassy_futures::select::select(answers, asks).await;
    });
    let pair = Pair::new(Offloads::NONE);
    let nobody = block_on(pair.stacks[0].resolve("phyros.example"));
    assert_eq!(nobody, Err(ResolveError::NoServer));
}

/// An answer of a server that knows one name.
fn answer(question: &[u8]) -> Vec<u8> {
    let is_known = question.windows(6).any(|part| part == b"phyros");
    let is_v4 = question[question.len() - 3] == 1;
    let mut answer = question.to_vec();
    let found = is_known && is_v4;
    // An answer; recursion is there; the name is unknown.
    answer[2..4].copy_from_slice(&[0x81, if is_known { 0x80 } else { 0x83 }]);
    answer[7] = u8::from(found);
    if found {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    }
    answer
}

/// How often somebody was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What waits is known once, however often it is polled, and not any more when nobody waits.
#[test]
fn waits_are_counted_once_and_go_when_they_end() {
    let _arena = host::arena();
    let wires = Wire::pair(1500, Offloads::NONE);
    let lent = Options {
        ipv4: Ipv4::Dhcp,
        ..options(0)
    };
    let fixed = Options {
        ipv4: Ipv4::Fixed {
            address: Ipv4Addr::new(10, 0, 0, 2),
            prefix: 24,
            router: None,
            dns: vec![super::address(0)],
        },
        ..options(1)
    };
    let [lent, fixed] = [(0, lent), (1, fixed)]
        .map(|(end, options)| Stack::new(wires[end].clone(), options).unwrap());
    let watching = |stack: &Stack| stack.with(|engine| engine.watching.len());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut waits = [0; 3].map(|_| Box::pin(lent.has_address()));
    let mut asks = [0; 2].map(|_| Box::pin(fixed.resolve("phyros.example")));
    for _ in 0..100 {
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        for ask in &mut asks {
            assert!(ask.as_mut().poll(&mut cx).is_pending());
        }
    }
    assert_eq!((watching(&lent), watching(&fixed)), (3, 2));
    drop(asks);
    let [first, mut second, _third] = waits;
    drop(first);
    assert_eq!((watching(&lent), watching(&fixed)), (2, 0));
    wakes.0.store(0, Ordering::Relaxed);
    lent.configure(options(0).ipv4);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    assert_eq!(second.as_mut().poll(&mut cx), Poll::Ready(true));
}

/// The other end lends addresses.
#[test]
fn an_address_is_lent() {
    use smoltcp::wire::*;
    let _arena = host::arena();
    let wires = Wire::pair(1500, Offloads::ALL);
    let lends = Stack::new(wires[1].clone(), options(1)).unwrap();
    let borrows = Options {
        ipv4: Ipv4::Dhcp,
        ..options(0)
    };
    let borrows = Stack::new(wires[0].clone(), borrows).unwrap();
    let _tasks = [drive(&lends), drive(&borrows)];
    block_on(async {
        let server = lends.udp(67).unwrap();
        let mut bytes = [0; 1500];
        let serves = async {
            loop {
                let (len, _) = server.receive_from(&mut bytes).await.unwrap();
                let packet = DhcpPacket::new_checked(&bytes[..len]).unwrap();
                let asked = DhcpRepr::parse(&packet).unwrap();
                let kind = match asked.message_type {
                    DhcpMessageType::Discover => DhcpMessageType::Offer,
                    _ => DhcpMessageType::Ack,
                };
                let address = Ipv4Addr::new(10, 0, 0, 55);
                let server_ip = Ipv4Addr::new(10, 0, 0, 2);
                let repr = DhcpRepr {
                    message_type: kind,
                    your_ip: address,
                    server_ip,
                    router: Some(server_ip),
                    subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
                    server_identifier: Some(server_ip),
                    lease_duration: Some(600),
                    requested_ip: None,
                    client_identifier: None,
                    parameter_request_list: None,
                    dns_servers: Some([server_ip].into_iter().collect()),
                    max_size: None,
                    ..asked
                };
                let mut reply = vec![0; repr.buffer_len()];
                repr.emit(&mut DhcpPacket::new_unchecked(&mut reply[..]))
                    .unwrap();
                let all = SocketAddr::new(Ipv4Addr::BROADCAST.into(), 68);
                server.send_to(&reply, all).await.unwrap();
            }
        };
        let waits = async { assert!(borrows.has_address().await) };
        embassy_futures::select::select(serves, waits).await;
        let status = borrows.status();
        let lease = status.lease.unwrap();
        assert_eq!(
            (lease.address, lease.prefix),
            (Ipv4Addr::new(10, 0, 0, 55), 24)
        );
        assert_eq!(status.dns, [address(1)]);
        assert_eq!(
            status.routes,
            [(Ipv4Addr::UNSPECIFIED.into(), 0, address(1))]
        );
        assert!(borrows.ping(address(1), 1, 1_000_000).await.is_ok());
        // With a router, everything is somewhere.
        assert!(borrows.has_way("8.8.8.8".parse().unwrap()));
        assert!(!borrows.is_near("8.8.8.8".parse().unwrap()));
    });
}
