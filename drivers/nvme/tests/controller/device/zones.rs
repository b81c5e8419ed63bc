//! Zones: states, pointers, limits and errors.

use super::host::transfer;
use super::{Host, entry};
use crate::model::{Config, zoned_disk};
use nvme::wire::{SubmissionEntry, ZoneDescriptor};

/// Five zones of 16 blocks, of which 12 can be written; at most two open and three active.
fn host() -> (Host, u64) {
    let (namespace, mut extra) = zoned_disk(5, 16, 12);
    if let Some(zoned) = &mut extra.zoned {
        (zoned.mar, zoned.mor) = (2, 1);
    }
    let mut host = Host::with_css(Config::with_everything().put(1, (namespace, extra)), 6);
    host.create(1, None);
    let bus = host.zeros(2);
    (host, bus)
}

fn send(action: u64, block: u64) -> SubmissionEntry {
    let mut send = entry(0x79, 1);
    (send.cdw10_11, send.cdw12_13) = (block, action << 32);
    send
}

const CLOSE: u64 = 1;
const FINISH: u64 = 2;
const OPEN: u64 = 3;
const RESET: u64 = 4;
const ALL: u64 = 1 << 8;

/// State and write pointer of each zone.
fn report(host: &mut Host) -> Vec<(u8, u64)> {
    let bus = host.zeros(1);
    let mut receive = entry(0x7a, 1);
    receive.prp1 = bus;
    receive.cdw12_13 = 1023;
    host.done(1, receive);
    let count = host.get(bus, 1)[0];
    let zones = host.get(bus + 64, usize::from(count) * 64);
    let zones = zones.as_chunks().0.iter().map(ZoneDescriptor::decode);
    zones.map(|zone| (zone.zs >> 4, zone.wp)).collect()
}

#[test]
fn zones_are_written_in_order_and_fill() {
    let (mut host, bus) = host();
    assert_eq!(host.fails(1, transfer(0x01, 1, 1, 1, bus)), (1, 0xbc));
    host.done(1, transfer(0x01, 1, 0, 8, bus));
    assert_eq!(report(&mut host)[0], (2, 8), "implicitly open");
    assert_eq!(host.fails(1, transfer(0x01, 1, 8, 5, bus)), (1, 0xb8));
    host.done(1, transfer(0x01, 1, 8, 4, bus));
    assert_eq!(report(&mut host)[0], (14, u64::MAX), "full");
    assert_eq!(host.fails(1, transfer(0x01, 1, 12, 1, bus)), (1, 0xb9));
    assert_eq!(host.fails(1, transfer(0x02, 1, 15, 2, bus)), (1, 0xb8));
    host.done(1, send(RESET, 0));
    assert_eq!(report(&mut host)[0], (1, 0), "empty");
}

#[test]
fn append_says_where() {
    let (mut host, bus) = host();
    let append = |blocks| transfer(0x7d, 1, 16, blocks, bus);
    assert_eq!(host.done(1, append(3)), 16);
    assert_eq!(host.done(1, append(2)), 19);
    assert_eq!(host.fails(1, append(8)), (1, 0xb8));
    assert_eq!(host.fails(1, transfer(0x7d, 1, 17, 1, bus)), (0, 0x02));
    host.machine.model().config.zoned.zasl = 1;
    host.machine.model().config.identify.mdts = 5;
    host.machine.model().resize(1, 80);
    assert_eq!(host.fails(1, append(17)), (0, 0x02), "ZASL");
}

#[test]
fn open_and_active_zones_have_limits() {
    let (mut host, bus) = host();
    host.done(1, send(OPEN, 0));
    host.done(1, send(OPEN, 16));
    assert_eq!(host.fails(1, send(OPEN, 32)), (1, 0xbe));
    assert_eq!(host.fails(1, transfer(0x01, 1, 32, 1, bus)), (1, 0xbe));
    host.done(1, send(CLOSE, 0));
    host.done(1, transfer(0x01, 1, 32, 1, bus));
    assert_eq!(host.fails(1, send(OPEN, 48)), (1, 0xbd), "three are active");
    // A zone that was opened by a write is closed for another.
    host.done(1, send(OPEN, 0));
    assert_eq!(report(&mut host)[2], (4, 33), "closed");
    host.done(1, send(FINISH, 16));
    assert_eq!(report(&mut host)[1].0, 14);
    assert_eq!(host.fails(1, send(OPEN, 16)), (1, 0xbf));
    assert_eq!(host.fails(1, send(CLOSE, 64)), (1, 0xbf));
    host.done(1, send(RESET | ALL, 0));
    assert!(report(&mut host).iter().all(|(state, _)| *state == 1));
}
