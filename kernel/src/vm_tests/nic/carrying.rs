//! Frames, bit for bit.

use super::{
    CANARY, HEADER, HOST, PAGE, arrives, card, carries, check_content, content, empty, frame,
    header, host_gets, host_sends, supply, transmit, was_sent,
};
use crate::block::blocking::wait;
use crate::dma::{Memory, Mixed, Owner};
use crate::drivers::virtio::net::Nic;
use crate::lock;
use crate::memory::frames::Frames;
use crate::memory::heap;
use crate::memory::regions::{self, Region};
use crate::net::{Interface, Link, Offloads, Outgoing, Refusal};
use crate::pci::intx;
use crate::vm_tests::packed::agreed;
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::vec::Vec;
use embassy_futures::yield_now;
use vm_test::{host, pattern, seed, vm_test, wire};

/// Lengths of frames: the shortest, odd ones, the longest.
const LENGTHS: [usize; 8] = [60, 61, 64, 333, 1000, 1513, 1514, 1518];

pub(super) fn frames_out() {
    let card = card();
    wait(async {
        for (number, len) in LENGTHS.into_iter().enumerate() {
            let bytes = frame(&card, len, seed() + number as u64);
            let tag = number as u64 + 100;
            let frame = Outgoing::new(bytes.clone().into_memory()).with_tag(tag);
            transmit(&card, frame).await;
            let got = host_gets(0).await;
            assert!(got == bytes, "{len} bytes: {} arrived", got.len());
            let sent = was_sent(&card).await;
            assert_eq!((sent.tag, sent.result), (tag, Ok(())));
            let head = sent.memory.expect("it comes back").head;
            assert!(Vec::<u8>::from_memory(head).unwrap() == bytes);
        }
    });
    assert_eq!(wire::captured(0), LENGTHS.len() as u64);
    assert_eq!(card.counters().sent, LENGTHS.len() as u64);
}

pub(super) fn frames_in() {
    let card = card();
    let mac = card.properties().address.0;
    wait(async {
        let ample = card.properties().ample;
        for (number, len) in LENGTHS.into_iter().enumerate() {
            let seed = seed() + number as u64;
            card.supply(empty(ample)).unwrap();
            host_sends(0, mac, len - HEADER, seed).await;
            let arrived = arrives(&card).await;
            assert!(arrived.is_one_piece());
            check_content(arrived.first.bytes(), mac, len - HEADER, seed);
            // Nothing was written behind it, and all of the memory is there.
            let start = ample - arrived.first.whole().len();
            assert_eq!(start, 0);
        }
        let memory = empty(ample);
        card.supply(memory).unwrap();
        host_sends(0, mac, 100, seed()).await;
        let all = Vec::<u8>::from_memory(arrives(&card).await.first).unwrap();
        assert!(all[12 + HEADER + 100..].iter().all(|byte| *byte == CANARY));
    });
}

/// On the root complex QEMU makes devices that legacy drivers could use, too.
#[vm_test(machine = "nic", timeout = 60)]
fn frames_leave_a_transitional_card_bit_for_bit() {
    frames_out();
}

#[vm_test(machine = "nic=modern+port", timeout = 60)]
fn frames_leave_a_modern_card_bit_for_bit() {
    frames_out();
}

#[vm_test(machine = "nic", timeout = 60)]
fn frames_arrive_bit_for_bit() {
    frames_in();
}

#[vm_test(machine = "nic=mrg_rxbuf=off", timeout = 60)]
fn frames_arrive_in_memory_that_must_be_long_enough() {
    let card = card();
    let properties = card.properties();
    assert_eq!(properties.least, properties.ample);
    let refused = card.supply(empty(properties.least - 1)).unwrap_err();
    assert_eq!(refused.why, Refusal::Length);
    assert_eq!(refused.what.len(), properties.least - 1);
    frames_in();
}

#[vm_test(machine = "nic=event_idx=off+indirect_desc=off", timeout = 60)]
fn a_card_without_events_and_tables_carries_frames() {
    frames_out();
    frames_in();
}

