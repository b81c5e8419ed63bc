//! TCP/IP, with QEMU's user network at the other end of the wire, and the host's own TCP behind that.
//!
//! QEMU lends the address 10.0.2.15, is 10.0.2.2 itself, and has somebody at 10.0.2.100 who echoes. What the host
//! says and hears is checked by the host.

use crate::block::blocking::wait;
use crate::dma::{Memory, Owner};
use crate::executor;
use crate::memory::frames::Frames;
use crate::memory::regions;
use crate::net::stack::{self, Backlog, Connection, Ipv4, Options, Stack, State};
use crate::net::{Interface, Stream, StreamError, virtio_cards};
use crate::println;
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use embassy_futures::join::join;
use embassy_futures::yield_now;
use vm_test::{host, pattern, seed, vm_test, wire};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 100)), 7);

/// The machine's only stack.
async fn begin() -> Stack {
    stack::start(Options::default());
    stack::started().await;
    let stack = stack::stacks().swap_remove(0);
    assert!(stack.has_address().await);
    stack
}

/// Hears so many bytes of the pattern.
pub(super) async fn hear(connection: &mut Connection, seed: u64, len: usize) {
    let mut bytes = vec![0; 16 * 1024];
    let mut heard = 0;
    while heard < len {
        let read = connection.read(&mut bytes).await.unwrap();
        assert!(read > 0, "the end came after {heard} bytes");
        let wrong = pattern::first_difference(seed, heard as u64, &bytes[..read]);
        assert_eq!(wrong, None, "after {heard} bytes");
        heard += read;
    }
    assert_eq!(heard, len);
}

/// Memory with a part of the pattern.
pub(super) fn memory(seed: u64, from: usize, len: usize) -> Memory {
    let pages = (len as u64).next_multiple_of(4096);
    let mut frames = Frames::allocate(pages).unwrap();
    pattern::fill(seed, from as u64, &mut frames.bytes_mut()[..len]);
    frames.into_memory().part(0..len).unwrap()
}

#[vm_test(machine = "user-net", timeout = 120)]
fn an_address_is_lent_and_the_router_answers() {
    wait(async {
        let stack = begin().await;
        let status = stack.status();
        let lease = status.lease.expect("it is lent");
        assert_eq!((lease.address, lease.prefix), (GUEST, 24));
        assert_eq!((lease.server, lease.router), (HOST, Some(HOST)));
        assert_eq!(status.dns, [IpAddr::from([10, 0, 2, 3])]);
        assert!(stack.ping(HOST.into(), 1, 10_000_000).await.is_ok());
        let mac = virtio_cards()[0].properties().address;
        assert_eq!(status.mac, mac);
        let met = stack.status().neighbours;
        assert!(
            met.iter()
                .any(|(address, _)| *address == IpAddr::from(HOST))
        );
        assert_eq!(stack::way_to(HOST.into()).unwrap().name(), stack.name());
    });
}

#[vm_test(machine = "user-net", timeout = 120)]
fn an_address_that_is_known_needs_nobody_who_lends_it() {
    wait(async {
        let fixed = Ipv4::Fixed {
            address: Ipv4Addr::new(10, 0, 2, 77),
            prefix: 24,
            router: Some(HOST),
            dns: Vec::new(),
        };
        stack::start(Options {
            ipv4: fixed,
            ..Options::default()
        });
        stack::started().await;
        let stack = stack::stacks().swap_remove(0);
        assert!(stack.ping(HOST.into(), 1, 10_000_000).await.is_ok());
        assert_eq!(stack.status().lease, None);
        stack.configure(Ipv4::Dhcp);
        assert!(stack.has_address().await);
        assert_eq!(stack.status().lease.map(|lease| lease.address), Some(GUEST));
    });
}

