//! Network cards: frames both ways, through memory of every kind. The other end of the wire is the host, which
//! shares no line of code with the driver, and QEMU writes down what passes.
//!
//! No test waits for time to pass: a frame that was sent arrives, and one that must not arrive is followed by
//! one that does.

mod announcing;
mod carrying;
mod control;
mod hostile;
mod microvm;
mod spread;
mod trouble;

use crate::block::blocking::wait;
use crate::dma::{Memory, Owner};
use crate::drivers::virtio::net::{Nic, Usage};
use crate::memory::frames::Frames;
use crate::net::{self, Interface, Outgoing, Received, Sent};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use embassy_futures::yield_now;
use vm_test::{pattern, wire};

const PAGE: u64 = 4096;

/// Bytes of a header of Ethernet.
const HEADER: usize = 14;

/// The type of our frames: one for experiments (IEEE 802).
const KIND: [u8; 2] = [0x88, 0xb5];

/// The host's address.
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// What lies in memory that nobody has written to.
const CANARY: u8 = 0xc5;

/// The machine's first card.
fn card() -> Arc<Nic> {
    card_with(Usage::default())
}

fn card_with(usage: Usage) -> Arc<Nic> {
    wait(net::start(usage));
    net::virtio_cards().swap_remove(0)
}

/// The header of a frame.
fn header(to: [u8; 6], from: [u8; 6]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    header[12..].copy_from_slice(&KIND);
    header
}

/// A frame from the card to the host, whose payload is the pattern.
fn frame(card: &Nic, len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..HEADER].copy_from_slice(&header(HOST, card.properties().address.0));
    pattern::fill(seed, 0, &mut bytes[HEADER..]);
    bytes
}

/// The next frame that the host gets.
async fn host_gets(card: u64) -> Vec<u8> {
    let frames = Frames::allocate(1 << 17).unwrap();
    loop {
        if let Some(len) = wire::take(card, frames.phyr()) {
            return frames.bytes()[..len].to_vec();
        }
        yield_now().await;
    }
}

/// The host sends a frame with so many bytes of the pattern behind the header.
async fn host_sends(number: u64, to: [u8; 6], payload: usize, seed: u64) {
    let mut frames = Frames::allocate(PAGE).unwrap();
    frames.bytes_mut()[..HEADER].copy_from_slice(&header(to, HOST));
    let head = frames.phyr().sub(0, HEADER as u64).unwrap();
    while !wire::send(number, head, payload as u64, seed, 0) {
        yield_now().await;
    }
}

/// The next frame that arrives.
async fn arrives(card: &Nic) -> Received {
    let frame = poll_fn(|cx| card.poll_receive(cx)).await;
    frame.expect("the card is there")
}

/// The next frame that was sent.
async fn was_sent(card: &Nic) -> Sent {
    let sent = poll_fn(|cx| card.poll_sent(cx)).await;
    sent.expect("the card is there")
}

fn content(frame: &Received) -> Vec<u8> {
    let mut bytes = vec![0; frame.len()];
    frame.copy_to(0, &mut bytes).unwrap();
    bytes
}

/// It is one of the host's frames to this address, bit for bit.
fn check_content(bytes: &[u8], to: [u8; 6], payload: usize, seed: u64) {
    assert_eq!(bytes.len(), HEADER + payload);
    assert_eq!(bytes[..HEADER], header(to, HOST));
    let wrong = pattern::first_difference(seed, 0, &bytes[HEADER..]);
    assert_eq!(wrong, None, "{payload} bytes");
}

/// Memory for a frame, with canaries all over.
fn empty(len: usize) -> Memory {
    vec![CANARY; len].into_memory()
}

/// Supplies so many pieces of memory.
fn supply(card: &Nic, count: usize) {
    let len = card.properties().ample;
    for _ in 0..count {
        card.supply(empty(len)).unwrap();
    }
}

/// Waits until there is room, and sends.
async fn transmit(card: &Nic, mut frame: Outgoing) {
    loop {
        match card.transmit(frame) {
            Ok(()) => return,
            Err(refused) if refused.why == net::Refusal::Full => frame = refused.what,
            Err(refused) => panic!("{}", refused.why),
        }
        poll_fn(|cx| card.poll_room(cx)).await;
    }
}

/// A frame each way, to see that all is well.
async fn carries(card: &Nic, seed: u64) {
    let mac = card.properties().address.0;
    let bytes = frame(card, 700, seed);
    transmit(card, Outgoing::new(bytes.clone().into_memory())).await;
    assert!(host_gets(0).await == bytes);
    supply(card, 1);
    host_sends(0, mac, 900, seed).await;
    check_content(&content(&arrives(card).await), mac, 900, seed);
}
