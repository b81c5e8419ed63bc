//! Asynchronous events and log pages.

use super::host::{code, transfer};
use super::{Host, entry};
use crate::model::{Config, Event, disk, status};
use nvme::wire::{Effects, ErrorEntry, FirmwareSlots, Health, namespace_list};

fn host() -> Host {
    let mut host = Host::new(Config::with_everything());
    // Health and notices.
    host.set_feature(0x0b, 0x3ff);
    host
}

#[test]
fn a_request_waits_for_an_event_and_an_event_for_a_request() {
    let mut host = host();
    let cid = host.submit(0, entry(0x0c, 0));
    assert!(host.wait(0).is_none());
    host.machine.model().event(Event::TEMPERATURE);
    let found = host.wait(0).expect("an event");
    assert_eq!((found.cid, found.result), (cid, 0x02_01_01));
    host.machine.model().event(Event::NAMESPACES);
    assert!(host.take(0).is_none());
    assert_eq!(host.done(0, entry(0x0c, 0)), 0x04_00_02);
}

/// A type is reported once, and again only when its log page was read.
#[test]
fn events_are_masked_until_their_page_is_read() {
    let mut host = host();
    for _ in 0..3 {
        host.submit(0, entry(0x0c, 0));
    }
    host.machine.model().event(Event::TEMPERATURE);
    assert!(host.wait(0).is_some());
    host.machine.model().event(Event::TEMPERATURE);
    assert!(host.wait(0).is_none());
    // With Retain Asynchronous Event the mask stays.
    host.log_page(0x02, 512, true);
    assert!(host.wait(0).is_none());
    let bus = host.zeros(1);
    let mut get = entry(0x02, u32::MAX);
    get.prp1 = bus;
    get.cdw10_11 = 0x02 | 127 << 16;
    host.submit(0, get);
    // The log page and the event, in either order.
    assert!(host.wait(0).is_some());
    assert!(host.wait(0).is_some());
}

#[test]
fn events_that_are_not_enabled_do_not_come_and_requests_have_a_limit() {
    let mut host = Host::new(Config::with_everything());
    for _ in 0..4 {
        host.submit(0, entry(0x0c, 0));
    }
    assert_eq!(host.fails(0, entry(0x0c, 0)), (1, 0x05));
    host.machine.model().event(Event::TEMPERATURE);
    host.machine.model().event(Event::NAMESPACES);
    assert!(host.wait(0).is_none());
    host.machine.model().storm_of_events(0xffff_ffff);
    assert_eq!(host.wait(0).expect("a storm").result, 0xffff_ffff);
}

#[test]
fn changed_namespaces_are_listed_until_they_are_read() {
    let mut host = host();
    host.submit(0, entry(0x0c, 0));
    host.machine.model().resize(1, 99);
    host.machine.model().plug(5, disk(10, 9));
    assert!(host.wait(0).is_some());
    let list = |host: &mut Host| {
        let page = host.log_page(0x04, 4096, false);
        let page: [u8; 4096] = page.try_into().expect("a page");
        namespace_list(&page).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut host), [1, 5]);
    assert_eq!(list(&mut host), [0; 0]);
    host.machine.model().unplug(5);
    assert_eq!(list(&mut host), [5]);
}

#[test]
fn errors_are_logged_latest_first() {
    let mut host = host();
    host.create(1, None);
    host.machine.model().bad_blocks.insert(7, status(2, 0x81));
    let page = host.zeros(2);
    host.fails(1, transfer(0x02, 1, 7, 1, page));
    let failed = host.io(1, transfer(0x02, 1, 9999, 1, page));
    assert_eq!(code(failed.status), (0, 0x80));
    let log = host.log_page(0x01, 1024, false);
    let entries: Vec<ErrorEntry> = log.as_chunks().0.iter().map(ErrorEntry::decode).collect();
    assert_eq!((entries[0].count, entries[0].lba), (2, 9999));
    assert_eq!((entries[1].count, entries[1].lba), (1, 7));
    assert_eq!((entries[0].sqid, entries[0].cid), (1, failed.cid));
    assert_eq!(entries[2].count, 0);
}

#[test]
fn health_counts_and_effects_tell() {
    let mut host = host();
    host.create(1, None);
    let page = host.zeros(2);
    host.done(1, transfer(0x02, 1, 0, 8, page));
    host.done(1, transfer(0x01, 1, 0, 8, page));
    let log: [u8; 512] = host.log_page(0x02, 512, false).try_into().expect("a log");
    let health = Health::decode(&log);
    assert_eq!((health.reads, health.writes), (1, 1));
    assert_eq!((health.units_read, health.units_written), (1, 1));
    let log: [u8; 4096] = host.log_page(0x05, 4096, false).try_into().expect("a log");
    let effects = Effects::decode(&log);
    assert!(effects.admin[0x80].ncc() && effects.io[0x01].lbcc());
    assert!(!effects.io[0x7d].csupp());
    let mut get = entry(0x02, u32::MAX);
    get.cdw10_11 = 0x77 | 127 << 16;
    assert_eq!(host.fails(0, get), (1, 0x09));
}

#[test]
fn new_firmware_pauses_the_controller_and_runs_after_a_reset() {
    let mut host = host();
    let image = host.zeros(1);
    let mut download = entry(0x11, 0);
    download.prp1 = image;
    download.cdw10_11 = 1023;
    host.done(0, download);
    let mut commit = entry(0x10, 0);
    commit.cdw10_11 = 2 | 1 << 3;
    assert_eq!(host.fails(0, commit), (1, 0x07), "no image");
    host.put(image, b"FIRM");
    host.done(0, download);
    assert_eq!(host.fails(0, commit), (1, 0x11), "a reset is needed");
    let log: [u8; 512] = host.log_page(0x03, 512, false).try_into().expect("a log");
    assert_eq!(FirmwareSlots::decode(&log).afi.next(), 2);
    host.disable();
    host.enable(0);
    assert_eq!(&host.identify(1, 0, 0)[64..67], b"2.0");
    host.machine.model().activate_firmware(50_000);
    host.submit(0, entry(0x18, 0));
    host.machine.model().pass(40_000);
    assert!(host.take(0).is_none(), "paused");
    assert!(host.wait(0).is_some());
}
