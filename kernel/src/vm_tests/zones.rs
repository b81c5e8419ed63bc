//! Zoned namespaces, as QEMU has them.

use super::bare::{Bare, bare, on_disk, status};
use alloc::vec;
use alloc::vec::Vec;
use nvme::nvm::{Filter, ZoneAction};
use nvme::zones::{State, Zone, Zoned};
use nvme::{Error, RequestError};
use vm_test::{pattern, seed, vm_test};

const BLOCK: u64 = 512;
/// Blocks of a zone of a mebibyte.
const ZONE: u64 = (1 << 20) / BLOCK;

const BOUNDARY: (u8, u8) = (1, 0xb8);
const FULL: (u8, u8) = (1, 0xb9);
const INVALID_WRITE: (u8, u8) = (1, 0xbc);
const TOO_MANY_ACTIVE: (u8, u8) = (1, 0xbd);
const INVALID_TRANSITION: (u8, u8) = (1, 0xbf);

impl Bare {
    fn zoned(&self) -> Zoned {
        self.namespace.zoned.expect("it has zones")
    }

    fn zones(&self, block: u64, filter: Filter) -> Vec<Zone> {
        let report = self.namespace.report_zones(block, filter, 64);
        let (bytes, _) = self.bring(report.expect("a report")).expect("it reports");
        let zoned = self.zoned();
        let zones = zoned.report(&bytes);
        zones.map(|zone| zone.expect("it can be")).collect()
    }

    fn act(&self, zone: Option<u64>, action: ZoneAction) -> Result<u64, Error> {
        let zone = zone.map(|index| index * ZONE);
        self.perform(self.namespace.act_on_zone(zone, action).expect("an action"))
    }

    fn state(&self, zone: usize) -> (State, u64) {
        let zone = self.zones(0, Filter::All)[zone];
        (zone.state, zone.written)
    }

    fn write(&self, block: u64, data: &[u8]) -> Result<u64, Error> {
        let blocks = data.len() as u64 / BLOCK;
        let write = self.namespace.write(block, blocks).expect("a write");
        self.send(write, data, &[])
    }

    fn append(&self, zone: u64, data: &[u8]) -> Result<u64, Error> {
        let blocks = data.len() as u64 / BLOCK;
        let append = self.namespace.append(zone * ZONE, blocks);
        self.send(append.expect("an append"), data, &[])
    }
}

/// Data that no image begins with, and that no two calls share.
fn data(number: u64, blocks: u64) -> Vec<u8> {
    let mut bytes = vec![0; (blocks * BLOCK) as usize];
    pattern::fill(seed() ^ 0x20e5, number << 20, &mut bytes);
    bytes
}

#[vm_test(machine = "zoned,size=8M", timeout = 60)]
fn zones_are_reported_as_they_are() {
    let disk = bare(0, 1);
    let zoned = disk.zoned();
    assert_eq!((zoned.zone_blocks, zoned.zones), (ZONE, 8));
    assert_eq!((zoned.max_open, zoned.max_active), (None, None));
    assert!(
        crate::storage::volumes_known().is_empty(),
        "no block device"
    );
    let all = disk.zones(0, Filter::All);
    assert_eq!(all.len(), 8);
    for (index, zone) in (0..).zip(&all) {
        assert_eq!((zone.block, zone.capacity), (index * ZONE, ZONE));
        assert_eq!((zone.state, zone.written), (State::Empty, 0));
    }
    disk.write(2 * ZONE, &data(0, 8))
        .expect("at the write pointer");
    disk.act(Some(5), ZoneAction::Open).expect("it opens");
    let open = disk.zones(0, Filter::ImplicitlyOpen);
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].write_pointer(), Some(2 * ZONE + 8));
    let opened: Vec<u64> = disk
        .zones(0, Filter::ExplicitlyOpen)
        .iter()
        .map(|zone| zone.block)
        .collect();
    assert_eq!(opened, [5 * ZONE]);
    let behind = disk.zones(6 * ZONE + 7, Filter::All);
    assert_eq!(behind.len(), 2, "from the zone of the block on");
    assert_eq!(disk.zones(0, Filter::Full).len(), 0);
    assert_eq!(disk.zones(0, Filter::Empty).len(), 6);
}

