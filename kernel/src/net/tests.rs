//! The rules of an interface, on a wire between two of them.

use super::{
    Checked, Checksum, Fate, Interface, Link, MacAddress, Offload, Offloads, Outgoing, Received,
    Reception, Refusal, Registry, Segmentation, Segments, Wire,
};
use crate::dma::{Memory, Mixed, Owner};
use crate::memory::frames::{Frames, host};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8 ^ seed).collect();
    bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 3]);
    bytes
}

fn memory(bytes: Vec<u8>) -> Memory {
    bytes.into_memory()
}

fn receive(wire: &Wire) -> Option<Received> {
    match wire.poll_receive(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => None,
    }
}

fn content(frame: &Received) -> Vec<u8> {
    let mut bytes = vec![0; frame.len()];
    frame.copy_to(0, &mut bytes).unwrap();
    bytes
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_frame_of_two_kinds_of_memory_arrives_and_its_memory_comes_back() {
    let arena = host::arena();
    let free = arena.free_bytes();
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    other.supply(memory(vec![0xaa; 2048])).unwrap();
    let expected = bytes(1000, 1);
    let mut body = Mixed::new();
    let mut frames = Frames::allocate(4096).unwrap();
    frames.bytes_mut()[..500].copy_from_slice(&expected[100..600]);
    body.push(frames.into_memory().part(0..500).unwrap());
    body.push(expected[600..].to_vec());
    let frame = Outgoing::new(memory(expected[..100].to_vec()))
        .with_body(body.into_memory())
        .with_tag(77);
    one.transmit(frame).unwrap();

    let arrived = receive(&other).unwrap();
    assert_eq!(content(&arrived), expected);
    assert!(arrived.is_one_piece() && arrived.first.bytes() == expected);
    let back: Vec<Memory> = arrived.into_pieces().map(Memory::whole).collect();
    assert_eq!((back.len(), back[0].len()), (1, 2048));

    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(sent)) = one.poll_sent(&mut cx) else {
        panic!("it was sent");
    };
    assert_eq!((sent.tag, sent.result), (77, Ok(())));
    let sent = sent.memory.unwrap();
    assert_eq!(sent.head.bytes(), &expected[..100]);
    assert!(Mixed::from_memory(sent.body.unwrap()).is_ok());
    assert!(one.poll_sent(&mut cx).is_pending());
    assert_eq!(arena.free_bytes(), free);
}

#[test]
fn a_frame_takes_as_much_memory_as_it_needs_or_is_dropped() {
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    let expected = bytes(1200, 2);
    for _ in 0..2 {
        other.supply(memory(vec![0; 500])).unwrap();
    }
    one.transmit(Outgoing::new(memory(expected.clone())))
        .unwrap();
    assert!(receive(&other).is_none());
    assert_eq!(other.counters().dropped, 1);
    other.supply(memory(vec![0; 500])).unwrap();
    one.transmit(Outgoing::new(memory(expected.clone())))
        .unwrap();
    let arrived = receive(&other).unwrap();
    let lengths: Vec<usize> = arrived.pieces().map(Memory::len).collect();
    assert_eq!(lengths, [500, 500, 200]);
    assert_eq!(content(&arrived), expected);
    let mut middle = [0; 20];
    arrived.copy_to(490, &mut middle).unwrap();
    assert_eq!(middle, expected[490..510]);
    assert!(arrived.copy_to(1190, &mut middle).is_err());
    assert_eq!(other.counters().received_bytes, 1200);
}

#[test]
fn what_a_card_cannot_do_is_refused_and_comes_back() {
    let [plain, _] = Wire::pair(1500, Offloads::NONE);
    let [able, other] = Wire::pair(1500, Offloads::ALL);
    let sum = Checksum {
        start: 34,
        field: 16,
    };
    let cut = Segmentation {
        segments: Segments::Tcp4,
        size: 1460,
        headers: 54,
    };
    let summed = Offload {
        checksum: Some(sum),
        segmentation: None,
    };
    let segmented = Offload {
        segmentation: Some(cut),
        ..summed
    };
    let try_it = |wire: &Wire, len: usize, offload: Offload| {
        let frame = Outgoing::new(memory(bytes(len, 3))).with_offload(offload);
        wire.transmit(frame).map_err(|refused| {
            assert_eq!(refused.what.head.bytes(), bytes(len, 3));
            refused.why
        })
    };
    assert_eq!(try_it(&plain, 1518, Offload::default()), Ok(()));
    let too_long = Err(Refusal::Length);
    assert_eq!(try_it(&plain, 1519, Offload::default()), too_long);
    assert_eq!(try_it(&plain, 13, Offload::default()), too_long);
    assert_eq!(try_it(&plain, 1000, summed), Err(Refusal::Offload));
    assert_eq!(try_it(&able, 1000, summed), Ok(()));
    assert_eq!(try_it(&able, 51, summed), Err(Refusal::Offload));
    assert_eq!(try_it(&able, 1519, summed), too_long);
    assert_eq!(try_it(&able, 60_000, segmented), Ok(()));
    let no_sum = Offload {
        checksum: None,
        ..segmented
    };
    assert_eq!(try_it(&able, 1000, no_sum), Err(Refusal::Offload));
    assert_eq!(try_it(&able, 54, segmented), Err(Refusal::Offload));
    // It arrives as it was sent, and says so.
    other.supply(memory(vec![0; 65_549])).unwrap();
    assert_eq!(try_it(&able, 60_000, segmented), Ok(()));
    let arrived = receive(&other).unwrap();
    assert_eq!(arrived.joined, Some(cut));
    assert_eq!(arrived.checked, Checked::Partial(sum));
}

