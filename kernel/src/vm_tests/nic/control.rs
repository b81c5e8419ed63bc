//! What a card is told, and what it tells: which frames arrive, its address, its link.

use super::{
    HOST, arrives, card, carries, check_content, content, frame, host_gets, host_sends, supply,
    transmit,
};
use crate::block::blocking::wait;
use crate::drivers::virtio::net::Nic;
use crate::net::{Interface, Link, MacAddress, Outgoing, Reception};
use crate::pci::intx;
use crate::time::microseconds;
use alloc::vec;
use core::future::poll_fn;
use embassy_futures::yield_now;
use vm_test::{seed, vm_test, wire};

const GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0x16];
const OTHER_GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0x17];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// Lets the card know what is wished for.
async fn set(card: &Nic, reception: Reception) {
    let before = card.card().commands();
    card.set_reception(reception);
    while card.card().commands().done < before.done + 3 {
        yield_now().await;
    }
    // All of it: until no more commands come.
    let mut seen = 0;
    while seen != card.card().commands().done {
        seen = card.card().commands().done;
        for _ in 0..50 {
            yield_now().await;
        }
    }
    assert_eq!(card.card().commands().refused, 0);
}

/// Which of these addresses frames arrive for.
async fn heard<const N: usize>(card: &Nic, addresses: [[u8; 6]; N]) -> [bool; N] {
    let mac = card.properties().address.0;
    let mut heard = [false; N];
    for (number, to) in addresses.into_iter().enumerate() {
        host_sends(0, to, 100, number as u64).await;
    }
    // One that arrives in any case, behind them.
    host_sends(0, mac, 200, 99).await;
    loop {
        let arrived = content(&arrives(card).await);
        supply(card, 1);
        if arrived.len() == 214 {
            check_content(&arrived, mac, 200, 99);
            return heard;
        }
        let is_it = |to: &[u8; 6]| arrived[..6] == *to;
        let number = addresses.iter().position(is_it).expect("one of them");
        check_content(&arrived, addresses[number], 100, number as u64);
        heard[number] = true;
    }
}

#[vm_test(machine = "nic", timeout = 60)]
fn only_frames_that_are_wanted_arrive() {
    let card = card();
    wait(async {
        supply(&card, 32);
        let broadcast = MacAddress::BROADCAST.0;
        let all = [broadcast, GROUP, OTHER_GROUP, STRANGER];
        // At first: for us and for several.
        while card.card().commands().done < 3 {
            yield_now().await;
        }
        assert_eq!(heard(&card, all).await, [true, true, true, false]);
        set(&card, Reception::default()).await;
        assert_eq!(heard(&card, all).await, [true, false, false, false]);
        let multicast = vec![MacAddress(GROUP)];
        set(
            &card,
            Reception {
                multicast,
                ..Reception::default()
            },
        )
        .await;
        assert_eq!(heard(&card, all).await, [true, true, false, false]);
        set(
            &card,
            Reception {
                everything: true,
                ..Reception::default()
            },
        )
        .await;
        assert_eq!(heard(&card, all).await, [true; 4]);
        // A card that was reset has forgotten it, and is told again.
        let told = card.card().commands().done;
        set(&card, Reception::default()).await;
        card.card().reset().await.unwrap();
        while card.card().commands().done < told + 6 {
            yield_now().await;
        }
        assert_eq!(heard(&card, all).await, [true, false, false, false]);
    });
}

#[vm_test(machine = "nic", timeout = 60)]
fn a_card_takes_another_address() {
    let card = card();
    wait(async {
        supply(&card, 8);
        let old = card.properties().address.0;
        assert_eq!(old, [0x52, 0x54, 0, 0x70, 0x68, 0x10]);
        set(
            &card,
            Reception {
                address: Some(MacAddress(STRANGER)),
                ..Reception::default()
            },
        )
        .await;
        assert_eq!(card.properties().address.0, STRANGER);
        assert_eq!(heard(&card, [old]).await, [false]);
    });
}

