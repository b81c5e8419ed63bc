//! Who is told, and when: one notification for a batch, and an interrupt for whoever sleeps.

use super::transfers::world;
use crate::model::{Reader, bits};
use std::task::{Context, Waker};
use virtio::blk::Request;

#[test]
fn the_device_is_notified_once_for_a_batch_and_no_register_is_read() {
    for offered in [0, bits::EVENT_IDX] {
        let world = world(|device| {
            device.offered &= !bits::EVENT_IDX;
            device.offered |= offered;
        });
        let read = |block| {
            world
                .disk
                .properties()
                .read_blocks(block, 1)
                .expect("inside")
        };
        let counts = || {
            let device = world.device();
            (device.notifications, device.register_reads)
        };
        let before = counts();
        let mut tickets = Vec::new();
        for block in 0..20 {
            let request = Request::with_data(read(block), world.target(&[512]));
            let ticket = world.queue.0.borrow_mut().submit(request, Waker::noop());
            tickets.push(ticket.expect("there is room"));
        }
        assert_eq!(counts(), before, "not before the turn");
        for ticket in tickets {
            let done = world.run(std::future::poll_fn(|cx| {
                world.queue.0.borrow_mut().poll(&ticket, cx)
            }));
            assert_eq!(done.result, Ok(()));
        }
        assert_eq!(counts(), (before.0 + 1, before.1));
        world.end();
    }
}

/// The queue has its turn only when it was interrupted. A lost interrupt costs seconds here.
#[test]
fn a_queue_that_sleeps_is_interrupted() {
    for reader in Reader::ALL {
        for offered in [0, bits::EVENT_IDX] {
            let mut world = world(|device| {
                device.offered &= !bits::EVENT_IDX;
                device.offered |= offered;
                device.reader = reader;
            });
            world.sleeps = true;
            world.queue.0.borrow_mut().arm();
            let start = world.machine.clock.get();
            // Past the end of 16 bits.
            for block in 0..70_000 {
                world.check_read(block % 1000, &[512]);
            }
            let took = world.machine.clock.get() - start;
            assert!(took < 1_000_000, "{took} microseconds");
            world.end();
        }
    }
}

/// The device uses a chain after the driver has looked, and before the driver has asked to be
/// interrupted for it: it does not interrupt. So the driver looks once more.
#[test]
fn what_is_used_while_an_interrupt_is_asked_for_is_found() {
    for reader in Reader::ALL {
        let world = world(|device| device.reader = reader);
        let properties = world.disk.properties();
        let submit = |block| {
            let read = properties.read_blocks(block, 1).expect("inside");
            let request = Request::with_data(read, world.target(&[512]));
            let mut queue = world.queue.0.borrow_mut();
            queue.submit(request, Waker::noop()).expect("room")
        };
        world.queue.0.borrow_mut().arm();
        let first = submit(3);
        world.queue.0.borrow_mut().turn();
        assert!(world.device().work());
        assert!(std::mem::take(&mut world.device().raised[1]));
        let second = submit(4);
        let event = world.device().queues[0].used_event();
        let device = world.machine.device.clone();
        let used_late = move || assert!(device.borrow_mut().work());
        world.machine.ram.before_write(event, used_late);
        let turn = world.queue.0.borrow_mut().turn();
        assert!(!world.device().raised[1], "nobody has asked for it");
        assert_eq!((turn.completed, turn.outstanding), (2, 0), "{reader:?}");
        for ticket in [first, second] {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(world.queue.0.borrow_mut().poll(&ticket, &mut cx).is_ready());
        }
        world.end();
    }
}
