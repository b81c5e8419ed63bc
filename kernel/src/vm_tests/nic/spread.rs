//! Flows over the queues of a card, and so over cores: which goes where is computed here as well, by the published way.

use super::{card_with, empty};
use crate::block::blocking::wait;
use crate::cores::CoreId;
use crate::drivers::virtio::net::Usage;
use crate::executor;
use crate::lock::Mutex;
use crate::net::Interface;
use alloc::vec::Vec;
use core::future::poll_fn;
use embassy_futures::yield_now;
use virtio::net::{ENTRIES, KEY};
use vm_test::{vm_test, wire};

/// A sum of those 32 bits of the key that begin where the bytes have a bit.
fn toeplitz(bytes: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let window = |at: usize| (at..at + 32).fold(0, |all, at| all << 1 | u32::from(bit(&KEY, at)));
    let bits = (0..8 * bytes.len()).filter(|at| bit(bytes, *at) == 1);
    bits.fold(0, |sum, at| sum ^ window(at))
}

/// Who received which port's datagram.
static ARRIVED: Mutex<Vec<(u16, CoreId)>> = Mutex::new(Vec::new());

const HOST: [u8; 4] = [10, 7, 0, 1];
const GUEST: [u8; 4] = [10, 7, 0, 2];
const FIRST: u16 = 20_000;
const FLOWS: u16 = 64;
const TARGET: u16 = 80;

#[vm_test(machine = "nic=tap+pairs=2+rss=on,smp=2", timeout = 120)]
fn flows_arrive_on_the_queues_and_cores_that_their_addresses_say() {
    // As published, with the same key.
    let known = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
    assert_eq!(toeplitz(&known), 0x51cc_c178);
    let card = card_with(Usage {
        pairs: 2,
        ..Usage::default()
    });
    assert!(card.card().properties().spread.is_some());
    let cores = card.cores();
    assert_eq!(cores.len(), 2);
    for core in cores.clone() {
        let card = card.clone();
        executor::spawn_on(core, move || async move {
            for _ in 0..64 {
                card.supply(empty(card.properties().ample)).unwrap();
            }
            while let Some(frame) = poll_fn(|cx| card.poll_receive(cx)).await {
                let mut bytes = [0; 42];
                let is_whole = frame.copy_to(0, &mut bytes).is_ok();
                // A datagram, to where they are sent.
                if is_whole && bytes[12..14] == [8, 0] && bytes[23] == 17 {
                    assert_eq!((&bytes[26..30], &bytes[30..34]), (&HOST[..], &GUEST[..]));
                    assert_eq!(bytes[36..38], TARGET.to_be_bytes());
                    let port = u16::from_be_bytes([bytes[34], bytes[35]]);
                    ARRIVED.lock().push((port, core));
                }
                card.supply(frame.first.whole()).unwrap();
            }
        })
        .detach();
    }
    wait(async {
        // Pairs, the table, and three for what is let through.
        while card.card().commands().done < 5 {
            yield_now().await;
        }
        assert_eq!(card.card().commands().refused, 0);
        wire::scatter(0, FIRST, FLOWS);
        while ARRIVED.lock().len() < usize::from(FLOWS) {
            yield_now().await;
        }
    });
    let mut arrived = ARRIVED.lock().clone();
    arrived.sort_by_key(|(port, _)| *port);
    let mut counts = [0; 2];
    for (number, (port, core)) in arrived.into_iter().enumerate() {
        assert_eq!(port, FIRST + number as u16);
        let ports = [port.to_be_bytes(), TARGET.to_be_bytes()].concat();
        let sum = toeplitz(&[&HOST[..], &GUEST, &ports].concat());
        let queue = (sum % u32::from(ENTRIES) % 2) as usize;
        assert_eq!(core, cores[queue], "port {port}");
        counts[queue] += 1;
    }
    assert!(counts[0] > 8 && counts[1] > 8, "{counts:?}");
}