/// `cat`, on the host, says what was said to it.
#[vm_test(machine = "user-net=mrg_rxbuf=off", timeout = 120)]
fn what_is_said_to_the_host_is_echoed() {
    wait(async {
        let stack = begin().await;
        let mut connection = stack.connect(ECHO).await.unwrap();
        let seed = seed();
        // One handle: what is on its way is bounded, so it speaks and hears by turns.
        for (round, len) in [10, 1, 3000, 16_384]
            .into_iter()
            .cycle()
            .enumerate()
            .take(40)
        {
            let seed = seed ^ round as u64;
            match round % 2 {
                0 => connection.send(memory(seed, 0, len)).await.unwrap(),
                _ => {
                    let mut bytes = vec![0; len];
                    pattern::fill(seed, 0, &mut bytes);
                    connection.write(&bytes).await.unwrap();
                }
            }
            hear(&mut connection, seed, len).await;
        }
        drop(connection);
        let refused = stack.connect(SocketAddr::new(HOST.into(), 1)).await;
        assert_eq!(refused.err(), Some(StreamError::Reset));
        assert_eq!(stack.status().counters.damaged, 0);
    });
}

/// The host opens a connection, and this machine echoes.
#[vm_test(machine = "user-net", timeout = 180)]
fn the_host_is_echoed_by_what_arrives_from_it() {
    const LEN: usize = 300_000;
    wait(async {
        let stack = begin().await;
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        wire::talk(0, LEN as u64, LEN as u64, seed());
        let mut connection = listener.accept().await.unwrap();
        let mut bytes = vec![0; 8192];
        loop {
            let read = connection.read(&mut bytes).await.unwrap();
            if read == 0 {
                break;
            }
            connection.write(&bytes[..read]).await.unwrap();
        }
        connection.close().await.unwrap();
        connection.flush().await.unwrap();
        while !wire::heard(0) {
            yield_now().await;
        }
        let counters = stack.status().counters;
        assert_eq!((counters.accepted, counters.damaged), (1, 0));
    });
}

/// A disk writes into memory, and the card reads from there: the CPU touches none of it. All of the memory is
/// there again when the host has everything.
#[vm_test(machine = "nvme,size=4M,user-net", timeout = 180)]
fn a_disk_s_bytes_reach_the_host_from_where_the_disk_has_put_them() {
    const LEN: u64 = 1 << 20;
    const PIECE: u64 = 128 << 10;
    let disk = super::disk();
    wait(async {
        let stack = begin().await;
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        wire::talk(0, 0, LEN, seed());
        let mut connection = listener.accept().await.unwrap();
        let before = (stack.status().counters, free_or_heap_bytes());
        for at in (0..LEN).step_by(PIECE as usize) {
            let frames = Frames::allocate(PIECE).unwrap();
            let blocks = at / u64::from(disk.geometry().block_size);
            let frames = disk.read(blocks, frames).await.expect("it can be read");
            connection.send(frames.into_memory()).await.unwrap();
        }
        connection.close().await.unwrap();
        connection.flush().await.unwrap();
        while !wire::heard(0) {
            yield_now().await;
        }
        let after = stack.status().counters;
        assert_eq!(after.copied_bytes, before.0.copied_bytes);
        assert!(after.referred_bytes - before.0.referred_bytes >= LEN);
        drop(connection);
        while free_or_heap_bytes() < before.1 {
            yield_now().await;
        }
        // All that a turn has sent was one kick.
        let kicks = virtio_cards()[0].counters().kicks;
        assert!(
            kicks <= after.turns,
            "{kicks} kicks in {} turns",
            after.turns
        );
        assert!(
            kicks < after.sent,
            "{kicks} kicks for {} frames",
            after.sent
        );
    });
}

/// The host writes into a board's memory, and hears it from a connection: no CPU of the guest has copied a byte, and
/// QEMU has seen it on the wire.
#[vm_test(machine = "user-net,ivshmem=4M", timeout = 180)]
fn b2_a_connection_carries_another_device_s_memory_without_a_copy() {
    wait(async {
        let stack = begin().await;
        region_is_heard(&stack).await;
    });
}

