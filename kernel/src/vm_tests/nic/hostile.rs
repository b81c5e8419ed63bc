//! Whoever is on the wire means harm: frames come in from the host, through the card, to a stack that serves.
//!
//! The other end of a connection must be somebody, too. It is a second stack, on a wire made of memory, and what
//! it sends goes out to the host and comes in through the card, like everything else.

use super::card;
use crate::block::blocking::wait;
use crate::dma::Owner;
use crate::drivers::virtio::net::Nic;
use crate::executor::{self, Task};
use crate::memory::frames::Frames;
use crate::memory::heap;
use crate::net::corpus::{Target, by_chance, by_hand, is_from};
use crate::net::stack::{Backlog, Connection, Ipv4, Listener, Options, Stack, State};
use crate::net::{Fate, Interface, Offloads, Outgoing, Stream, Wire};
use crate::println;
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll, Waker};
use embassy_futures::yield_now;
use vm_test::{pattern, seed, vm_test, wire};

/// Bytes of the heap that are now in use and now not: headers that wait to be used again, and searches that are not
/// over. A leak of 16 bytes for each of the thousands of frames of a round would be as much.
const UNSTEADY: u64 = 48 << 10;

const PORT: u16 = 80;
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const BACKLOG: Backlog = Backlog {
    half_open: 32,
    waiting: 8,
};

/// What memory looks like.
///
/// How much the heap has taken depends on how many answers happened to wait at once, and it keeps that: so frames are
/// compared without it, and what is in use of it on its own.
#[derive(Debug, Clone, Copy)]
struct Memory {
    free_or_heap: u64,
    heap_used: u64,
}

impl Memory {
    fn now() -> Self {
        Self {
            free_or_heap: free_or_heap_bytes(),
            heap_used: heap::used(),
        }
    }

    fn assert_is_all_back(self, later: Self) {
        assert_eq!(
            self.free_or_heap, later.free_or_heap,
            "after one more round"
        );
        let more = later.heap_used.saturating_sub(self.heap_used);
        assert!(more <= UNSTEADY, "{more} bytes of the heap are missing");
    }
}

/// Sends bytes into the machine.
struct Thrower(RefCell<Frames>);

impl Thrower {
    async fn throw(&self, bytes: &[u8]) {
        loop {
            let is_sent = {
                let mut frames = self.0.borrow_mut();
                frames.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
                let phyr = frames.phyr().sub(0, bytes.len() as u64);
                wire::send(0, phyr.unwrap(), 0, 0, 0)
            };
            if is_sent {
                return;
            }
            yield_now().await;
        }
    }
}

/// A stack on the card, and one at the other end.
struct Bench {
    card: Arc<Nic>,
    stack: Stack,
    peer: Stack,
    thrower: Rc<Thrower>,
    target: Target,
    _tasks: [Task<()>; 3],
}

fn options(address: Ipv4Addr, router: Option<Ipv4Addr>) -> Options {
    Options {
        ipv4: Ipv4::Fixed {
            address,
            prefix: 24,
            router,
            dns: Vec::new(),
        },
        seed: seed() ^ u64::from(address.octets()[3]),
        ..Options::default()
    }
}

fn drive(stack: &Stack) -> Task<()> {
    let stack = stack.clone();
    executor::spawn(async move { stack.drive().await })
}

