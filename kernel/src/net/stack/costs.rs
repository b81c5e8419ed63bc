//! What a packet costs in the stack: instructions, requests to the heap, and locks.
//!
//! Below there is no card but a [desk](desk), which keeps what is handed to it. Carrying frames to the other end is
//! not the stack's work, and is not counted. The machine's clock counts instructions, so the numbers come out the
//! same each time.

mod desk;

use super::{Backlog, Connection, Ipv4, Options, Stack};
use crate::arch::cpu::time_stamp;
use crate::dma::{Memory, Owner};
use crate::lock;
use crate::memory::frames::Frames;
use crate::memory::heap;
use crate::net::{Offloads, Stream};
use crate::println;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use desk::Desk;
use vm_test::vm_test;

/// What something has taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    /// Requests to the heap: memory that is asked for, and memory that is given back.
    heap: u64,
    locks: u64,
}

impl Cost {
    /// Adds what this takes.
    fn of<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let (heap, locks) = (heap::requests(), lock::taken());
        let start = time_stamp();
        let result = work();
        self.instructions += time_stamp() - start;
        self.heap += heap::requests() - heap;
        self.locks += lock::taken() - locks;
        result
    }
}

/// Two stacks and their desks.
struct Rig {
    stacks: [Stack; 2],
    desks: [Arc<Desk>; 2],
    now: u64,
    buffer: Vec<u8>,
    /// What turns have cost, and how many there were.
    costs: [Cost; 2],
    turns: [u64; 2],
    /// Frames from each end.
    frames: [u64; 2],
}

fn address(end: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, end)
}

impl Rig {
    fn new(offloads: Offloads) -> Self {
        let desks = [1, 2].map(|end| Desk::new(end, offloads));
        let stacks = [0, 1].map(|end: usize| {
            let ipv4 = Ipv4::Fixed {
                address: address(end as u8 + 1),
                prefix: 24,
                router: None,
                dns: Vec::new(),
            };
            let options = Options {
                ipv4,
                ipv6: false,
                seed: 5 + end as u64,
                ..Options::default()
            };
            let stack = Stack::new(desks[end].clone(), options).unwrap();
            stack.with(|engine| engine.supply());
            stack
        });
        Self {
            stacks,
            desks,
            now: crate::executor::time(),
            buffer: vec![0; 1 << 17],
            costs: [Cost::default(); 2],
            turns: [0; 2],
            frames: [0; 2],
        }
    }

    /// A turn of one end. What it has handed over is at the other end then.
    fn turn(&mut self, end: usize) {
        self.now += 100;
        let now = self.now;
        let stack = &self.stacks[end];
        let mut cx = Context::from_waker(Waker::noop());
        self.costs[end].of(|| stack.with(|engine| engine.poll(now, &mut cx)));
        self.turns[end] += 1;
        self.frames[end] += self.desks[end].carry(&self.desks[1 - end], &mut self.buffer);
    }

    fn until<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                return result;
            }
            self.turn(0);
            self.turn(1);
        }
        panic!("it does not get on");
    }

    fn connected(&mut self) -> [Connection; 2] {
        let [near, far] = self.stacks.clone();
        let mut listener = far.listen(80, Backlog::default()).unwrap();
        let to = SocketAddr::new(address(2).into(), 80);
        let client = self.until(near.connect(to)).unwrap();
        let server = self.until(listener.accept()).unwrap();
        [client, server]
    }

    /// Sends memory from the first end to the second, which reads it. How often each end had a turn.
    fn send(&mut self, open: &mut [Connection; 2], memory: Memory, into: &mut [u8]) -> Cost {
        let [client, server] = open;
        let len = memory.len();
        let mut reads = Cost::default();
        self.costs[0]
            .of(|| now(client.send(memory)))
            .unwrap()
            .unwrap();
        let mut read = 0;
        while read < len {
            self.turn(0);
            self.turn(1);
            while let Some(count) = reads.of(|| now(server.read(into))) {
                read += count.unwrap();
            }
        }
        self.turn(0);
        reads
    }
}

/// What is ready at once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn memory(len: u64) -> Memory {
    Frames::zeroed(len).unwrap().into_memory()
}