/// What lies in a board's memory is sent by a connection, and the host hears it.
pub(super) async fn region_is_heard(stack: &Stack) {
    const LEN: u64 = 200_001;
    // Neither starts nor ends with a page.
    const AT: u64 = 3 * 4096 + 777;
    host::fill_file("ivshmem0", AT, LEN, seed(), 0);
    let mut listener = stack.listen(80, Backlog::default()).unwrap();
    assert_eq!(wire::seen(0, seed(), 1000, 64), 0);
    wire::talk(0, 0, LEN, seed());
    let mut connection = listener.accept().await.unwrap();
    let before = stack.status().counters;
    let provider = regions::find("ivshmem0").expect("the machine has such memory");
    let region = provider.claim(AT, LEN).expect("nobody has it");
    connection.send(region.into_memory()).await.unwrap();
    connection.close().await.unwrap();
    connection.flush().await.unwrap();
    while !wire::heard(0) {
        yield_now().await;
    }
    let after = stack.status().counters;
    assert_eq!(after.copied_bytes, before.copied_bytes);
    assert!(after.referred_bytes - before.referred_bytes >= LEN);
    assert!(wire::seen(0, seed(), 1000, 64) >= 1);
    assert!(wire::seen(0, seed(), LEN - 64, 64) >= 1);
    // It is the provider's again when all is acknowledged.
    drop(connection);
    while provider.claim(AT, LEN).is_err() {
        yield_now().await;
    }
}

/// One frame in a hundred gets lost, one comes twice, and one comes late: whatever is said is heard, both ways. Once in a
/// thousand times chance spares a megabyte, and then more is said.
#[vm_test(machine = "user-net=lossy", timeout = 300)]
fn what_gets_lost_on_the_wire_is_said_once_more() {
    const LEN: usize = 1 << 20;
    wait(async {
        let stack = begin().await;
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        for megabyte in 1.. {
            wire::talk(0, LEN as u64, LEN as u64, seed());
            let mut connection = listener.accept().await.unwrap();
            hear(&mut connection, seed(), LEN).await;
            connection.send(memory(seed(), 0, LEN)).await.unwrap();
            connection.close().await.unwrap();
            connection.flush().await.unwrap();
            while !wire::heard(0) {
                yield_now().await;
            }
            let fates = wire::fates(0);
            let counters = stack.status().counters;
            println!("{fates:?}, {} sent once more", counters.retransmitted);
            assert_eq!(counters.damaged, 0);
            if fates.into_iter().all(|count| count > 4) && counters.retransmitted > 0 {
                break;
            }
            assert!(megabyte < 8, "{fates:?}, {counters:?}");
        }
    });
}

/// Ten connections at once, each with its own content, and none is left afterwards.
#[vm_test(machine = "user-net,smp=2", timeout = 180)]
fn many_connections_at_once_do_not_mix() {
    const EACH: usize = 20_000;
    wait(async {
        let stack = begin().await;
        let tasks: Vec<_> = (0..10u64)
            .map(|number| {
                let stack = stack.clone();
                executor::spawn(async move {
                    let seed = seed() ^ number;
                    let mut connection = stack.connect(ECHO).await.unwrap();
                    connection.send(memory(seed, 0, EACH)).await.unwrap();
                    hear(&mut connection, seed, EACH).await;
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        loop {
            let open = stack.connections();
            if open.iter().all(|one| one.state == State::TimeWait) {
                break;
            }
            yield_now().await;
        }
    });
}

/// The card is torn out while something is said.
#[vm_test(machine = "user-net=port", timeout = 120)]
fn a_card_that_is_torn_out_takes_its_connections_along() {
    wait(async {
        let stack = begin().await;
        let mut connection = stack.connect(ECHO).await.unwrap();
        connection.write(b"hello").await.unwrap();
        let mut bytes = [0; 16];
        assert!(connection.read(&mut bytes).await.unwrap() > 0);
        let torn = async {
            wire::tear_out(0);
        };
        let (ended, ()) = join(
            async {
                loop {
                    if let Err(error) = connection.read(&mut bytes).await {
                        break error;
                    }
                }
            },
            torn,
        )
        .await;
        assert_eq!(ended, StreamError::Unreachable);
        while !stack::stacks().is_empty() {
            yield_now().await;
        }
        assert!(stack.is_gone());
    });
}