#[vm_test(machine = "zoned,size=8M", timeout = 60)]
fn zones_are_opened_written_finished_and_reset() {
    let disk = bare(0, 1);
    disk.act(Some(1), ZoneAction::Open).expect("it opens");
    assert_eq!(disk.state(1), (State::ExplicitlyOpen, 0));
    let first = data(1, 16);
    disk.write(ZONE, &first).expect("at the write pointer");
    assert_eq!(disk.state(1), (State::ExplicitlyOpen, 16));
    assert_eq!(on_disk(0, ZONE * BLOCK, first.len()), first);
    // Elsewhere than at the write pointer nothing is written.
    for block in [ZONE, ZONE + 15, ZONE + 17, 3 * ZONE + 1] {
        let refused = disk.write(block, &data(2, 4));
        assert_eq!(status(refused), INVALID_WRITE, "at {block}");
    }
    assert_eq!(on_disk(0, ZONE * BLOCK, first.len()), first);
    disk.act(Some(1), ZoneAction::Close).expect("it closes");
    assert_eq!(disk.state(1), (State::Closed, 16));
    disk.act(Some(1), ZoneAction::Finish).expect("it finishes");
    assert_eq!(disk.state(1).0, State::Full);
    assert_eq!(status(disk.write(ZONE + 16, &data(3, 4))), FULL);
    let read = disk.namespace.read(ZONE, 16).expect("a read");
    assert_eq!(disk.bring(read).expect("it reads").0, first);

    disk.act(Some(1), ZoneAction::Reset).expect("it is reset");
    assert_eq!(disk.state(1), (State::Empty, 0));
    let read = disk.namespace.read(ZONE, 16).expect("a read");
    let zeros = disk.bring(read).expect("it reads").0;
    assert!(zeros.iter().all(|byte| *byte == 0), "nothing is left");
    let again = data(4, 4);
    disk.write(ZONE, &again).expect("from the start");
    assert_eq!(on_disk(0, ZONE * BLOCK, again.len()), again);
    // QEMU has no zones that can only be read, of which one could be taken out of use.
    let refused = disk.act(Some(1), ZoneAction::Offline);
    assert_eq!(status(refused), INVALID_TRANSITION);
    disk.act(None, ZoneAction::Reset).expect("all are reset");
    assert_eq!(disk.zones(0, Filter::Empty).len(), 8);
}

#[vm_test(machine = "zoned,size=8M", timeout = 60)]
fn appends_say_where_they_went_and_the_host_finds_them_there() {
    let disk = bare(0, 1);
    let mut expected = 3 * ZONE;
    for (number, blocks) in [(1, 8), (2, 1), (3, 100), (4, 7)] {
        let bytes = data(number, blocks);
        let at = disk.append(3, &bytes).expect("there is room");
        assert_eq!(at, expected);
        assert_eq!(
            on_disk(0, at * BLOCK, bytes.len()),
            bytes,
            "append {number}"
        );
        expected += blocks;
    }
    assert_eq!(disk.state(3), (State::ImplicitlyOpen, 116));
    let read = disk.namespace.read(3 * ZONE + 8, 1).expect("a read");
    assert_eq!(disk.bring(read).expect("it reads").0, data(2, 1));
    // To the last block, and not over it.
    let most = disk.zoned().append_bytes / BLOCK;
    let mut left = ZONE - 116;
    while left > most {
        disk.append(3, &data(9, most)).expect("there is room");
        left -= most;
    }
    let too_many = disk.append(3, &data(5, left + 1));
    assert_eq!(status(too_many), BOUNDARY);
    disk.append(3, &data(6, left)).expect("there is room");
    assert_eq!(disk.state(3).0, State::Full);
    let last = on_disk(0, (4 * ZONE - 1) * BLOCK, BLOCK as usize);
    assert_eq!(last, data(6, left)[last_of(left)..]);
    assert_eq!(status(disk.append(3, &data(7, 1))), FULL);
    // What the next zone has is not what was refused.
    let next = on_disk(0, 4 * ZONE * BLOCK, BLOCK as usize);
    let wrong = pattern::first_difference(seed(), 4 * ZONE * BLOCK, &next);
    assert_eq!(wrong, None, "the image is as it was made");
    let no_zone = disk.namespace.append(3 * ZONE + 1, 1);
    assert_eq!(
        no_zone,
        Err(RequestError::NoZone {
            block: 3 * ZONE + 1
        })
    );
}

/// Where the last of so many blocks begins.
fn last_of(blocks: u64) -> usize {
    ((blocks - 1) * BLOCK) as usize
}

#[vm_test(machine = "zoned,active=2,size=8M", timeout = 60)]
fn no_more_zones_are_active_than_may_be() {
    let disk = bare(0, 1);
    let zoned = disk.zoned();
    assert_eq!((zoned.max_open, zoned.max_active), (Some(2), Some(2)));
    disk.act(Some(0), ZoneAction::Open).expect("one");
    disk.act(Some(1), ZoneAction::Open).expect("two");
    let third = disk.act(Some(2), ZoneAction::Open);
    assert_eq!(status(third), TOO_MANY_ACTIVE);
    assert_eq!(status(disk.append(2, &data(0, 1))), TOO_MANY_ACTIVE);
    assert_eq!(disk.state(2), (State::Empty, 0));
    disk.act(Some(0), ZoneAction::Finish)
        .expect("full is not active");
    disk.append(2, &data(0, 1)).expect("one is free");
}
