//! Cards that are reset, unplugged, or torn out, while frames go both ways.

use super::{
    HEADER, PAGE, arrives, card, card_with, carries, check_content, content, frame, host_gets,
    host_sends, supply, transmit,
};
use crate::block::blocking::wait;
use crate::dma::Owner;
use crate::drivers::virtio::net::{Nic, Usage};
use crate::executor;
use crate::memory::frames::Frames;
use crate::net::{self, Interface, NetError, Outgoing, Refusal};
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use embassy_futures::yield_now;
use vm_test::{control, pattern, seed, vm_test, wire};

/// Memory of frames and not of the heap, so that what is missing is seen.
fn page_with(bytes: &[u8]) -> crate::dma::Memory {
    let mut frames = Frames::allocate(PAGE).unwrap();
    frames.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    frames.into_memory().part(0..bytes.len()).unwrap()
}

fn supply_pages(card: &Nic, count: usize) {
    for _ in 0..count {
        let memory = Frames::allocate(PAGE).unwrap();
        card.supply(memory.into_memory()).unwrap();
    }
}

/// Resets come while frames are in the card and on the wire. What arrives is what was sent, and memory for
/// frames to come lies ready again without anybody's doing.
#[vm_test(machine = "nic", timeout = 120)]
fn a_card_is_reset_under_load_and_goes_on() {
    resets_under_load();
}

#[vm_test(machine = "nic=packed=on", timeout = 120)]
fn a_card_with_packed_queues_is_reset_under_load_and_goes_on() {
    resets_under_load();
}

fn resets_under_load() {
    let card = card();
    let mac = card.properties().address.0;
    wait(async {
        carries(&card, seed()).await;
        let before = free_or_heap_bytes();
        supply_pages(&card, 32);
        for round in 0..8_u64 {
            for number in 0..40_u64 {
                let bytes = frame(&card, 600, round << 8 | number);
                transmit(&card, Outgoing::new(page_with(&bytes)).with_tag(number)).await;
            }
            for number in 0..4 {
                host_sends(0, mac, 400, number).await;
            }
            card.card().reset().await.unwrap();
            // Each frame with a tag comes back once, whatever has become of it.
            let mut back = [false; 40];
            for _ in 0..40 {
                let sent = super::was_sent(&card).await;
                assert!(sent.memory.is_some());
                assert!(!core::mem::replace(&mut back[sent.tag as usize], true));
            }
            // What went out is right, and something marks the end.
            let end = frame(&card, 61, round);
            transmit(&card, Outgoing::new(page_with(&end))).await;
            loop {
                let got = host_gets(0).await;
                if got == end {
                    break;
                }
                let wrong = (0..40).all(|number| got != frame(&card, 600, round << 8 | number));
                assert!(!wrong, "the host got what nobody has sent");
            }
            host_sends(0, mac, 1000, round).await;
            loop {
                let arrived = arrives(&card).await;
                let payload = arrived.len() - HEADER;
                if payload == 1000 {
                    check_content(&content(&arrived), mac, 1000, round);
                } else {
                    let wrong =
                        |seed| pattern::first_difference(seed, 0, &content(&arrived)[HEADER..]);
                    assert!((0..4).any(|seed| wrong(seed).is_none()));
                }
                for memory in arrived.into_pieces() {
                    card.supply(memory.whole()).unwrap();
                }
                if payload == 1000 {
                    break;
                }
            }
        }
        assert_eq!(card.card().resets(), 8);
        assert!(free_or_heap_bytes() >= before - 33 * PAGE);
    });
}

/// Each queue of a card is reset alone while frames are in it, and the other one goes on. That the device was
/// not reset is QEMU's word.
#[vm_test(machine = "nic,trace=virtio_set_status", timeout = 120)]
fn a_queue_of_a_card_is_reset_alone_and_the_other_goes_on() {
    queues_are_reset_alone();
}

#[vm_test(machine = "nic=packed=on,trace=virtio_set_status", timeout = 120)]
fn a_packed_queue_of_a_card_is_reset_alone_and_the_other_goes_on() {
    queues_are_reset_alone();
}

/// No more than the wire takes at once: QEMU 7.2 aborts if frames wait behind the card when one of its queues is
/// reset.
const FRAMES: u64 = 6;

