//! What is sent leaves from where it lies, and is cut where both ends want it.

use super::carrying::{LEN, frames};
use super::{address, drive, expect, options};
use crate::cores::CoreId;
use crate::dma::{Memory, Phyrs};
use crate::executor::block_on;
use crate::lock::Mutex;
use crate::memory::frames::host;
use crate::net::stack::{Backlog, Options, Stack};
use crate::net::{
    Counters, Fate, Interface, Link, Offloads, Outgoing, Properties, Received, Reception, Refusal,
    Refused, Segmentation, Segments, Sent, Stream, Wire,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};
use embassy_futures::join::join;
use phyr::Phyr;

/// A wire that notes where the bodies of frames lie, and how long frames are and how they are to be cut. It may have
/// room for few.
pub(super) struct Spy {
    wire: Arc<Wire>,
    mtu: u16,
    bodies: Mutex<Vec<Phyr>>,
    cuts: Mutex<Vec<(usize, Option<Segmentation>)>>,
    room: Mutex<(usize, Option<Waker>)>,
}

impl Spy {
    /// There is room for so many frames from now on.
    pub(super) fn set_room(&self, room: usize) {
        let waker = core::mem::replace(&mut *self.room.lock(), (room, None)).1;
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn new(wire: Arc<Wire>, mtu: u16) -> Arc<Self> {
        Arc::new(Self {
            wire,
            mtu,
            bodies: Mutex::new(Vec::new()),
            cuts: Mutex::new(Vec::new()),
            room: Mutex::new((usize::MAX, None)),
        })
    }
}

impl Interface for Spy {
    fn name(&self) -> &str {
        self.wire.name()
    }
    fn properties(&self) -> Properties {
        Properties {
            mtu: self.mtu,
            ..self.wire.properties()
        }
    }
    fn link(&self) -> Link {
        self.wire.link()
    }
    fn cores(&self) -> Vec<CoreId> {
        self.wire.cores()
    }
    fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>> {
        self.wire.supply(memory)
    }
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.wire.poll_receive(cx)
    }
    fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>> {
        let mut room = self.room.lock();
        if room.0 == 0 {
            let why = Refusal::Full;
            return Err(Refused { what: frame, why });
        }
        room.0 -= 1;
        drop(room);
        let cut = (frame.len(), frame.offload.segmentation);
        self.cuts.lock().push(cut);
        if let Some(Ok(Phyrs::One(phyr))) = frame.body.as_ref().map(Memory::phyrs) {
            self.bodies.lock().push(phyr);
        }
        self.wire.transmit(frame)
    }
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.wire.poll_sent(cx)
    }
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = self.room.lock();
        if room.0 == 0 {
            room.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(room);
        self.wire.poll_room(cx)
    }
    fn flush(&self) {
        self.wire.flush();
    }
    fn set_reception(&self, reception: Reception) {
        self.wire.set_reception(reception);
    }
    fn poll_changed(&self, seen: u64, cx: &mut Context<'_>) -> Poll<u64> {
        self.wire.poll_changed(seen, cx)
    }
    fn counters(&self) -> Counters {
        self.wire.counters()
    }
}

#[test]
fn what_is_sent_leaves_from_where_it_lies_and_is_freed_when_it_is_acknowledged() {
    let arena = host::arena();
    for (offloads, longest) in [(Offloads::NONE, 1460), (Offloads::ALL, 44 * 1460)] {
        let [one, other] = Wire::pair(1500, offloads);
        let wire = one.clone();
        let spy = Spy::new(one, 1500);
        let stacks = [
            Stack::new(spy.clone(), options(0)).unwrap(),
            Stack::new(
                other,
                Options {
                    receive: 1 << 18,
                    ..options(1)
                },
            )
            .unwrap(),
        ];
        let tasks = [drive(&stacks[0]), drive(&stacks[1])];
        block_on(async {
            let mut listener = stacks[1].listen(80, Backlog::default()).unwrap();
            let to = SocketAddr::new(address(1), 80);
            let mut client = stacks[0].connect(to).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            const SENT: usize = 200_000;
            let free = arena.free_bytes();
            let memory = frames(3, 0, SENT);
            let Ok(Phyrs::One(at)) = memory.phyrs() else {
                panic!("it is in one piece");
            };
            // A frame in the middle is lost: it is sent again from the same place.
            let mut number = 0;
            wire.set_fate(move |bytes| {
                number += usize::from(bytes.len() > 1000);
                match bytes.len() > 1000 && number == 3 {
                    true => Fate::Lost,
                    false => Fate::Arrives,
                }
            });
            client.send(memory).await.unwrap();
            assert_ne!(arena.free_bytes(), free);
            expect(&mut server, 3, SENT).await;
            client.flush().await.unwrap();
            assert_eq!(arena.free_bytes(), free);

            let bodies = spy.bodies.lock().clone();
            let mut seen = alloc::vec![0u8; SENT];
            for body in &bodies {
                let start = body.addr().get() - at.addr().get();
                assert!(body.len() <= longest && start + body.len() <= SENT as u64);
                for count in &mut seen[start as usize..(start + body.len()) as usize] {
                    *count += 1;
                }
            }
            assert!(seen.iter().all(|count| *count >= 1));
            assert!(seen.iter().any(|count| *count >= 2));
            // Some are several on the wire, if the card can.
            let most = bodies.iter().map(|body| body.len()).max().unwrap();
            assert!(most > longest / 2);
        });
        let counters = stacks[0].status().counters;
        assert_eq!(counters.copied_bytes, 0);
        assert!(counters.referred_bytes > 200_000 && counters.retransmitted > 0);
        drop(tasks);
    }
}

/// A frame that is several on the wire is cut where the other end wants it, behind its headers.
#[test]
fn a_card_is_told_to_cut_at_what_both_ends_take() {
    let _arena = host::arena();
    for (mtus, mss) in [
        ([1500, 1500], 1460),
        ([1500, 1000], 960),
        ([1000, 1500], 960),
    ] {
        let wires = Wire::pair(1500, Offloads::ALL);
        let [one, other] = [0, 1].map(|end| Spy::new(wires[end].clone(), mtus[end]));
        let stacks = [
            Stack::new(one.clone(), options(0)).unwrap(),
            Stack::new(other, options(1)).unwrap(),
        ];
        let tasks = [drive(&stacks[0]), drive(&stacks[1])];
        block_on(async {
            let mut listener = stacks[1].listen(80, Backlog::default()).unwrap();
            let to = SocketAddr::new(address(1), 80);
            let mut client = stacks[0].connect(to).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            join(
                async { client.send(frames(4, 0, LEN)).await.unwrap() },
                expect(&mut server, 4, LEN),
            )
            .await;
        });
        const HEADERS: usize = 14 + 20 + 20;
        let cuts = one.cuts.lock();
        for (len, cut) in &*cuts {
            let is_long = *len > HEADERS + mss;
            let expected = is_long.then_some(Segmentation {
                segments: Segments::Tcp4,
                size: mss as u16,
                headers: HEADERS as u16,
            });
            assert_eq!(*cut, expected, "{len} bytes, {mtus:?}");
        }
        assert!(cuts.iter().any(|(_, cut)| cut.is_some()));
        drop(tasks);
    }
}
