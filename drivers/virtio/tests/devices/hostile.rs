//! A device that lies costs an error and a reset, and nothing else.

use crate::model::{Data, Device, Mischief, Reader, World};
use std::task::{Context, Poll, Waker};
use virtio::blk::{Done, Request, Ticket};
use virtio::{DeviceError, Error, Failure, RequestError, Violation};

fn world() -> World {
    world_of(Reader::Own)
}

fn world_of(reader: Reader) -> World {
    World::new(|ram| {
        let mut device = Device::new(ram, 2000);
        device.reader = reader;
        device
    })
}

/// Reads while the device does something wrong so many times.
fn read(world: &World, what: Mischief, times: u32) -> Done<Data> {
    world.device().mischief = Some((what, times));
    let operation = world.disk.properties().read_blocks(5, 2).expect("inside");
    let done = world.run(world.execute(operation, Some(world.target(&[1024]))));
    world.device().mischief = None;
    done
}

/// Lies that end in a reset, after which the request is sent again and goes well.
#[test]
fn a_device_that_breaks_a_rule_is_reset_and_the_request_is_sent_again() {
    let lies = [
        Mischief::UsedId(1),
        Mischief::UsedId(3),
        Mischief::UsedId(63),
        Mischief::UsedId(64),
        Mischief::UsedId(u32::MAX),
        Mischief::Twice,
        Mischief::Longer(1),
        Mischief::Longer(u32::MAX - 1025),
        Mischief::Index(2),
        Mischief::Index(64),
        Mischief::Index(0xffff),
    ];
    let readers = [Reader::Own, Reader::Packed];
    for (lie, reader) in lies
        .into_iter()
        .flat_map(|lie| readers.map(|reader| (lie, reader)))
    {
        let world = world_of(reader);
        let done = read(&world, lie, 1);
        assert_eq!(done.result, Ok(()), "{lie:?}");
        let data = done.data.expect("it comes back").bytes();
        assert!(data == world.device().disk[5 * 512..7 * 512], "{lie:?}");
        world.check_read(9, &[512, 512]);
        assert_eq!(world.disk.resets(), 1, "{lie:?}");
        assert_eq!(world.disk.lost(), 0);
        world.end();
    }
}

/// Of two requests, the first is said to be done twice. The second one is not forgotten for it.
#[test]
fn a_request_that_is_done_is_not_done_again() {
    for reader in [Reader::Own, Reader::Packed] {
        let world = world_of(reader);
        let start = world.machine.clock.get();
        // The first slot's chain starts with the first descriptor.
        world.device().mischief = Some((Mischief::UsedId(0), 2));
        let tickets = [5, 9].map(|block| {
            let operation = world.disk.properties().read_blocks(block, 1);
            let request = Request::with_data(operation.expect("inside"), world.target(&[512]));
            let ticket = world.queue.0.borrow_mut().submit(request, Waker::noop());
            (block as usize, ticket.expect("there is room"))
        });
        for (block, ticket) in tickets {
            let done = world.run(std::future::poll_fn(|cx| {
                world.queue.0.borrow_mut().poll(&ticket, cx)
            }));
            assert_eq!(done.result, Ok(()));
            let data = done.data.expect("it comes back").bytes();
            assert!(data == world.device().disk[block * 512..][..512]);
        }
        assert_eq!(world.disk.resets(), 1);
        let took = world.machine.clock.get() - start;
        assert!(took < 1_000_000, "{took}: there was nothing to wait for");
        world.end();
    }
}