fn queues_are_reset_alone() {
    // The kernel leaves it off otherwise.
    let card = card_with(Usage {
        avoid: 0,
        ..Usage::default()
    });
    let mac = card.properties().address.0;
    wait(async {
        carries(&card, seed()).await;
        let before = free_or_heap_bytes();
        supply_pages(&card, 32);
        control::trace_mark();
        for round in 0..8_u64 {
            for number in 0..FRAMES {
                let bytes = frame(&card, 600, round << 8 | number);
                transmit(&card, Outgoing::new(page_with(&bytes)).with_tag(number)).await;
            }
            for number in 0..4 {
                host_sends(0, mac, 400, number).await;
            }
            card.card().reset_queue(1).await.unwrap();
            let mut back = [false; FRAMES as usize];
            for _ in 0..FRAMES {
                let sent = super::was_sent(&card).await;
                assert!(sent.memory.is_some());
                assert!(!core::mem::replace(&mut back[sent.tag as usize], true));
            }
            // Nothing is lost of what came meanwhile.
            for number in 0..4 {
                let arrived = arrives(&card).await;
                check_content(&content(&arrived), mac, 400, number);
                for memory in arrived.into_pieces() {
                    card.supply(memory.whole()).unwrap();
                }
            }
            let end = frame(&card, 61, round);
            transmit(&card, Outgoing::new(page_with(&end))).await;
            loop {
                let got = host_gets(0).await;
                if got == end {
                    break;
                }
                let wrong = (0..FRAMES).all(|number| got != frame(&card, 600, round << 8 | number));
                assert!(!wrong, "the host got what nobody has sent");
            }
            card.card().reset_queue(0).await.unwrap();
            // Memory lies ready again.
            host_sends(0, mac, 1000, round).await;
            let arrived = arrives(&card).await;
            check_content(&content(&arrived), mac, 1000, round);
            for memory in arrived.into_pieces() {
                card.supply(memory.whole()).unwrap();
            }
        }
        let resets = (card.card().resets(), card.card().queue_resets());
        assert_eq!(resets, (0, 16));
        assert_eq!(control::trace_count("virtio_set_status"), 0);
        assert!(free_or_heap_bytes() >= before - 33 * PAGE);
    });
}

/// Sends as fast as the queue takes it, and takes what arrives, until the card is gone.
async fn load(card: &Nic) -> NetError {
    let mut number = 0;
    loop {
        let bytes = frame(card, 800, number);
        number += 1;
        let sent = card.transmit(Outgoing::new(page_with(&bytes)).with_tag(number));
        match sent.map_err(|refused| refused.why) {
            Ok(()) | Err(Refusal::Full) => {}
            Err(Refusal::Removed) => break,
            Err(other) => panic!("{other}"),
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(sent)) = card.poll_sent(&mut cx) {
            assert!(sent.memory.is_some());
        }
        while let Poll::Ready(Some(arrived)) = card.poll_receive(&mut cx) {
            for memory in arrived.into_pieces() {
                let _ = card.supply(memory.whole());
            }
        }
        yield_now().await;
    }
    // All that is on its way comes back.
    let mut last = NetError::Removed;
    while let Some(sent) = poll_fn(|cx| card.poll_sent(cx)).await {
        assert!(sent.memory.is_some());
        if let Err(error) = sent.result {
            last = error;
        }
    }
    last
}

fn goes_under_load(go: impl Fn()) {
    let first = card();
    wait(carries(&first, seed()));
    drop(first);
    let before = free_or_heap_bytes();
    for round in 0..2 {
        let card = net::virtio_cards().swap_remove(0);
        supply_pages(&card, 32);
        let loaded = card.clone();
        let task = executor::spawn(async move { load(&loaded).await });
        wait(async {
            let mut taken = 0;
            while taken < 100 {
                host_gets(0).await;
                taken += 1;
            }
            go();
            assert_eq!(task.await, NetError::Removed);
            assert!(poll_fn(|cx| card.poll_receive(cx)).await.is_none());
            while !wire::is_gone(0) || Arc::strong_count(&card) > 1 {
                yield_now().await;
            }
            let why = card.supply(super::empty(2048)).unwrap_err().why;
            assert_eq!(why, Refusal::Removed);
            drop(card);
            // The wire has what was sent last.
            let frames = Frames::allocate(1 << 17).unwrap();
            while wire::take(0, frames.phyr()).is_some() {}
            drop(frames);
            assert!(net::interfaces().is_empty());
            wire::plug(0);
            while net::interfaces().is_empty() {
                yield_now().await;
            }
            let card = net::virtio_cards().swap_remove(0);
            carries(&card, seed() + round).await;
        });
    }
    let after = free_or_heap_bytes();
    assert!(after + (1 << 20) >= before, "{before:#x}, then {after:#x}");
}

#[vm_test(machine = "nic=port", timeout = 120)]
fn a_card_is_unplugged_under_load_and_the_next_one_works() {
    goes_under_load(|| wire::unplug(0));
}

#[vm_test(machine = "nic=port", timeout = 120)]
fn a_card_is_torn_out_under_load() {
    let card = card();
    wait(async {
        carries(&card, seed()).await;
        supply(&card, 16);
        let loaded = card.clone();
        let task = executor::spawn(async move { load(&loaded).await });
        for _ in 0..100 {
            host_gets(0).await;
        }
        wire::tear_out(0);
        assert_eq!(task.await, NetError::Removed);
        assert!(net::interfaces().is_empty());
    });
}