/// That they are packed is QEMU's word.
#[vm_test(machine = "nic=packed=on", timeout = 60)]
fn frames_go_both_ways_through_packed_queues() {
    frames_out();
    frames_in();
    assert!(agreed("net0").contains("VIRTIO_F_RING_PACKED"));
    wait(a_batch_is_one_kick(&card()));
}

#[vm_test(
    machine = "nic=packed=on+event_idx=off+indirect_desc=off",
    timeout = 60
)]
fn frames_go_through_packed_queues_without_events_and_tables() {
    frames_out();
    frames_in();
}

/// No frame is there yet when the core goes to sleep, so it is the line that tells of each.
#[vm_test(machine = "nic=vectors=0", timeout = 60)]
fn frames_of_a_card_without_messages_are_told_of_by_its_line() {
    frames_out();
    frames_in();
    let counters = card().pair_counters().unwrap();
    let [receive, transmit] = [counters.receive, counters.transmit].map(|line| line.interrupts);
    assert!(receive >= 5 && transmit >= 5, "{counters:?}");
    let lines = intx::counters();
    assert!(
        lines.edges >= 5 && lines.unannounced <= lines.edges / 5,
        "{lines:?}"
    );
}

#[vm_test(machine = "nic=vectors=2", timeout = 60)]
fn two_queues_share_the_only_vector_that_is_left() {
    frames_out();
    frames_in();
    assert!(card().pair_counters().unwrap().receive.interrupts > 0);
}

/// A backend that knows no offloads offers none: what leaves is what was given.
#[vm_test(machine = "nic", timeout = 60)]
fn a_backend_without_offloads_offers_none() {
    let card = card();
    assert_eq!(card.properties().offloads, Offloads::NONE);
    assert_eq!((card.properties().mtu, card.link()), (1500, Link::Up));
}

#[vm_test(machine = "nic=host_mtu=9000", timeout = 60)]
fn long_frames_go_both_ways_where_the_card_says_so() {
    let card = card();
    let mac = card.properties().address.0;
    assert_eq!(card.properties().mtu, 9000);
    wait(async {
        let bytes = frame(&card, 9014, seed());
        transmit(&card, Outgoing::new(bytes.clone().into_memory())).await;
        assert!(host_gets(0).await == bytes);
        supply(&card, 1);
        host_sends(0, mac, 9000, seed()).await;
        let arrived = arrives(&card).await;
        assert!(arrived.is_one_piece());
        check_content(&content(&arrived), mac, 9000, seed());
        let long = Outgoing::new(frame(&card, 9019, 0).into_memory());
        assert_eq!(card.transmit(long).unwrap_err().why, Refusal::Length);
    });
}

fn region(at: u64, len: u64) -> Region {
    let provider = regions::find("ivshmem0").expect("the machine has such memory");
    provider.claim(at, len).expect("nobody has it")
}

/// The host writes into a board's memory, and the frame that leaves has it: no CPU of the guest has seen a byte.
#[vm_test(machine = "nic,ivshmem=4M", timeout = 60)]
fn b2_a_payload_in_another_device_s_memory_leaves_without_a_copy() {
    let card = card();
    wait(async {
        // Neither starts nor ends with a page.
        for (number, (at, len)) in [(PAGE, 1000), (3 * PAGE - 700, 1400), (77_777, 1)]
            .into_iter()
            .enumerate()
        {
            let seed = seed() ^ number as u64;
            host::fill_file("ivshmem0", at, len, seed, 0);
            let head = header(HOST, card.properties().address.0).to_vec();
            let body = region(at, len).into_memory();
            let frame = Outgoing::new(head.into_memory())
                .with_body(body)
                .with_tag(7);
            transmit(&card, frame).await;
            let got = host_gets(0).await;
            assert_eq!(got.len(), HEADER + len as usize);
            let wrong = pattern::first_difference(seed, 0, &got[HEADER..]);
            assert_eq!(wrong, None);
            let body = was_sent(&card).await.memory.unwrap().body.unwrap();
            assert_eq!(Region::from_memory(body).unwrap().phyr().len(), len);
        }
    });
    let driver = card.pair_counters().unwrap().transmit.driver;
    assert_eq!((driver.frames, driver.indirect), (3, 0));
}