#[test]
fn whoever_waits_is_woken_once_there_is_something() {
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(other.poll_receive(&mut cx).is_pending());
    assert!(one.poll_sent(&mut cx).is_pending());
    other.supply(memory(vec![0; 2048])).unwrap();
    one.transmit(Outgoing::new(memory(bytes(60, 4))).with_tag(1))
        .unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert!(other.poll_receive(&mut cx).is_ready());

    let mut sent = 1;
    while one
        .transmit(Outgoing::new(memory(bytes(60, 4))).with_tag(1))
        .is_ok()
    {
        sent += 1;
    }
    assert_eq!(sent, one.properties().transmit_depth);
    assert!(one.poll_room(&mut cx).is_pending());
    assert!(one.poll_sent(&mut cx).is_ready());
    assert_eq!(woken.0.load(Ordering::Relaxed), 3);
    assert!(one.poll_room(&mut cx).is_ready());
}

#[test]
fn a_wire_loses_doubles_and_delays_what_it_is_told_to() {
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    for _ in 0..8 {
        other.supply(memory(vec![0; 2048])).unwrap();
    }
    one.set_fate(|bytes| match bytes[20] {
        1 => Fate::Lost,
        2 => Fate::Twice,
        3 => Fate::Late,
        _ => Fate::Arrives,
    });
    for kind in [1, 2, 3, 4] {
        let mut bytes = bytes(60, 0);
        bytes[20] = kind;
        one.transmit(Outgoing::new(memory(bytes))).unwrap();
    }
    let kinds: Vec<u8> = core::iter::from_fn(|| receive(&other))
        .map(|frame| frame.first.bytes()[20])
        .collect();
    assert_eq!(kinds, [2, 2, 4, 3]);
}

#[test]
fn only_frames_that_are_wanted_arrive() {
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    for _ in 0..8 {
        other.supply(memory(vec![0; 2048])).unwrap();
    }
    let group = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
    let send_to = |to: MacAddress| {
        let mut bytes = bytes(60, 0);
        bytes[..6].copy_from_slice(&to.0);
        one.transmit(Outgoing::new(memory(bytes))).unwrap();
        receive(&other).is_some()
    };
    let stranger = MacAddress([2, 0, 0, 0, 0, 9]);
    assert!(send_to(stranger));
    other.set_reception(Reception {
        multicast: vec![group],
        ..Reception::default()
    });
    assert!(!send_to(stranger));
    assert!(send_to(other.properties().address) && send_to(MacAddress::BROADCAST));
    assert!(send_to(group) && !send_to(MacAddress([0x33, 0x33, 0, 0, 0, 2])));
    other.set_reception(Reception {
        address: Some(stranger),
        ..Reception::default()
    });
    assert!(send_to(stranger) && other.properties().address == stranger);
}

#[test]
fn an_interface_that_is_removed_says_so_and_wakes_all() {
    let [one, other] = Wire::pair(1500, Offloads::NONE);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(one.poll_changed(0, &mut cx).is_pending());
    other.set_link(Link::Down);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(one.poll_changed(0, &mut cx), Poll::Ready(1));
    assert_eq!(one.link(), Link::Down);
    assert!(one.poll_receive(&mut cx).is_pending());
    other.remove();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert!(matches!(one.poll_receive(&mut cx), Poll::Ready(None)));
    assert!(matches!(one.poll_sent(&mut cx), Poll::Ready(None)));
    let refused = one.supply(memory(vec![0; 2048])).unwrap_err();
    assert_eq!(refused.why, Refusal::Removed);
    let refused = one
        .transmit(Outgoing::new(memory(bytes(60, 0))))
        .unwrap_err();
    assert_eq!(refused.why, Refusal::Removed);
}

#[test]
fn interfaces_come_and_go_and_whoever_watches_is_woken() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut registry = Registry::new();
    let [one, _] = Wire::pair(1500, Offloads::NONE);
    let one: Arc<dyn Interface> = one;
    assert!(registry.poll_changed(0, &mut cx).is_pending());
    registry
        .add(one.clone())
        .into_iter()
        .for_each(|waker| waker.wake());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(registry.poll_changed(0, &mut cx), Poll::Ready(1));
    assert_eq!(registry.snapshot().len(), 1);
    assert!(registry.remove(&one).0.is_some());
    assert!(registry.remove(&one).0.is_none());
    assert_eq!(registry.poll_changed(1, &mut cx), Poll::Ready(2));
}
