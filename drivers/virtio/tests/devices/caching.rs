//! The write cache, on and off, with a disk that may do something else than it is told.

use crate::model::device::CACHE;
use crate::model::{Device, World, bits};
use crate::transfers::world;
use std::future::poll_fn;
use std::task::Waker;
use virtio::blk::{Operation, Request, Ticket};
use virtio::{ConfigError, DeviceError, Error, Failure, RequestError};

/// A disk whose cache is on, and can be turned off.
fn cached() -> World {
    world(|device| switchable(device, 1))
}

fn switchable(device: &mut Device, cache: u8) {
    device.offered |= bits::CONFIG_WCE;
    device.config[CACHE] = cache;
}

fn durable(world: &World) -> Operation {
    let made = world.disk.properties().write_blocks(8, 2);
    made.expect("inside").with_durability()
}

/// Flushes that the disk sees of a durable write.
fn flushes(world: &World) -> u64 {
    let before = world.device().flushes;
    let data = world.source(&[1024], &[3; 1024]);
    let done = world.run(world.execute(durable(world), Some(data)));
    assert_eq!(done.result, Ok(()));
    world.device().flushes - before
}

fn flush(world: &World) {
    let before = world.device().flushes;
    let operation = world.disk.properties().flush().expect("it has a cache");
    let done = world.run(world.execute(operation, None));
    assert_eq!((done.result, world.device().flushes), (Ok(()), before + 1));
}

#[test]
fn a_cache_is_turned_off_and_on() {
    let world = cached();
    assert_eq!(world.disk.write_cache(), Ok(true));
    assert_eq!(flushes(&world), 1);
    assert_eq!(world.disk.set_write_cache(false), Ok(()));
    assert_eq!(
        (world.disk.write_cache(), world.device().config[CACHE]),
        (Ok(false), 0)
    );
    assert_eq!(flushes(&world), 0);
    // What was written before is not durable yet.
    flush(&world);
    assert_eq!(world.disk.set_write_cache(true), Ok(()));
    assert_eq!(
        (world.disk.write_cache(), world.device().config[CACHE]),
        (Ok(true), 1)
    );
    assert_eq!(flushes(&world), 1);
    world.end();
}

#[test]
fn a_cache_is_after_a_reset_as_it_was_asked_to_be() {
    let world = cached();
    let reset = || {
        let disk = world.disk.clone();
        assert_eq!(world.run(async move { disk.reset().await }), Ok(()));
    };
    reset();
    assert_eq!(flushes(&world), 1, "nobody has asked for anything");
    world.disk.set_write_cache(false).expect("it can");
    for _ in 0..2 {
        reset();
        assert_eq!(
            (world.disk.write_cache(), world.device().config[CACHE]),
            (Ok(false), 0)
        );
        assert_eq!(flushes(&world), 0);
    }
    // One that does not do it again is known not to.
    world.device().keeps_cache = true;
    reset();
    assert_eq!(world.disk.write_cache(), Ok(true));
    assert_eq!(flushes(&world), 1);
    // And the wish is not forgotten.
    world.device().keeps_cache = false;
    reset();
    assert_eq!((world.disk.write_cache(), flushes(&world)), (Ok(false), 0));
    world.end();
}

#[test]
fn a_cache_that_is_off_from_the_start_costs_no_flush() {
    let world = world(|device| switchable(device, 0));
    assert_eq!(world.disk.write_cache(), Ok(false));
    assert_eq!(flushes(&world), 0);
    flush(&world);
    world.disk.set_write_cache(true).expect("it can");
    assert_eq!(flushes(&world), 1);
    world.end();
}

