//! Data, in every shape, against both readers of virtqueues.

use crate::model::{Data, Device, Reader, World, bits};
use proptest::prelude::*;
use std::rc::Rc;
use std::task::Waker;
use virtio::blk::{Operation, Request};
use virtio::{Access, Error, RequestError};

pub(crate) fn world(change: impl FnOnce(&mut Device)) -> World {
    World::new(|ram| {
        let mut device = Device::new(ram, 20_000);
        change(&mut device);
        device
    })
}

fn commands(world: &World) -> u64 {
    world.queue.0.borrow().counters().commands
}

#[test]
fn a_read_in_one_piece_is_one_command_of_any_length() {
    for reader in Reader::ALL {
        let world = world(|device| device.reader = reader);
        for (number, bytes) in [512, 4096, 1 << 20, 10_000 * 512].into_iter().enumerate() {
            world.check_read(7, &[bytes]);
            assert_eq!(commands(&world), number as u64 + 1);
        }
        assert_eq!(world.queue.0.borrow().counters().indirect, 0);
        world.end();
    }
}

#[test]
fn long_lists_go_through_tables_and_longer_ones_through_several_commands() {
    for reader in Reader::ALL {
        let world = world(|device| device.reader = reader);
        world.check_read(3, &[512; 62]);
        assert_eq!(commands(&world), 1);
        world.check_read(3, &[512; 63]);
        assert_eq!(commands(&world), 3);
        // Blocks that lie in several pieces.
        world.check_read(3, &[100, 412, 700, 1, 323, 1024]);
        let indirect = world.queue.0.borrow().counters().indirect;
        assert_eq!(indirect, 3);
        world.end();
    }
}

#[test]
fn without_tables_a_slot_has_descriptors_of_its_own() {
    let world = world(|device| device.offered &= !bits::INDIRECT);
    let queue = (
        world.queue.0.borrow().depth(),
        world.queue.0.borrow().pieces(),
    );
    assert_eq!(queue, (8, 6));
    world.check_read(3, &[512; 20]);
    assert_eq!(commands(&world), 4);
    assert_eq!(world.queue.0.borrow().counters().indirect, 0);
    let done = world.run(world.execute(
        world.disk.properties().read_blocks(0, 1).expect("inside"),
        Some(world.target(&[64; 8])),
    ));
    // A block in more pieces than fit cannot be sent at all.
    let pieces = RequestError::Pieces { offset: 0 };
    assert_eq!(done.result, Err(Error::Request(pieces)));
    drop(done);
    world.end();
}

#[test]
fn pieces_are_no_longer_than_the_device_says() {
    // The model objects to longer ones, and to more than seg_max of them.
    let world = world(|device| {
        device.offered |= bits::SIZE_MAX;
        device.set32(8, 1000);
        device.set32(12, 3);
    });
    world.check_read(3, &[9 * 512]);
    world.check_read(3, &[512, 9 * 512, 512]);
    world.end();
}

#[test]
fn blocks_of_4096_are_eight_sectors() {
    let world = world(|device| device.set32(20, 4096));
    let properties = world.disk.properties();
    assert_eq!((properties.block_size, properties.blocks), (4096, 2500));
    world.check_read(2499, &[4096]);
    world.check_read(5, &[4096, 8192]);
    assert_eq!(
        properties.read_blocks(2500, 1),
        Err(RequestError::OutOfRange)
    );
    assert_eq!(
        properties.read_blocks(u64::MAX, 2),
        Err(RequestError::OutOfRange)
    );
    assert_eq!(properties.read_blocks(0, 0), Err(RequestError::Length));
    world.end();
}