#[vm_test(machine = "nic", timeout = 60)]
fn frames_of_a_vlan_arrive_when_they_are_wanted() {
    let card = card();
    let mac = card.properties().address.0;
    // What is sent to it starts with a tag, which the host's pattern is not; so it is the card's own frame that
    // comes back.
    let tagged = |vlan: u16| {
        let mut bytes = frame(&card, 104, u64::from(vlan));
        bytes[..6].copy_from_slice(&mac);
        bytes[6..12].copy_from_slice(&HOST);
        bytes[12..14].copy_from_slice(&[0x81, 0]);
        bytes[14..16].copy_from_slice(&vlan.to_be_bytes());
        bytes
    };
    wait(async {
        supply(&card, 8);
        for (vlans, expected) in [
            (vec![], [false, false]),
            (vec![7], [true, false]),
            (vec![7, 300], [true, true]),
            (vec![300], [false, true]),
        ] {
            set(
                &card,
                Reception {
                    vlans: vlans.clone(),
                    ..Reception::default()
                },
            )
            .await;
            let mut heard = [false; 2];
            for vlan in [7, 300] {
                bounce(&tagged(vlan)).await;
            }
            host_sends(0, mac, 200, 5).await;
            loop {
                let arrived = content(&arrives(&card).await);
                supply(&card, 1);
                if arrived.len() == 214 {
                    break;
                }
                let vlan = u16::from_be_bytes([arrived[14], arrived[15]]);
                assert!(arrived == tagged(vlan));
                heard[usize::from(vlan == 300)] = true;
            }
            assert_eq!(heard, expected, "{vlans:?}");
        }
    });
}

/// The host sends these bytes.
async fn bounce(bytes: &[u8]) {
    let mut frames = crate::memory::frames::Frames::allocate(super::PAGE).unwrap();
    frames.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let head = frames.phyr().sub(0, bytes.len() as u64).unwrap();
    while !wire::send(0, head, 0, 0, 0) {
        yield_now().await;
    }
}

#[vm_test(machine = "nic", timeout = 60)]
fn whoever_watches_sees_the_link_go_and_come() {
    link_goes_and_comes();
}

/// By the clock, a change would be seen two seconds after the one before.
#[vm_test(machine = "nic=vectors=0", timeout = 60)]
fn a_card_says_by_its_line_that_the_link_goes_and_comes() {
    let start = microseconds();
    for _ in 0..3 {
        link_goes_and_comes();
    }
    let took = microseconds() - start;
    assert!(took < 14_000_000, "{took} microseconds");
    assert!(intx::counters().edges >= 12, "{:?}", intx::counters());
}

/// Twice, and then the card carries frames.
pub(super) fn link_goes_and_comes() {
    let card = card();
    wait(async {
        let mut seen = poll_fn(|cx| card.poll_changed(u64::MAX, cx)).await;
        for is_up in [false, true, false, true] {
            wire::set_link(0, is_up);
            let expected = if is_up { Link::Up } else { Link::Down };
            while card.link() != expected {
                seen = poll_fn(|cx| card.poll_changed(seen, cx)).await;
            }
        }
        carries(&card, seed()).await;
    });
}

#[vm_test(machine = "nics=2", timeout = 60)]
fn two_cards_do_not_mix_their_frames() {
    let first = card();
    let second = crate::net::virtio_cards().swap_remove(1);
    assert_eq!((first.name(), second.name()), ("net0", "net1"));
    assert!(first.properties().address != second.properties().address);
    wait(async {
        for (number, card) in [(0, &first), (1, &second)] {
            let mac = card.properties().address.0;
            let bytes = frame(card, 500, number);
            transmit(
                card,
                Outgoing::new(crate::dma::Owner::into_memory(bytes.clone())),
            )
            .await;
            assert!(host_gets(number).await == bytes);
            supply(card, 1);
            host_sends(number, mac, 300, number).await;
            check_content(&content(&arrives(card).await), mac, 300, number);
        }
    });
    assert_eq!((wire::captured(0), wire::captured(1)), (2, 2));
}