#[test]
fn a_disk_that_keeps_its_cache_as_it_is_is_not_believed_to_have_changed_it() {
    let world = cached();
    world.device().keeps_cache = true;
    let refused = Err(Error::Device(DeviceError::Unsupported));
    assert_eq!(world.disk.set_write_cache(false), refused);
    assert_eq!((world.disk.write_cache(), flushes(&world)), (Ok(true), 1));
    world.end();
    // Neither the one nor the other without a way to tell it.
    type Change = fn(&mut Device);
    let without: [Change; 2] = [
        |_| {},
        |device| {
            switchable(device, 1);
            device.offered &= !bits::FLUSH;
        },
    ];
    for change in without {
        let world = self::world(change);
        let unsupported = Err(Error::Request(RequestError::Unsupported));
        assert_eq!(world.disk.set_write_cache(false), unsupported);
        assert_eq!(world.disk.write_cache().err(), unsupported.err());
        world.end();
    }
    let machine = crate::model::Machine::new(|ram| {
        let mut device = Device::new(ram, 100);
        switchable(&mut device, 1);
        device.offered = bits::VERSION_1 | bits::CONFIG_WCE;
        device.config.truncate(CACHE);
        device
    });
    let short = Failure::Config(ConfigError::Short { len: CACHE });
    let brought = crate::model::world::bring_up(&machine, |_| {});
    assert_eq!(brought.err(), Some(Error::Failed(short)));
}

/// A disk may turn its cache on by itself.
#[test]
fn a_change_of_the_disks_own_is_taken_notice_of() {
    let world = cached();
    world.disk.set_write_cache(false).expect("it can");
    assert_eq!(flushes(&world), 0);
    world.device().config[CACHE] = 1;
    world.device().change();
    let disk = world.disk.clone();
    world.run(async move { disk.changed(0).await });
    assert_eq!((world.disk.write_cache(), flushes(&world)), (Ok(true), 1));
    world.end();
}

/// The configuration is read because something in it has changed, and at that moment the cache is turned on: what was
/// read of the cache is old.
#[test]
fn a_cache_that_is_turned_on_while_the_configuration_is_read_is_on() {
    for is_on in [true, false] {
        let world = cached();
        world.disk.set_write_cache(!is_on).expect("it can");
        let disk = world.disk.clone();
        let switch = move || disk.set_write_cache(is_on).expect("it can");
        world.device().meanwhile = Some((CACHE, Box::new(switch)));
        world.device().change();
        let disk = world.disk.clone();
        world.run(async move { disk.changed(0).await });
        assert!(world.device().meanwhile.is_none());
        assert_eq!(world.device().config[CACHE], u8::from(is_on));
        assert_eq!(world.disk.write_cache(), Ok(is_on));
        assert_eq!(flushes(&world), u64::from(is_on));
        world.end();
    }
}

/// Has a write sent, so that the disk could have it.
fn send(world: &World, pieces: &[u64]) -> Ticket {
    let bytes = vec![5; pieces.iter().sum::<u64>() as usize];
    let blocks = bytes.len() as u64 / 512;
    let made = world.disk.properties().write_blocks(8, blocks);
    let operation = made.expect("inside").with_durability();
    let data = Some(world.source(pieces, &bytes));
    let mut queue = world.queue.0.borrow_mut();
    let ticket = queue.submit(Request { operation, data }, Waker::noop());
    queue.turn();
    ticket.expect("there is room")
}

fn end_of(world: &World, ticket: &Ticket) {
    let done = world.run(poll_fn(|cx| world.queue.0.borrow_mut().poll(ticket, cx)));
    assert_eq!(done.result, Ok(()));
}

/// A write that is on its way when the cache is turned on may be kept in it.
#[test]
fn a_write_on_its_way_is_flushed_unless_the_cache_was_off_all_the_time() {
    let off_on_off = [false, true, false];
    for (at_first, meanwhile, expected) in [
        (false, &[][..], 0),
        (false, &[true], 1),
        (false, &off_on_off[1..], 1),
        (true, &[false], 1),
        (true, &[], 1),
    ] {
        let world = cached();
        world.disk.set_write_cache(at_first).expect("it can");
        let ticket = send(&world, &[1024]);
        for is_on in meanwhile {
            world.disk.set_write_cache(*is_on).expect("it can");
        }
        end_of(&world, &ticket);
        assert_eq!(world.device().flushes, expected, "{at_first} {meanwhile:?}");
        world.end();
    }
    // Of several commands, the cache was on during the first.
    let world = cached();
    let ticket = send(&world, &[512; 63]);
    world.disk.set_write_cache(false).expect("it can");
    end_of(&world, &ticket);
    assert_eq!(world.device().flushes, 1);
    let ticket = send(&world, &[512; 63]);
    end_of(&world, &ticket);
    assert_eq!(world.device().flushes, 1);
    world.end();
}