/// Carries frames between the host and the peer's wire.
async fn carry(card: Arc<Nic>, end: Arc<Wire>, thrower: Rc<Thrower>) {
    let buffer = Frames::allocate(1 << 17).unwrap();
    for _ in 0..64 {
        end.supply(vec![0; 2048].into_memory()).unwrap();
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = 0;
    loop {
        if card.counters().sent > taken
            && let Some(len) = wire::take(0, buffer.phyr())
        {
            taken += 1;
            let frame = buffer.bytes()[..len].to_vec().into_memory();
            end.transmit(Outgoing::new(frame)).unwrap();
        }
        if let Poll::Ready(Some(frame)) = end.poll_receive(&mut cx) {
            thrower.throw(frame.first.bytes()).await;
            for memory in frame.into_pieces() {
                end.supply(memory.whole()).unwrap();
            }
        }
        yield_now().await;
    }
}

impl Bench {
    fn new() -> Self {
        let card = card();
        let [near, far] = Wire::pair(1500, Offloads::NONE);
        near.set_fate(|_| Fate::Arrives);
        // Strangers are behind the peer, so answers to them leave.
        let stack = Stack::new(card.clone(), options(OURS, Some(PEER))).unwrap();
        let peer = Stack::new(far, options(PEER, None)).unwrap();
        let thrower = Rc::new(Thrower(RefCell::new(Frames::allocate(1 << 17).unwrap())));
        let carrier = carry(card.clone(), near, thrower.clone());
        let status = stack.status();
        let ipv6 = status
            .addresses
            .iter()
            .find_map(|(address, _)| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            });
        let target = Target {
            mac: card.properties().address.0,
            ipv4: OURS,
            ipv6: ipv6.unwrap(),
            port: PORT,
        };
        let _tasks = [drive(&stack), drive(&peer), executor::spawn(carrier)];
        Self {
            card,
            stack,
            peer,
            thrower,
            target,
            _tasks,
        }
    }

    /// Throws frames, and waits until the card has had them.
    async fn throw(&self, frames: impl Iterator<Item = Vec<u8>>) {
        for (number, frame) in frames.enumerate() {
            // An empty datagram is none.
            if !frame.is_empty() && !is_from(&frame, PEER.octets()) {
                self.thrower.throw(&frame).await;
            }
            if number % 8 == 7 {
                yield_now().await;
            }
        }
    }

    async fn connected(&self, listener: &mut Listener) -> [Connection; 2] {
        let to = SocketAddr::new(OURS.into(), PORT);
        let client = self.peer.connect(to).await.unwrap();
        // Somebody else may have got so far, too.
        loop {
            let server = listener.accept().await.unwrap();
            if Some(server.peer()) == client.local() {
                return [client, server];
            }
        }
    }

    /// Whether it answers. A question may get lost where the card has no room. And the host carries each frame on its
    /// own, so on a busy one the answer may be far behind all that is on its way: who has none waits longer.
    async fn answers(&self) -> bool {
        for (number, patience) in (0..5).map(|number| (number, 5_000_000 << number)) {
            if self.peer.ping(OURS.into(), number, patience).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// It answers, and what was begun goes on.
    async fn serves(&self, open: &mut [Connection; 2], name: &str) {
        assert!(self.answers().await, "no answer after `{name}`");
        let mut bytes = vec![0; 3000];
        pattern::fill(seed(), 0, &mut bytes);
        let [client, server] = open;
        client.write(&bytes).await.unwrap();
        let mut heard = 0;
        while heard < bytes.len() {
            let mut buffer = [0; 1000];
            let read = server.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the end came after `{name}`");
            let wrong = pattern::first_difference(seed(), heard as u64, &buffer[..read]);
            assert_eq!(wrong, None, "after `{name}`");
            heard += read;
        }
    }

    /// Until nothing is left of anybody.
    async fn is_quiet(&self) {
        let is_left = |stack: &Stack| {
            let left = stack.connections();
            left.iter().any(|one| one.state != State::TimeWait)
        };
        while is_left(&self.stack) || is_left(&self.peer) {
            yield_now().await;
        }
        // And the card has sent what was to be sent.
        assert!(self.answers().await, "no answer at the end");
    }
}

/// Ends a connection at once, by what was not read, so that nobody has to remember it.
async fn break_off([mut client, server]: [Connection; 2]) {
    client.write(b"nobody will read this").await.unwrap();
    client.flush().await.unwrap();
    drop(server);
    drop(client);
}

#[vm_test(machine = "nic", timeout = 900)]
fn whatever_is_wrong_with_frames_others_are_served_and_no_memory_is_lost() {
    let bench = Bench::new();
    wait(async {
        let mut memory = Vec::new();
        // The first round fills what has a bound.
        for round in 0..3 {
            let mut listener = bench.stack.listen(PORT, BACKLOG).unwrap();
            let udp = bench.stack.udp(PORT).unwrap();
            let mut open = bench.connected(&mut listener).await;
            for case in by_hand(&bench.target) {
                bench.throw(case.frames.into_iter()).await;
                if round == 0 {
                    bench.serves(&mut open, case.name).await;
                }
            }
            bench.serves(&mut open, "all of them").await;
            for part in 0..4 {
                let frames = by_chance(&bench.target, 1 + part).take(400);
                bench.throw(frames).await;
                bench.serves(&mut open, "chance").await;
            }
            let left = bench.stack.connections().len();
            assert!(left <= BACKLOG.half_open + 3, "{left} connections");
            let mut other = bench.connected(&mut listener).await;
            bench.serves(&mut other, "a new connection").await;
            break_off(other).await;
            break_off(open).await;
            drop((listener, udp));
            bench.is_quiet().await;
            memory.push(Memory::now());
        }
        println!("{memory:?}, {:?}", bench.stack.status().counters);
        memory[1].assert_is_all_back(memory[2]);
        assert_eq!(bench.card.card().resets(), 0);
        assert!(bench.stack.status().counters.damaged > 100);
    });
}

/// A SYN from somebody who is not there.
fn opening(target: &Target, number: u32) -> Vec<u8> {
    let [_, a, b, c] = number.to_be_bytes();
    crate::net::corpus::opening(
        target,
        [198, 18 + (a & 1), b, c],
        (number % 60_000) as u16 + 1024,
    )
}

#[vm_test(machine = "nic", timeout = 900)]
fn a_flood_of_openings_costs_a_bounded_amount_of_memory_and_nobody_his_connection() {
    const OPENINGS: u32 = 3000;
    let bench = Bench::new();
    wait(async {
        let mut memory = Vec::new();
        for round in 0..3 {
            let mut listener = bench.stack.listen(PORT, BACKLOG).unwrap();
            let mut open = bench.connected(&mut listener).await;
            let before = bench.stack.status().counters;
            let mut least = u64::MAX;
            for part in 0..10 {
                let from = round * 10_000 + part * OPENINGS / 10;
                let frames = (from..from + OPENINGS / 10).map(|n| opening(&bench.target, n));
                bench.throw(frames).await;
                bench.serves(&mut open, "a flood").await;
                let left = bench.stack.connections().len();
                assert!(left <= BACKLOG.half_open + 2, "{left} connections");
                least = least.min(free_or_heap_bytes());
            }
            let after = bench.stack.status().counters;
            // What the card had no room for it has dropped.
            let evicted = after.evicted - before.evicted;
            assert!(evicted > u64::from(OPENINGS) / 4, "{after:?}");
            let mut other = bench.connected(&mut listener).await;
            bench
                .serves(&mut other, "a flood, and a new connection")
                .await;
            break_off(other).await;
            break_off(open).await;
            drop(listener);
            bench.is_quiet().await;
            memory.push((Memory::now(), least));
        }
        println!("{memory:?}, {:?}", bench.stack.status().counters);
        memory[1].0.assert_is_all_back(memory[2].0);
        // Also in the middle of it: the bound is 34 rings of 32 KiB.
        let (after, least) = memory[0];
        assert!(least + (4 << 20) > after.free_or_heap, "{memory:?}");
    });
}