/// Many pieces of different kinds are one frame, through a table.
#[vm_test(machine = "nic,ivshmem=4M", timeout = 60)]
fn a_frame_of_many_pieces_leaves_as_one() {
    let card = card();
    let most = card.properties().pieces;
    assert!(most >= 17);
    wait(async {
        let bytes = frame(&card, 1500, seed());
        for pieces in [2, 3, 5, most - 1] {
            let mut body = Mixed::new();
            let each = (1500 - HEADER) / pieces;
            for number in 0..pieces {
                let start = HEADER + number * each;
                let end = if number + 1 == pieces {
                    1500
                } else {
                    start + each
                };
                let part = &bytes[start..end];
                if number % 3 == 2 {
                    let mut region = region(number as u64 * PAGE, part.len() as u64);
                    region.write(0, part).unwrap();
                    body.push(region);
                } else {
                    let mut frames = Frames::allocate(PAGE).unwrap();
                    frames.bytes_mut()[..part.len()].copy_from_slice(part);
                    body.push(frames.into_memory().part(0..part.len()).unwrap());
                }
            }
            let head = bytes[..HEADER].to_vec().into_memory();
            let frame = Outgoing::new(head).with_body(body.into_memory());
            transmit(&card, frame.with_tag(7)).await;
            assert!(host_gets(0).await == bytes, "{pieces} pieces");
            // The host may have it before the memory is back here, and the next round takes the same memory.
            assert_eq!(was_sent(&card).await.result, Ok(()));
        }
    });
    assert!(card.pair_counters().unwrap().transmit.driver.indirect >= 2);
}

/// Frames arrive in frames of RAM, in bytes of the heap, in another device's memory, and across several of these.
#[vm_test(machine = "nic,ivshmem=4M", timeout = 60)]
fn e13_frames_arrive_in_memory_of_every_kind() {
    let card = card();
    let mac = card.properties().address.0;
    const LEN: u64 = 2048;
    const PAYLOAD: usize = 1400;
    wait(async {
        let frames = Frames::zeroed(PAGE).unwrap().into_memory();
        let mut mixed = Mixed::new();
        mixed.push(
            Frames::zeroed(PAGE)
                .unwrap()
                .into_memory()
                .part(0..300)
                .unwrap(),
        );
        mixed.push(region(16 * PAGE + 5, 500));
        mixed.push(vec_of(1300));
        let at = 40 * PAGE + 1000;
        host::fill_file("ivshmem0", at - PAGE, LEN + 2 * PAGE, !seed(), 0);
        let kinds: [(&str, Memory); 4] = [
            ("frames", frames),
            ("heap", vec_of(LEN as usize).into_memory()),
            ("region", region(at, LEN).into_memory()),
            ("mixed", mixed.into_memory()),
        ];
        for (number, (name, memory)) in kinds.into_iter().enumerate() {
            let seed = seed() + number as u64;
            let len = memory.len();
            card.supply(memory).unwrap();
            host_sends(0, mac, PAYLOAD, seed).await;
            let arrived = arrives(&card).await;
            check_content(&content(&arrived), mac, PAYLOAD, seed);
            if name == "region" {
                // The host finds it in the board's file, and nothing beside it.
                let start = at + 12 + HEADER as u64;
                host::assert_file_pattern("ivshmem0", start, PAYLOAD as u64, seed, 0);
                let end = start + PAYLOAD as u64;
                let rest = at + LEN + PAGE - end;
                host::assert_file_pattern("ivshmem0", end, rest, !self::seed(), end + PAGE - at);
                host::assert_file_pattern("ivshmem0", at - PAGE, PAGE, !self::seed(), 0);
            }
            assert_eq!(arrived.first.whole().len(), len, "{name}");
        }
    });
}

