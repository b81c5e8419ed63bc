//! The write cache of a virtio disk, on and off.
//!
//! What QEMU makes of it is seen on a disk that fails to flush: whoever needs a flush hears of it, and nobody else does.

use super::disk;
use crate::block::blocking::wait;
use crate::drivers::virtio::drive::Drive;
use crate::memory::frames::Frames;
use crate::storage;
use alloc::sync::Arc;
use virtio::{Error, RequestError};
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: u64 = 4096;

fn drive() -> Arc<Drive> {
    disk();
    storage::virtio_disks()[0].clone()
}

fn commands() -> u64 {
    let counters = drive().counters();
    counters.expect("the core has a queue").driver.commands
}

/// What is seen of a cache.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// A write fails if the disk cannot flush: it has no other way to be durable.
    writes_through: bool,
    /// Commands of a flush that is asked for. What was written before the cache was turned off may be in it.
    flushes: u64,
    /// Commands of a durable write.
    durable: u64,
}

const CACHED: Seen = Seen {
    writes_through: false,
    flushes: 1,
    durable: 2,
};

const THROUGH: Seen = Seen {
    writes_through: true,
    flushes: 1,
    durable: 1,
};

fn look() -> Seen {
    let disk = disk();
    // Once: QEMU flushes by itself when the faults change.
    control::faults(0, "flush once");
    let writes_through = disk.write_now(256, &[1; 512]).is_err();
    assert_eq!(disk.flush_now().is_err(), !writes_through);
    control::faults(0, "");
    let before = commands();
    disk.flush_now().expect("it flushes");
    let flushes = commands() - before;
    let before = commands();
    let mut frames = Frames::allocate(PAGE).expect("there is memory");
    pattern::fill(seed() ^ 7, 0, frames.bytes_mut());
    let written = wait(disk.write_durable(128, frames));
    drop(written.expect("it writes"));
    let durable = commands() - before;
    host::assert_disk_pattern(0, 128 * 512, PAGE, seed() ^ 7, 0);
    Seen {
        writes_through,
        flushes,
        durable,
    }
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_write_cache_is_turned_off_and_on_and_is_so_after_a_reset() {
    let drive = drive();
    let is_on = || drive.disk().write_cache();
    assert!(disk().limits().write_cache);
    assert_eq!((is_on(), look()), (Ok(true), CACHED));
    assert_eq!(drive.disk().set_write_cache(false), Ok(()));
    assert_eq!((is_on(), look()), (Ok(false), THROUGH));
    // QEMU turns it on again with a reset, and is told again.
    assert_eq!(wait(drive.disk().reset()), Ok(()));
    assert_eq!((is_on(), look()), (Ok(false), THROUGH));
    assert_eq!(drive.disk().set_write_cache(true), Ok(()));
    assert_eq!((is_on(), look()), (Ok(true), CACHED));
    assert_eq!(wait(drive.disk().reset()), Ok(()));
    assert_eq!((is_on(), look()), (Ok(true), CACHED));
}

#[vm_test(machine = "virtio=modern,vwc=off,size=16M", timeout = 60)]
fn a_write_cache_that_is_off_at_first_is_left_off() {
    assert_eq!(drive().disk().write_cache(), Ok(false));
    assert_eq!(look(), THROUGH);
}

#[vm_test(machine = "virtio,without=config-wce,size=16M", timeout = 60)]
fn a_write_cache_that_cannot_be_turned_off_is_on() {
    let unsupported = Error::Request(RequestError::Unsupported);
    assert_eq!(drive().disk().write_cache(), Err(unsupported));
    assert_eq!(drive().disk().set_write_cache(false), Err(unsupported));
    assert_eq!(look(), CACHED);
}