/// A ticket is a number in a kernel's hands. One that fits no request is an error, and does nothing to those that
/// there are.
#[test]
fn a_ticket_that_was_made_up_belongs_to_no_request() {
    let world = world();
    let operation = world.disk.properties().read_blocks(5, 1).expect("inside");
    let request = Request::with_data(operation, world.target(&[512]));
    let ticket = world.queue.0.borrow_mut().submit(request, Waker::noop());
    let number = ticket.expect("there is room").into_number();
    let strangers = [
        u64::MAX,
        u64::from(u32::MAX),
        // Another slot, and an earlier and a later request.
        number + 1,
        number ^ 3,
        number.wrapping_sub(1 << 32),
        number.wrapping_add(1 << 32),
    ];
    let ask = |number| {
        let mut cx = Context::from_waker(Waker::noop());
        let ticket = Ticket::from_number(number);
        world.queue.0.borrow_mut().poll(&ticket, &mut cx)
    };
    for stranger in strangers {
        let Poll::Ready(done) = ask(stranger) else {
            panic!("{stranger:#x} is waited for");
        };
        let expected = Err(Error::Request(RequestError::NoSuchRequest));
        assert_eq!(done.result, expected, "{stranger:#x}");
        assert!(done.data.is_none());
        let ticket = Ticket::from_number(stranger);
        world.queue.0.borrow_mut().abandon(ticket);
    }
    let ticket = Ticket::from_number(number);
    let done = world.run(std::future::poll_fn(|cx| {
        world.queue.0.borrow_mut().poll(&ticket, cx)
    }));
    assert_eq!(done.result, Ok(()));
    assert!(done.data.expect("it comes back").bytes() == world.device().disk[5 * 512..][..512]);
    // It was given back.
    assert!(matches!(ask(number), Poll::Ready(done) if done.result.is_err()));
    world.end();
}

#[test]
fn a_device_that_does_not_stop_lying_costs_the_request() {
    let world = world();
    let done = read(&world, Mischief::UsedId(7), u32::MAX);
    let violation = Failure::Violation(Violation::UsedId(7));
    assert_eq!(done.result, Err(Error::Failed(violation)));
    assert!(done.data.is_some(), "the memory comes back");
    drop(done);
    world.check_read(9, &[512]);
    // It was sent once, and again after each of three resets. The fourth has ended it.
    assert_eq!(world.disk.resets(), 4);
    world.end();
}

#[test]
fn errors_are_told_apart_and_need_no_reset() {
    let world = world();
    for (status, error) in [
        (1, DeviceError::Io),
        (2, DeviceError::Unsupported),
        (3, DeviceError::Status(3)),
        (0x80, DeviceError::Status(0x80)),
    ] {
        let done = read(&world, Mischief::Status(status), 1);
        assert_eq!(done.result, Err(Error::Device(error)));
        assert!(done.data.is_some());
    }
    // It says nothing at all: the status is as it was before.
    let result = read(&world, Mischief::Nothing, 1).result;
    assert_eq!(result, Err(Error::Device(DeviceError::Status(0xff))));
    // It says that it went well, and that there is less than was asked for.
    let done = read(&world, Mischief::Shorter, 1);
    let short = DeviceError::Short { written: 925 };
    assert_eq!(done.result, Err(Error::Device(short)));
    drop(done);
    assert_eq!(world.disk.resets(), 0);
    world.check_read(9, &[512]);
    world.end();
}

/// Of many requests, the one that is wrong is the one that fails.
#[test]
fn an_error_in_the_middle_of_a_batch_is_that_of_its_request() {
    for reader in Reader::ALL {
        let world = world_of(reader);
        let mut tickets = Vec::new();
        for block in 0..20_u64 {
            // Beyond the end of what the disk really has.
            let block = if block == 11 { 1999 } else { block };
            let operation = world.disk.properties().read_blocks(block, 1);
            let request = Request::with_data(operation.expect("inside"), world.target(&[512]));
            let ticket = world.queue.0.borrow_mut().submit(request, Waker::noop());
            tickets.push(ticket.expect("there is room"));
        }
        world.device().disk.truncate(1999 * 512);
        for (number, ticket) in tickets.into_iter().enumerate().rev() {
            let done = world.run(std::future::poll_fn(|cx| {
                world.queue.0.borrow_mut().poll(&ticket, cx)
            }));
            match number {
                11 => assert_eq!(done.result, Err(Error::Device(DeviceError::Io))),
                _ => assert_eq!(done.result, Ok(())),
            }
        }
        assert_eq!(world.queue.0.borrow().counters().errors, 1);
        world.end();
    }
}
