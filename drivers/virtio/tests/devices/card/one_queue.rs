//! A queue that is reset alone, while the others go on.

use super::world::{World, content, frame};
use crate::model::{Device, Mischief, Reader, bits};
use virtio::net::HEADER;
use virtio::transport::Transport;
use virtio::{Error, Failure};

/// Whether the transport has a register for the reset of a queue.
const HAS_REGISTER: bool = matches!(crate::TRANSPORT, Transport::Pci);

fn world(pairs: u16, change: impl FnOnce(&mut Device)) -> World {
    World::with_pairs(pairs, |device| {
        device.offered |= bits::RING_RESET;
        change(device);
    })
}

/// Sends a frame that comes back with a tag.
fn send(world: &World, pair: usize, seed: usize) {
    let mut sending = world.plain(&frame(300, seed));
    sending.tag = Some(seed as u64);
    let sent = world.pairs[pair].1.0.borrow_mut().send(sending);
    sent.map_err(|refused| refused.error).expect("room");
    world.idle();
}

/// Queues that were reset alone, and how often all was.
fn resets(world: &World) -> (Vec<u32>, u64) {
    (world.device().queue_resets.clone(), world.card.resets())
}

#[test]
fn a_queue_is_reset_alone_and_the_others_go_on() {
    if !HAS_REGISTER {
        return;
    }
    for reader in [Reader::Own, Reader::Packed] {
        let world = world(2, |device| {
            device.reader = reader;
            device.slow_queue_reset = 5;
        });
        world.supply(4, 2048);
        let steps = world.device().steps.clone();
        world.device().wire.is_held = true;
        send(&world, 0, 1);
        send(&world, 1, 2);
        let card = world.card.clone();
        let reset = world.run(async move { card.reset_queue(1).await });
        assert_eq!(reset, Ok(()));
        assert_eq!(resets(&world), (vec![1], 0));
        assert_eq!(world.device().steps, steps, "the status was not written");
        // What was in the queue has not left, and is back. What is in the other one is still there.
        let back = world.run(world.sent());
        assert_eq!(
            (back.tag, back.result),
            (1, Err(Error::Failed(Failure::Reset)))
        );
        assert!(back.memory.is_some());
        drop(back);
        world.device().wire.is_held = false;
        world.device().queues[3].is_notified = true;
        world.idle();
        let sent = std::mem::take(&mut world.device().wire.sent);
        assert_eq!(sent.len(), 1);
        assert!((sent[0].0, &sent[0].2) == (1, &frame(300, 2)));
        // What arrives uses the memory that was there before.
        world.device().comes(0, [0; HEADER], frame(100, 3));
        let arrived = world.run(world.receive());
        assert!(content(&arrived) == frame(100, 3));
        drop(arrived);
        world.carries();
        assert_eq!(world.card.queue_resets(), 1);
        world.end();
    }
}

#[test]
fn memory_to_receive_in_lies_ready_again_behind_a_reset() {
    if !HAS_REGISTER {
        return;
    }
    for reader in [Reader::Own, Reader::Packed] {
        let world = world(1, |device| device.reader = reader);
        world.supply(4, 2048);
        world.idle();
        for round in 0..5 {
            let card = world.card.clone();
            let reset = world.run(async move { card.reset_queue(0).await });
            assert_eq!(reset, Ok(()));
            world.device().comes(0, [0; HEADER], frame(100, round));
            let arrived = world.run(world.receive());
            assert!(content(&arrived) == frame(100, round));
            drop(arrived);
            world.supply(1, 2048);
        }
        assert_eq!(resets(&world), (vec![0; 5], 0));
        let none = world.card.clone();
        let none = world.run(async move { none.reset_queue(7).await });
        assert_eq!(none, Err(Error::NoQueue));
        world.end();
    }
}

/// A lie, or silence, costs the queue that it is about.
#[test]
fn trouble_of_a_queue_costs_that_queue() {
    if !HAS_REGISTER {
        return;
    }
    for reader in [Reader::Own, Reader::Packed] {
        let world = world(1, |device| device.reader = reader);
        world.supply(4, 2048);
        world.idle();
        world.device().mischief = Some((Mischief::UsedId(63), 1));
        send(&world, 0, 1);
        let back = world.run(world.sent());
        assert!(matches!(
            back.result,
            Err(Error::Failed(Failure::Violation(_)))
        ));
        drop(back);
        assert_eq!(resets(&world), (vec![1], 0));
        world.device().mischief = Some((Mischief::Longer(5000), 1));
        world.device().comes(0, [0; HEADER], frame(100, 3));
        world.idle();
        assert_eq!(resets(&world), (vec![1, 0], 0));
        world.device().mischief = None;
        world.device().wire.is_held = true;
        send(&world, 0, 2);
        let back = world.run(world.sent());
        assert!(matches!(
            back.result,
            Err(Error::Failed(Failure::Timeout(_)))
        ));
        drop(back);
        assert_eq!(resets(&world), (vec![1, 0, 1], 0));
        world.device().wire.is_held = false;
        world.carries();
        world.end();
    }
}

/// One that does not come back takes the device with it, which does.
#[test]
fn a_queue_whose_reset_does_not_end_is_reset_with_all_others() {
    if !HAS_REGISTER {
        return;
    }
    let world = world(1, |device| device.slow_queue_reset = u32::MAX);
    let card = world.card.clone();
    let reset = world.run(async move { card.reset_queue(1).await });
    assert_eq!(reset, Ok(()));
    assert_eq!(resets(&world), (vec![1], 1));
    assert_eq!(world.card.queue_resets(), 0);
    world.carries();
    world.end();
}

#[test]
fn where_no_queue_can_be_reset_alone_all_are() {
    let short: fn(&mut Device) = |device| device.registers = 56;
    let unable: fn(&mut Device) = |device| device.offered &= !bits::RING_RESET;
    for change in [short, unable] {
        let world = world(1, change);
        assert_eq!(world.device().accepted & bits::RING_RESET, 0);
        let card = world.card.clone();
        let reset = world.run(async move { card.reset_queue(1).await });
        assert_eq!((reset, resets(&world)), (Ok(()), (vec![], 1)));
        world.carries();
        world.end();
    }
}
