//! A device that fails, and what becomes of the requests that it had.

use crate::model::{Device, Mischief, World};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use virtio::blk::{Request, Ticket};
use virtio::{Error, Failure, Waiting};

fn world() -> World {
    World::new(|ram| Device::new(ram, 2000))
}

/// Submits so many reads, and lets the device have them.
fn submit(world: &World, count: u64) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for block in 0..count {
        let operation = world.disk.properties().read_blocks(block, 1);
        let request = Request::with_data(operation.expect("inside"), world.target(&[512]));
        let ticket = world.queue.0.borrow_mut().submit(request, Waker::noop());
        tickets.push(ticket.expect("there is room"));
    }
    world.queue.0.borrow_mut().turn();
    tickets
}

fn wait(world: &World, ticket: &Ticket) -> virtio::blk::Done<crate::model::Data> {
    world.run(poll_fn(|cx| world.queue.0.borrow_mut().poll(ticket, cx)))
}

#[test]
fn requests_survive_a_reset() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let tickets = submit(&world, 15);
    assert_eq!(world.queue.0.borrow().outstanding(), 15);
    let disk = world.disk.clone();
    world.device().mischief = Some((Mischief::Silent, 1));
    world
        .run(async move { disk.reset().await })
        .expect("it comes back");
    for (block, ticket) in tickets.iter().enumerate() {
        let done = wait(&world, ticket);
        assert_eq!(done.result, Ok(()));
        let data = done.data.expect("it comes back").bytes();
        assert!(data == world.device().disk[block * 512..][..512]);
    }
    let counters = *world.queue.0.borrow().counters();
    assert_eq!((counters.resets, counters.retries), (1, 15));
    world.end();
}

#[test]
fn a_device_that_does_not_answer_is_reset() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, 1));
    let start = world.machine.clock.get();
    world.check_read(3, &[512]);
    let took = world.machine.clock.get() - start;
    // It is notified once more when a quarter of the time is over, and hears that.
    assert!((7_000_000..15_000_000).contains(&took), "{took}");
    assert_eq!(world.disk.resets(), 0);

    world.device().mischief = Some((Mischief::Silent, 15));
    let operation = world.disk.properties().read_blocks(3, 1).expect("inside");
    let done = world.run(world.execute(operation, Some(world.target(&[512]))));
    assert_eq!(done.result, Ok(()));
    drop(done);
    assert!(world.disk.resets() > 0);

    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let operation = world.disk.properties().read_blocks(3, 1).expect("inside");
    let done = world.run(world.execute(operation, Some(world.target(&[512]))));
    let late = Failure::Timeout(Waiting::Request);
    assert_eq!(done.result, Err(Error::Failed(late)));
    assert!(done.data.is_some(), "the memory comes back");
    drop(done);
    world.device().mischief = None;
    world.check_read(3, &[512]);
    world.end();
}

#[test]
fn a_lost_notification_or_interrupt_costs_time_and_nothing_else() {
    for what in [Mischief::Deaf, Mischief::Mute] {
        let mut world = world();
        world.sleeps = true;
        world.queue.0.borrow_mut().arm();
        world.check_read(3, &[512]);
        world.device().mischief = Some((what, 1));
        world.check_read(3, &[512]);
        world.check_read(4, &[512]);
        assert_eq!(world.disk.resets(), 0, "{what:?}");
        world.end();
    }
}

#[test]
fn a_device_that_asks_for_a_reset_gets_one() {
    let world = world();
    world.check_read(3, &[512]);
    world.device().status |= 0x40;
    world.device().change();
    let disk = world.disk.clone();
    let seen = world.run(async move { disk.changed(0).await });
    assert_eq!((seen, world.disk.resets()), (1, 1));
    world.check_read(3, &[512]);
    world.end();
}

#[test]
fn a_device_that_is_gone_ends_all_requests_and_refuses_later_ones() {
    for nothing in [0, 0xff] {
        let world = world();
        world.device().mischief = Some((Mischief::Silent, u32::MAX));
        let tickets = submit(&world, 5);
        {
            let mut device = world.device();
            (device.is_present, device.can_dma, device.nothing) = (false, false, nothing);
        }
        for ticket in &tickets {
            let done = wait(&world, ticket);
            assert_eq!(done.result, Err(Error::Failed(Failure::Gone)));
            assert!(done.data.is_some(), "the memory comes back");
        }
        assert_eq!(world.disk.failure(), Some(Failure::Gone));
        let operation = world.disk.properties().read_blocks(0, 1).expect("inside");
        let done = world.run(world.execute(operation, Some(world.target(&[512]))));
        assert_eq!(done.result, Err(Error::Dead(Failure::Gone)));
        drop(done);
        world.end();
    }
}

