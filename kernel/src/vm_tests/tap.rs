//! TCP/IP with a tap at the other end of the wire: the host's kernel is the neighbour, with all that it can do for a
//! card and a card for it. It fills in no sums, cuts nothing and joins what arrives, and so does QEMU.
//!
//! Three know what has passed: the card's counters here, QEMU's capture, and what the host's kernel counts. What the
//! host says and hears is checked by the host.

use super::stack::{hear, memory, region_is_heard};
use crate::block::blocking::wait;
use crate::net::stack::{self, Backlog, Connection, Ipv4, Options, Stack};
use crate::net::{Interface, Offloads, Stream, virtio_cards};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use embassy_futures::yield_now;
use vm_test::{seed, vm_test, wire};

/// Bytes each way.
const LEN: usize = 2 << 20;

/// More than any frame that was not joined.
const LONG: u64 = 60_000;

/// The machine's only stack, at the address that the host knows.
async fn begin() -> Stack {
    stack::start(Options {
        ipv4: Ipv4::Fixed {
            address: Ipv4Addr::new(10, 7, 0, 2),
            prefix: 24,
            router: None,
            dns: Vec::new(),
        },
        receive: 256 << 10,
        ..Options::default()
    });
    stack::started().await;
    stack::stacks().swap_remove(0)
}

/// Hears all that the host says, and says as much.
async fn exchange(connection: &mut Connection) {
    hear(connection, seed(), LEN).await;
    for at in (0..LEN).step_by(256 << 10) {
        let memory = memory(seed(), at, 256 << 10);
        connection.send(memory).await.unwrap();
    }
    connection.close().await.unwrap();
    connection.flush().await.unwrap();
    while !wire::heard(0) {
        yield_now().await;
    }
}

/// Both ways, by IPv4 or IPv6.
async fn talk(stack: &Stack, by: fn(u64, u64, u64, u64)) {
    let mut listener = stack.listen(80, Backlog::default()).unwrap();
    by(0, LEN as u64, LEN as u64, seed());
    let mut connection = listener.accept().await.unwrap();
    exchange(&mut connection).await;
    assert_eq!(stack.status().counters.damaged, 0);
}

/// Frames of nearly 64 KiB went as one, both ways, and no CPU of the guest has copied or summed up what it sent.
async fn whole_frames(by: fn(u64, u64, u64, u64)) {
    let stack = begin().await;
    let card = virtio_cards().swap_remove(0);
    assert_eq!(card.properties().offloads, Offloads::ALL);
    let before = (stack.status().counters, wire::statistics(0));
    talk(&stack, by).await;
    let after = (stack.status().counters, wire::statistics(0));
    // What the stack says.
    assert!(after.0.super_segments > before.0.super_segments);
    assert_eq!(after.0.copied_bytes, before.0.copied_bytes);
    // What the driver says: such a frame arrived in many pieces of memory.
    assert!(card.pair_counters().unwrap().receive.driver.merged > 0);
    // What QEMU has written down.
    let [out, into] = wire::longest(0);
    assert!(out > LONG && into > LONG, "{out} {into}");
    // What the host's kernel has counted: too few frames for so many bytes.
    let frames = after.1.frames_out - before.1.frames_out;
    let bytes = after.1.bytes_out - before.1.bytes_out;
    assert!(
        bytes >= LEN as u64 && frames < bytes / 2000,
        "{frames} frames, {bytes} bytes"
    );
    let frames = after.1.frames_in - before.1.frames_in;
    let bytes = after.1.bytes_in - before.1.bytes_in;
    assert!(
        bytes >= LEN as u64 && frames < bytes / 2000,
        "{frames} frames, {bytes} bytes"
    );
}

#[vm_test(machine = "nic=tap", timeout = 180)]
fn frames_of_ip4_of_64_kib_go_as_one_both_ways() {
    wait(whole_frames(wire::talk));
}

#[vm_test(machine = "nic=tap", timeout = 180)]
fn frames_of_ip6_of_64_kib_go_as_one_both_ways() {
    wait(whole_frames(wire::talk6));
}

/// Without anything that a card could do, everything is cut and summed up here, and the dissector finds no fault.
#[vm_test(
    machine = "nic=tap+csum=off+guest_csum=off+gso=off+host_tso4=off+host_tso6=off+guest_tso4=off+guest_tso6=off",
    timeout = 180
)]
fn a_card_that_does_nothing_carries_the_same() {
    wait(async {
        let stack = begin().await;
        let card = virtio_cards().swap_remove(0);
        assert_eq!(card.properties().offloads, Offloads::NONE);
        talk(&stack, wire::talk).await;
        let [out, into] = wire::longest(0);
        assert_eq!((out, into), (1514, 1514));
        assert_eq!(stack.status().counters.super_segments, 0);
    });
}

/// Sums alone: each frame is one of the wire's, and the card fills in its sum, or says that it was looked at.
#[vm_test(
    machine = "nic=tap+host_tso4=off+host_tso6=off+guest_tso4=off+guest_tso6=off",
    timeout = 180
)]
fn a_card_that_only_sums_up_carries_the_same() {
    wait(async {
        let stack = begin().await;
        let offloads = virtio_cards().swap_remove(0).properties().offloads;
        assert!(offloads.checksum && offloads.checked);
        assert!(!offloads.segment_tcp4 && !offloads.joined_tcp4);
        talk(&stack, wire::talk).await;
        assert_eq!(wire::longest(0), [1514, 1514]);
    });
}

/// Frames that are joined arrive in memory that must be long enough for them.
#[vm_test(machine = "nic=tap+mrg_rxbuf=off", timeout = 180)]
fn whole_frames_arrive_in_one_piece_where_pieces_are_not_merged() {
    wait(async {
        let stack = begin().await;
        talk(&stack, wire::talk).await;
        let card = virtio_cards().swap_remove(0);
        assert_eq!(card.pair_counters().unwrap().receive.driver.merged, 0);
        let [_, into] = wire::longest(0);
        assert!(into > LONG, "{into}");
    });
}

/// The card reads another device's memory, sums it up and cuts it: no CPU of the guest has seen a byte.
#[vm_test(machine = "nic=tap,ivshmem=4M", timeout = 180)]
fn b2_another_device_s_memory_leaves_in_frames_of_64_kib() {
    wait(async {
        let stack = begin().await;
        region_is_heard(&stack).await;
        assert!(stack.status().counters.super_segments > 0);
        let [out, _] = wire::longest(0);
        assert!(out > 30_000, "{out}");
    });
}
