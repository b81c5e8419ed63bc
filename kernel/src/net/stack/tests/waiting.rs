//! Datagrams that wait, on their way out and in.

use super::datagrams::{note, soon};
use super::placing::Spy;
use super::{Pair, address, drive, options, sleep};
use crate::executor::block_on;
use crate::memory::frames::host;
use crate::net::stack::{Options, Stack};
use crate::net::{Fate, Offloads, Wire};
use core::net::SocketAddr;
use embassy_futures::select::{Either, select};

const SECOND: u64 = 1_000_000;

/// The address goes while datagrams wait: for a neighbour, who answers late, or for room in the card. What the card was
/// given is not taken back.
#[test]
fn a_datagram_does_not_leave_from_an_address_that_is_gone() {
    let _arena = host::arena();
    for waits_for_room in [false, true] {
        let wires = Wire::pair(1500, Offloads::NONE);
        let spy = Spy::new(wires[0].clone(), 1500);
        let stacks = [
            Stack::new(spy.clone(), options(0)).unwrap(),
            Stack::new(wires[1].clone(), options(1)).unwrap(),
        ];
        let _tasks = [drive(&stacks[0]), drive(&stacks[1])];
        let Options { ipv4: another, .. } = options(6);
        block_on(async {
            let near = stacks[0].udp(1000).unwrap();
            let far = stacks[1].udp(2000).unwrap();
            let to = SocketAddr::new(address(1), 2000);
            let dropped = || stacks[0].status().counters.dropped;
            sleep(10 * SECOND).await;
            let mut taken = 0;
            let many = if waits_for_room {
                near.send_to(b"first", to).await.unwrap();
                assert!(soon(&far).await.is_some());
                spy.set_room(0);
                // More than anybody has room for.
                200
            } else {
                wires[0].set_fate(|frame| match frame[12..14] == [8, 6] {
                    true => Fate::Lost,
                    false => Fate::Arrives,
                });
                1
            };
            for _ in 0..many {
                let sent = select(near.send_to(b"too late", to), sleep(1000)).await;
                taken += usize::from(matches!(sent, Either::First(Ok(()))));
            }
            assert!(taken > 0 && taken < 200);
            let before = dropped();
            stacks[0].configure(another.clone());
            let sent = note(&wires[0]);
            let in_time = select(near.send_to(b"in time", to), sleep(1000)).await;
            assert!(matches!(in_time, Either::First(Ok(()))), "there is room");
            spy.set_room(usize::MAX);
            let from = SocketAddr::new(address(6), 1000);
            let in_time = (b"in time".to_vec(), from);
            while soon(&far).await.expect("it arrives") != in_time {
                assert!(waits_for_room, "from where it cannot be answered");
            }
            assert!(soon(&far).await.is_none());
            let sent = sent.lock();
            let late = sent.iter().filter(|frame| frame.ends_with(b"too late"));
            let lost = (dropped() - before) as usize;
            assert_eq!(late.count() + lost, taken);
            assert!(lost > 0);
        });
    }
}

/// Nobody reads: as many are kept as there is room for, the others are counted, and what was kept is whole and in order.
#[test]
fn datagrams_that_nobody_reads_are_counted() {
    let _arena = host::arena();
    let pair = Pair::new(Offloads::NONE);
    block_on(async {
        let near = pair.stacks[0].udp(1000).unwrap();
        let far = pair.stacks[1].udp(2000).unwrap();
        let to = SocketAddr::new(address(1), 2000);
        let lost = || pair.stacks[1].status().counters.overflowed;
        near.send_to(b"first", to).await.unwrap();
        assert!(soon(&far).await.is_some(), "they know each other");
        for (len, many) in [(8, 100_u64), (1400, 60)] {
            let before = lost();
            for number in 0..many {
                let mut bytes = [0; 1400];
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                near.send_to(&bytes[..len], to).await.unwrap();
                sleep(1000).await;
            }
            let mut read = 0_u64;
            while let Some((bytes, _)) = soon(&far).await {
                assert_eq!((bytes.len(), &bytes[..8]), (len, &read.to_le_bytes()[..]));
                read += 1;
            }
            assert!(read > 0 && read < many, "{read}");
            assert_eq!(lost() - before, many - read);
        }
        // For nobody's port, there is nobody who should have read it.
        let before = lost();
        near.send_to(b"nobody", SocketAddr::new(address(1), 2001))
            .await
            .unwrap();
        sleep(SECOND).await;
        assert_eq!(lost(), before);
    });
}
