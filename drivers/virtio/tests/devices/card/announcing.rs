//! A card that was moved wishes that its neighbours are told, and hears when they are.

use super::world::World;
use crate::model::wire::{ANNOUNCED, Moved};
use std::cell::Cell;
use std::rc::Rc;
use virtio::Platform;
use virtio::net::Filter;

/// How often whoever carries frames was told to announce, and how often the card was told that it was.
fn made_and_told(world: &World) -> (u64, usize) {
    let commands = world.device().wire.commands.split_off(0);
    let told = commands
        .iter()
        .filter(|(class, number, _)| (*class, *number) == ANNOUNCED);
    (world.card.commands().announcements, told.count())
}

#[test]
fn a_wish_is_done_once_and_the_card_hears_of_it() {
    let world = World::new(|_| {});
    world.idle();
    assert_eq!(made_and_told(&world), (0, 0));
    for made in 1..4 {
        world.device().moves();
        world.idle();
        assert_eq!(made_and_told(&world), (made, 1));
        assert!(!world.card.properties().must_announce);
    }
    assert_eq!(world.card.commands().refused, 0);
    world.carries();
    world.end();
}

/// Whatever the moment: behind the last move, there is an announcement.
#[test]
fn a_card_that_is_moved_while_it_hears_of_the_last_time_is_announced_once_more() {
    for (moved, told) in [
        (Moved::WhenItHas, 2),
        (Moved::WhenItHasAndIsSlow, 2),
        (Moved::BeforeItHears, 1),
    ] {
        let world = World::new(|_| {});
        world.idle();
        made_and_told(&world);
        world.device().wire.moved = Some(moved);
        world.device().moves();
        world.idle();
        assert!(world.device().wire.moved.is_none());
        if moved == Moved::WhenItHasAndIsSlow {
            world.device().answers();
            world.idle();
        }
        assert_eq!(made_and_told(&world), (2, told), "{moved:?}");
        assert!(!world.card.properties().must_announce);
        assert_eq!(world.card.commands().refused, 0, "{moved:?}");
        world.carries();
        world.end();
    }
}

/// Whoever watches over the card looks at it while it hears: at this moment it still says what it has said before.
#[test]
fn what_was_read_before_the_card_has_heard_is_no_wish() {
    let world = World::new(|_| {});
    world.idle();
    made_and_told(&world);
    let (machine, seen) = (world.machine.clone(), Rc::new(Cell::new(false)));
    let has_seen = seen.clone();
    world.device().moves();
    // Half of the field has been read when the other task is done with it.
    let hears = move || {
        has_seen.set(true);
        machine.device.borrow_mut().config[6] &= !2;
    };
    world.device().meanwhile = Some((6, Box::new(hears)));
    world.run(world.machine.pause(100_000));
    assert!(seen.get());
    assert_eq!(made_and_told(&world), (0, 0));
    assert!(!world.card.properties().must_announce);
    world.end();
}

/// A card that refuses to hear of it goes on wishing. It is announced once for each move, and all else goes on.
#[test]
fn a_card_that_never_hears_of_it_is_not_announced_for_ever() {
    let world = World::new(|_| {});
    world.idle();
    made_and_told(&world);
    world.device().wire.refuses = true;
    for made in 1..4 {
        world.device().moves();
        world.idle();
        assert_eq!(made_and_told(&world), (made, 1));
        assert_eq!(world.card.commands().refused, made);
    }
    world.device().wire.refuses = false;
    world.set_filter(Filter::default());
    world.idle();
    let commands = world.device().wire.commands.len();
    assert!(commands > 0, "the card hears of other wishes");
    world.carries();
    world.end();
}