/// Neither does it confirm a reset, nor can it be kept from memory: its memory is never used again.
#[test]
fn memory_of_a_device_that_cannot_be_stopped_is_never_used_again() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let tickets = submit(&world, 3);
    {
        let mut device = world.device();
        (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
    }
    let disk = world.disk.clone();
    let reset = world.run(async move { disk.reset().await });
    assert_eq!(reset, Err(Error::Dead(Failure::Reset)));
    for ticket in &tickets {
        let done = wait(&world, ticket);
        assert_eq!(done.result, Err(Error::Lost(Failure::Reset)));
        assert!(done.data.is_none());
    }
    assert_eq!(world.disk.lost(), 3);
    let ram = world.machine.ram.clone();
    let before = ram.live();
    assert!(before > 3 * 512);
    drop(world);
    assert_eq!(ram.live(), before, "rings and all are kept, too");
}

/// A device that does not confirm a reset but is kept from memory must not get it back with what it
/// was told before.
#[test]
fn a_device_that_was_only_kept_from_memory_does_not_get_it_back() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let tickets = submit(&world, 3);
    world.device().slow_reset = u32::MAX >> 12;
    let disk = world.disk.clone();
    // The model objects to whoever lets it go before it has confirmed.
    let reset = world.run(async move { disk.reset().await });
    let failure = Failure::Timeout(Waiting::Reset);
    assert_eq!(reset, Err(Error::Dead(failure)));
    for ticket in &tickets {
        let done = wait(&world, ticket);
        assert_eq!(done.result, Err(Error::Failed(failure)));
        assert!(done.data.is_some());
    }
    world.device().slow_reset = 0;
    world.device().lingering.clear();
    world.end();
}

#[test]
fn a_shutdown_is_not_forgotten_for_the_sake_of_earlier_trouble() {
    let world = world();
    let mut reset = Box::pin({
        let disk = world.disk.clone();
        async move { disk.reset().await }
    });
    // It is asked for, and nobody has looked yet.
    let asked = reset.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(asked.is_pending());
    let disk = world.disk.clone();
    world.run(async move { disk.shutdown().await });
    assert_eq!(world.run(reset), Err(Error::Dead(Failure::ShutDown)));
}

#[test]
fn a_dropped_request_leaves_its_memory_to_the_device() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let before = world.machine.ram.live();
    for ticket in submit(&world, 5) {
        world.queue.0.borrow_mut().abandon(ticket);
    }
    assert_eq!(world.machine.ram.live(), before + 5 * 512);
    assert_eq!(world.queue.0.borrow().requests(), 5);
    world.device().mischief = Some((Mischief::Silent, 1));
    // The device hears of a next one, and answers all.
    world.device().mischief = None;
    world.check_read(9, &[512]);
    assert_eq!(world.machine.ram.live(), before);
    assert!(world.queue.0.borrow().is_idle());
    world.end();
}

#[test]
fn a_queue_that_is_dropped_takes_its_memory_from_the_device() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let tickets = submit(&world, 3);
    let ram = world.machine.ram.clone();
    let machine = world.machine.clone();
    drop(tickets);
    drop(world);
    assert!(!machine.device.borrow().can_dma);
    assert_eq!((ram.live(), ram.wild()), (0, 0));
}

#[test]
fn a_device_that_comes_back_as_another_one_is_out_of_use() {
    for (at, value) in [(20, 4096), (12, 5)] {
        let world = world();
        world.device().set32(at, value);
        let disk = world.disk.clone();
        let reset = world.run(async move { disk.reset().await });
        assert!(reset.is_err());
        assert_eq!(world.disk.failure(), Some(Failure::Changed));
        world.end();
    }
}

#[test]
fn a_disk_may_change_its_size() {
    let world = world();
    world.device().set64(0, 1000);
    world.device().change();
    let disk = world.disk.clone();
    world.run(async move { disk.changed(0).await });
    assert_eq!(world.disk.properties().blocks, 1000);
    // What was made before the change is carried out by the device, or not.
    world.check_read(999, &[512]);
    assert_eq!(world.disk.resets(), 0);
    world.end();
}

/// A full queue says so, and tells when it is not.
#[test]
fn room_is_waited_for() {
    let world = world();
    world.device().mischief = Some((Mischief::Silent, u32::MAX));
    let depth = world.queue.0.borrow().depth() as u64;
    let tickets = submit(&world, depth);
    let operation = world.disk.properties().read_blocks(0, 1).expect("inside");
    let request = Request::with_data(operation, world.target(&[512]));
    let refused = world.queue.0.borrow_mut().submit(request, Waker::noop());
    let refused = refused.expect_err("it is full");
    assert_eq!(refused.error, Error::Full);
    let mut cx = Context::from_waker(Waker::noop());
    let room = world.queue.0.borrow_mut().poll_room(&mut cx);
    assert_eq!(room, Poll::Pending);
    world.device().mischief = None;
    let later = world.execute(refused.request.operation, refused.request.data);
    let waiting = async {
        for ticket in &tickets {
            poll_fn(|cx| world.queue.0.borrow_mut().poll(ticket, cx)).await;
        }
    };
    let mut later = Box::pin(later);
    let mut first = true;
    let done = world.run(async {
        poll_fn(|cx| {
            assert!(later.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        waiting.await;
        first = false;
        later.await
    });
    assert!(!first);
    assert_eq!(done.result, Ok(()));
    drop(done);
    world.end();
}