#[test]
fn what_does_not_fit_is_refused_and_comes_back() {
    let world = world(|device| device.offered |= bits::RO);
    let properties = world.disk.properties();
    assert_eq!(properties.write_blocks(0, 1), Err(RequestError::ReadOnly));
    assert_eq!(properties.discard_blocks(0, 1), Err(RequestError::ReadOnly));
    let read = properties.read_blocks(0, 2).expect("inside");
    let submit = |data: Option<Data>| {
        let request = Request {
            operation: read,
            data,
        };
        let refused = world.queue.0.borrow_mut().submit(request, Waker::noop());
        refused.expect_err("refused").error
    };
    let length = Error::Request(RequestError::Length);
    assert_eq!(submit(None), length);
    assert_eq!(submit(Some(world.target(&[512]))), length);
    assert_eq!(submit(Some(world.target(&[1536]))), length);
    let source = Data::new(&world.machine.ram, &[1024], Access::ToDevice);
    assert_eq!(submit(Some(source)), Error::Request(RequestError::Access));
    world.end();
}

#[test]
fn flush_discard_and_zeroes_are_sent_where_they_are_of_use() {
    let world = world(|device| {
        device.set32(36, 100); // max_discard_sectors
        device.set32(48, 64);
    });
    let properties = world.disk.properties();
    let run = |operation: Operation| {
        let done = world.run(world.execute(operation, None));
        assert_eq!(done.result, Ok(()));
    };
    run(properties.flush().expect("there is a cache"));
    assert_eq!(world.device().flushes, 1);
    run(properties.discard_blocks(10, 250).expect("inside"));
    assert_eq!(commands(&world), 4, "in pieces of a hundred sectors");
    let discarded = 10 * 512..260 * 512;
    assert!(
        world.device().disk[discarded]
            .iter()
            .all(|byte| *byte == 0xdd)
    );
    assert_ne!(world.device().disk[260 * 512 + 1], 0xdd);
    let zeroes = properties.zero_blocks(500, 65).expect("inside");
    run(zeroes.with_unmap());
    let zeroed = 500 * 512..565 * 512;
    assert!(world.device().disk[zeroed].iter().all(|byte| *byte == 0));
    // A durable write is a write and a flush behind it.
    let before = commands(&world);
    let operation = properties.write_blocks(0, 1).expect("inside");
    let data = world.source(&[512], &[9; 512]);
    let done = world.run(world.execute(operation.with_durability(), Some(data)));
    assert_eq!(done.result, Ok(()));
    drop(done);
    assert_eq!(world.device().flushes, 2);
    assert_eq!(commands(&world), before + 2);
    assert_eq!(world.device().disk[..512], [9; 512]);
    world.end();
}

#[test]
fn without_a_cache_nothing_is_flushed() {
    let world = world(|device| device.offered &= !bits::FLUSH);
    let properties = world.disk.properties();
    assert!(properties.flush().is_none());
    let operation = properties.write_blocks(0, 1).expect("inside");
    let data = world.source(&[512], &[9; 512]);
    let done = world.run(world.execute(operation.with_durability(), Some(data)));
    assert_eq!((done.result, commands(&world)), (Ok(()), 1));
    drop(done);
    world.end();
}

