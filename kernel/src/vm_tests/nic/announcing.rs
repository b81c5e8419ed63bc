//! A card that was moved to another wire: QEMU tells it so, and everybody on the wire hears where it is.

use super::host_gets;
use crate::block::blocking::wait;
use crate::net::stack::{self, Ipv4, Options};
use crate::net::{Interface, virtio_cards};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use embassy_futures::yield_now;
use vm_test::{control, vm_test, wire};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);

/// Who has the address that is ours? As RFC 5227 has it, byte by byte.
fn question(mac: [u8; 6]) -> Vec<u8> {
    let parts = [
        &[0xff; 6][..],
        &mac,
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
        &mac,
        &OURS.octets(),
        &[0; 6],
        &OURS.octets(),
    ];
    parts.concat()
}

/// The address is here, as RFC 4861 has it, with the sum that RFC 4443 has.
fn answer(mac: [u8; 6]) -> Vec<u8> {
    let [a, b, c, d, e, f] = mac;
    let half = |high, low| u16::from_be_bytes([high, low]);
    let ours = Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        half(a ^ 2, b),
        half(c, 0xff),
        half(0xfe, d),
        half(e, f),
    );
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(ours.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let pseudo = [0, 0, 0, message.len() as u8, 0, 0, 0, 58];
    let summed = [&ours.octets()[..], &all.octets(), &pseudo, &message].concat();
    let halves = summed.chunks(2).map(|two| u32::from(half(two[0], two[1])));
    let sum: u32 = halves.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let parts = [
        &[0x33, 0x33, 0, 0, 0, 1][..],
        &mac,
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0, message.len() as u8, 58, 255],
        &ours.octets(),
        &all.octets(),
        &message,
    ];
    parts.concat()
}

#[vm_test(machine = "nic", timeout = 60)]
fn a_card_that_was_moved_is_announced_and_qemu_hears_that_it_is() {
    wait(async {
        let ipv4 = Ipv4::Fixed {
            address: OURS,
            prefix: 24,
            router: None,
            dns: Vec::new(),
        };
        stack::start(Options {
            ipv4,
            ..Options::default()
        });
        stack::started().await;
        let card = virtio_cards().swap_remove(0);
        let mac = card.properties().address.0;
        // What it is told at first.
        while card.card().commands().done < 3 {
            yield_now().await;
        }
        let before = card.card().commands();
        assert_eq!((before.announcements, before.refused), (0, 0));
        // QEMU asks several times, and each time says whether it had asked for what it is told.
        control::monitor("announce_self");
        let expected = [question(mac), answer(mac)];
        let mut heard = [0; 2];
        while heard.iter().any(|times| *times < 2) {
            let frame = host_gets(0).await;
            for (times, expected) in heard.iter_mut().zip(&expected) {
                *times += u64::from(frame == *expected);
            }
        }
        while card.card().commands().done < before.done + 2 {
            yield_now().await;
        }
        let after = card.card().commands();
        assert!(after.announcements >= 2);
        assert_eq!(after.refused, 0, "it was asked for");
        assert!(wire::captured(0) >= heard.iter().sum());
    });
}