/// A stream of data in one direction, how many instructions a segment of it may cost, sent and received, and what of
/// the heap all that is received may take.
fn stream(name: &str, offloads: Offloads, most: [u64; 2], heap: u64) {
    const PIECE: u64 = 64 << 10;
    const PIECES: u64 = 16;
    let mut rig = Rig::new(offloads);
    let mut open = rig.connected();
    let mut into = vec![0; 16 << 10];
    // So that everything that is made at the first use has been made, and the window is open.
    for _ in 0..8 {
        rig.send(&mut open, memory(PIECE), &mut into);
    }
    (rig.costs, rig.turns, rig.frames) = Default::default();
    let mut reads = Cost::default();
    for _ in 0..PIECES {
        let piece = memory(PIECE);
        let read = rig.send(&mut open, piece, &mut into);
        reads.instructions += read.instructions;
        reads.heap += read.heap;
        reads.locks += read.locks;
    }
    let segments = PIECE.div_ceil(1460) * PIECES;
    for (end, role) in [(0, "sent"), (1, "received")] {
        let Cost {
            instructions,
            heap,
            locks,
        } = rig.costs[end];
        println!(
            "{name}, {role}: {segments} segments, {} frames out, {} turns; {} instructions a segment, \
             {heap} requests to the heap, {locks} locks",
            rig.frames[end],
            rig.turns[end],
            instructions / segments,
        );
    }
    println!(
        "{name}, read: {} instructions a segment",
        reads.instructions / segments
    );
    for (end, most) in most.into_iter().enumerate() {
        let each = rig.costs[end].instructions / segments;
        assert!(
            each <= most,
            "{name}, end {end}: {each} instructions a segment"
        );
    }
    // What is kept is kept for a piece of memory, not for a segment.
    assert!(rig.costs[0].heap <= 8 * PIECES, "{:?}", rig.costs[0]);
    assert!(rig.costs[1].heap + reads.heap <= heap, "{:?}", rig.costs[1]);
    // One for a turn, in which there are many segments, and two for each call.
    assert!(rig.costs[0].locks <= rig.turns[0] + 2 * PIECES + 2);
    assert_eq!(rig.costs[1].locks, rig.turns[1]);
}

#[vm_test(machine = "icount", timeout = 120)]
fn a_segment_costs_few_instructions_and_nothing_of_the_heap() {
    let offloads = Offloads {
        checksum: true,
        checked: true,
        ..Offloads::NONE
    };
    stream("summed by the card", offloads, [2270, 3630], 0);
    stream("summed by the CPU", Offloads::NONE, [6450, 7720], 0);
    // What was joined lies in several pieces, and is put together for the engine.
    let cutting = Offloads {
        segment_tcp4: true,
        joined_tcp4: true,
        ..offloads
    };
    stream("cut by the card", cutting, [650, 1700], 240);
}

#[vm_test(machine = "icount", timeout = 120)]
fn a_datagram_costs_few_instructions_and_nothing_of_the_heap() {
    datagrams(1, [1920, 2100]);
    datagrams(16, [1130, 1140]);
}

/// Datagrams, so many in a turn, and how many instructions each may cost, sent and received.
fn datagrams(batch: u64, most: [u64; 2]) {
    const DATAGRAMS: u64 = 512;
    let offloads = Offloads {
        checksum: true,
        checked: true,
        ..Offloads::NONE
    };
    let mut rig = Rig::new(offloads);
    let sockets = [0, 1].map(|end: usize| rig.stacks[end].udp(7).unwrap());
    let to = SocketAddr::new(address(2).into(), 7);
    let bytes = [7; 512];
    let mut into = [0; 512];
    let mut costs = [Cost::default(); 2];
    let all: Vec<_> = (0..batch).map(|_| (&bytes[..], to)).collect();
    for round in 0..DATAGRAMS / batch + 16 {
        if round == 16 {
            costs = [Cost::default(); 2];
            (rig.costs, rig.turns, rig.frames) = Default::default();
        }
        let sent = costs[0].of(|| now(sockets[0].send_all(&all)));
        sent.unwrap().unwrap();
        rig.turn(0);
        rig.turn(1);
        if round < 16 {
            // Who is it? Then it arrives.
            rig.turn(0);
            rig.turn(1);
        }
        while costs[1]
            .of(|| now(sockets[1].receive_from(&mut into)))
            .is_some()
        {}
    }
    for (end, role) in [(0, "sent"), (1, "received")] {
        let each = (rig.costs[end].instructions + costs[end].instructions) / DATAGRAMS;
        println!(
            "a datagram {role}, {batch} a turn: {} instructions in the turn, {} in the call; {:?} and {:?}",
            rig.costs[end].instructions / DATAGRAMS,
            costs[end].instructions / DATAGRAMS,
            rig.costs[end],
            costs[end]
        );
        let most = most[end];
        assert!(each <= most, "{role}: {each} instructions a datagram");
        assert_eq!(rig.costs[end].heap + costs[end].heap, 0, "{role}");
        assert_eq!(rig.costs[end].locks, rig.turns[end], "{role}");
    }
    // One to send all that is there, one to receive it, and one to see that there is no more.
    let rounds = DATAGRAMS / batch;
    assert_eq!(costs.map(|cost| cost.locks), [rounds, 2 * rounds]);
}