/// One step of a game: what a request does, where, and how its memory lies.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    block: u64,
    pieces: Vec<u64>,
    is_dropped: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let pieces = prop::collection::vec(1..5_u64, 1..90);
    let uneven = prop::collection::vec(1..700_u64, 1..12);
    (0..5_u8, 0..900_u64, pieces, uneven, 0..4_u8, 0..5_u8).prop_map(
        |(kind, block, even, mut uneven, shape, dropped)| {
            let pieces = match shape {
                0 => vec![even.iter().sum::<u64>() * 512],
                1 => even.iter().map(|blocks| blocks * 512).collect(),
                _ => {
                    let bytes: u64 = uneven.iter().sum();
                    uneven.push(bytes.next_multiple_of(512) - bytes + 512);
                    uneven
                }
            };
            Step {
                kind,
                block,
                pieces,
                is_dropped: dropped == 0,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any requests, many at a time, in any order of completion, with any set of features and any
    /// size of ring: the disk is what the requests make of it, one after the other in each lane.
    #[test]
    fn the_disk_is_what_the_requests_make_of_it(
        steps in prop::collection::vec(step(), 1..60),
        ring in 2..8_u32,
        features in 0..16_u8,
        reader in prop::sample::select(&Reader::ALL),
        is_backwards: bool,
        resets in prop::collection::vec(0..60_usize, 0..3),
    ) {
        let world = Rc::new(world(|device| {
            let off = [bits::INDIRECT, bits::EVENT_IDX, bits::SEG_MAX, bits::FLUSH];
            for (bit, feature) in off.into_iter().enumerate() {
                if features >> bit & 1 != 0 {
                    device.offered &= !feature;
                }
            }
            let size = 1 << ring;
            device.queues[0].most = size;
            device.reader = reader;
            device.is_backwards = is_backwards;
        }));
        let expected = Rc::new(std::cell::RefCell::new(world.device().disk.clone()));
        let properties = world.disk.properties();
        // Each lane has a part of the disk of its own, so the order between lanes does not matter.
        const LANES: usize = 7;
        let mut lanes: Vec<Vec<(usize, Step)>> = vec![Vec::new(); LANES];
        for (number, step) in steps.into_iter().enumerate() {
            lanes[number % LANES].push((number, step));
        }
        let running = Rc::new(std::cell::Cell::new(LANES));
        for (lane, steps) in lanes.into_iter().enumerate() {
            let (world2, expected, running) = (world.clone(), expected.clone(), running.clone());
            let resets = resets.clone();
            // A weak handle would do; the lane ends before the world does.
            world.spawn(async move {
                for (number, step) in steps {
                    if resets.contains(&number) {
                        let disk = world2.disk.clone();
                        disk.reset().await.expect("it comes back");
                    }
                    play(&world2, &expected, &properties, lane, number, step).await;
                }
                running.set(running.get() - 1);
            });
        }
        world.run(async {
            while running.get() > 0 {
                virtio::Platform::pause(&world.machine, 10).await;
            }
        });
        prop_assert!(world.device().disk == *expected.borrow());
        let world = Rc::into_inner(world).expect("all lanes have ended");
        world.end();
    }
}

async fn play(
    world: &World,
    expected: &std::cell::RefCell<Vec<u8>>,
    properties: &virtio::blk::Properties,
    lane: usize,
    number: usize,
    step: Step,
) {
    let bytes: u64 = step.pieces.iter().sum();
    let blocks = bytes / 512;
    let block = lane as u64 * 2000 + step.block;
    let place = (block * 512) as usize..((block + blocks) * 512) as usize;
    let content: Vec<u8> = (0..bytes)
        .map(|at| (at * 31 + number as u64) as u8)
        .collect();
    let (operation, data) = match step.kind {
        0 | 1 => {
            let data = world.target(&step.pieces);
            (properties.read_blocks(block, blocks), Some(data))
        }
        2 => {
            let data = world.source(&step.pieces, &content);
            (properties.write_blocks(block, blocks), Some(data))
        }
        3 => (properties.zero_blocks(block, blocks), None),
        _ => match properties.flush() {
            Some(flush) => (Ok(flush), None),
            None => return,
        },
    };
    let operation = operation.expect("inside");
    if step.is_dropped && step.kind < 2 {
        // Submitted, and dropped: nothing is freed before the device is done.
        let request = Request { operation, data };
        let mut queue = world.queue.0.borrow_mut();
        if let Ok(ticket) = queue.submit(request, Waker::noop()) {
            queue.abandon(ticket);
        }
        return;
    }
    let done = world.execute(operation, data).await;
    if let Err(Error::Request(RequestError::Pieces { .. })) = done.result {
        return; // too many pieces for this ring
    }
    assert_eq!(done.result, Ok(()));
    match step.kind {
        0 | 1 => {
            let data = done.data.expect("it comes back").bytes();
            assert!(data == expected.borrow()[place]);
        }
        2 => expected.borrow_mut()[place].copy_from_slice(&content),
        3 => expected.borrow_mut()[place].fill(0),
        _ => {}
    }
}