fn vec_of(len: usize) -> Vec<u8> {
    alloc::vec![CANARY; len]
}

#[vm_test(machine = "nic", timeout = 60)]
fn a_frame_arrives_in_as_many_short_pieces_as_it_needs() {
    let card = card();
    let mac = card.properties().address.0;
    let least = card.properties().least;
    assert!(least <= 256);
    wait(async {
        for _ in 0..64 {
            card.supply(empty(256)).unwrap();
        }
        let mut taken = 0;
        for (payload, pieces) in [(46, 1), (230, 1), (231, 2), (1500, 6), (700, 3)] {
            host_sends(0, mac, payload, seed() + payload as u64).await;
            let arrived = arrives(&card).await;
            check_content(&content(&arrived), mac, payload, seed() + payload as u64);
            assert_eq!(arrived.pieces().count(), pieces, "{payload} bytes");
            taken += pieces;
        }
        assert!(taken < 64);
        carries(&card, seed()).await;
    });
    // And that of the last one, of 914 bytes.
    assert_eq!(card.pair_counters().unwrap().receive.driver.merged, 4);
}

/// All that was asked of the card in a turn goes out with one notification, and nobody asks the heap, takes a
/// lock, or copies.
#[vm_test(machine = "nic", timeout = 120)]
fn a_batch_is_one_kick_and_costs_no_heap_and_no_lock() {
    wait(a_batch_is_one_kick(&card()));
    assert_eq!(card().counters().sent, 1 + 50 * BATCH as u64);
}

const BATCH: usize = 8;

async fn a_batch_is_one_kick(card: &Nic) {
    carries(card, seed()).await;
    let bytes = frame(card, 800, seed());
    let mut frames: Vec<Memory> = (0..BATCH).map(|_| bytes.clone().into_memory()).collect();
    for round in 0..50 {
        let before = card.counters();
        let (requests, locks) = (heap::requests(), lock::taken());
        for (number, memory) in frames.drain(..).enumerate() {
            let frame = Outgoing::new(memory).with_tag(number as u64);
            card.transmit(frame).unwrap();
        }
        card.flush();
        assert_eq!(card.counters().kicks - before.kicks, 1, "round {round}");
        assert_eq!(heap::requests() - requests, 0, "round {round}");
        assert_eq!(lock::taken() - locks, 0, "round {round}");
        for _ in 0..BATCH {
            assert!(host_gets(0).await == bytes);
        }
        for _ in 0..BATCH {
            frames.push(was_sent(card).await.memory.unwrap().head);
        }
    }
}

/// Frames that nobody asks for any more take their memory with them when the card is done, and not before.
#[vm_test(machine = "nic", timeout = 120)]
fn a_send_that_is_forgotten_leaks_nothing() {
    let card = card();
    wait(async {
        carries(&card, seed()).await;
        let before = free_or_heap_bytes();
        let depth = card.properties().transmit_depth;
        // Nobody takes them off the wire, so the card keeps them, and the queue is full at last.
        let mut sent = 0;
        let refused = loop {
            let mut frames = Frames::allocate(PAGE).unwrap();
            let bytes = frame(&card, 1000, sent);
            frames.bytes_mut()[..1000].copy_from_slice(&bytes);
            let memory = frames.into_memory().part(0..1000).unwrap();
            match card.transmit(Outgoing::new(memory)) {
                Ok(()) => sent += 1,
                Err(refused) => break refused,
            }
            card.flush();
        };
        assert_eq!(refused.why, Refusal::Full);
        assert!(sent >= depth as u64);
        assert!(free_or_heap_bytes() < before - depth as u64 * PAGE / 2);
        drop(refused);
        for number in 0..sent {
            let got = host_gets(0).await;
            assert!(got == frame(&card, 1000, number), "frame {number}");
        }
        while free_or_heap_bytes() != before {
            yield_now().await;
        }
    });
}
