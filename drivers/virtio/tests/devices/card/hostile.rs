//! Cards that do what they must not.

use super::world::{World, content, frame};
use crate::model::{Mischief, Reader};
use proptest::prelude::*;
use virtio::net::{HEADER, Works};
use virtio::{Error, Failure, Waiting};

/// Lets a card do wrong while a frame arrives, and another leaves. Returns how often it was reset.
fn wrong(mischief: Mischief) -> (World, u64) {
    let world = World::new(|_| {});
    world.supply(8, 2048);
    world.idle();
    world.device().mischief = Some((mischief, 1));
    world.device().comes(0, [0; HEADER], frame(600, 1));
    world.idle();
    let _ = world.try_receive(0);
    world.idle();
    let resets = world.card.resets();
    (world, resets)
}

#[test]
fn a_card_that_breaks_a_rule_when_frames_arrive_is_reset_and_works_again() {
    for mischief in [
        Mischief::UsedId(8),
        Mischief::UsedId(64),
        Mischief::UsedId(u32::MAX),
        Mischief::Twice,
        Mischief::Longer(2048),
        Mischief::Longer(u32::MAX - 612),
        Mischief::Nothing,
        Mischief::Index(9),
        Mischief::Index(0x8000),
        Mischief::Index(u16::MAX),
        Mischief::Buffers(0),
        Mischief::Buffers(9),
        Mischief::Buffers(u16::MAX),
    ] {
        let (world, resets) = wrong(mischief);
        assert_eq!(resets, 1, "{mischief:?}");
        world.carries();
        world.end();
    }
}

#[test]
fn a_header_that_makes_no_sense_costs_the_frame_and_nothing_else() {
    for (at, byte) in [(0, 1), (1, 1), (1, 3), (1, 0x7f), (1, 5)] {
        let world = World::new(|_| {});
        world.supply(2, 2048);
        world.idle();
        let mut header = [0; HEADER];
        // A sum that would be behind the end.
        (header[6], header[7]) = (0xff, 0xff);
        world.device().mischief = Some((Mischief::Header(at, byte), 1));
        world.device().comes(0, header, frame(600, 1));
        world.device().comes(0, [0; HEADER], frame(700, 2));
        world.idle();
        let bad = world.try_receive(0).expect("its memory");
        assert!(bad.content.is_err(), "{at} {byte}");
        let good = world.try_receive(0).expect("the next one");
        assert!(good.content.is_ok() && content(&good) == frame(700, 2));
        let counters = world.rx().counters();
        assert_eq!((counters.malformed, counters.frames), (1, 1));
        assert_eq!(world.card.resets(), 0);
        drop((bad, good));
        world.carries();
        world.end();
    }
}

#[test]
fn a_card_that_breaks_a_rule_when_frames_leave_is_reset_and_works_again() {
    for mischief in [
        Mischief::UsedId(1),
        Mischief::UsedId(63),
        Mischief::UsedId(u32::MAX),
        Mischief::Twice,
        Mischief::Index(9),
        Mischief::Index(u16::MAX),
    ] {
        let world = World::new(|_| {});
        world.idle();
        world.device().mischief = Some((mischief, 1));
        let mut sending = world.plain(&frame(600, 1));
        sending.tag = Some(5);
        assert!(world.tx().send(sending).is_ok());
        assert!(world.run(world.sent()).memory.is_some());
        world.idle();
        assert_eq!(world.card.resets(), 1, "{mischief:?}");
        world.carries();
        world.end();
    }
}

/// What the device says it has written when frames leave has no meaning.
#[test]
fn the_length_of_a_frame_that_left_is_not_looked_at() {
    let world = World::new(|_| {});
    world.idle();
    world.device().mischief = Some((Mischief::Longer(u32::MAX), 1));
    assert!(world.tx().send(world.plain(&frame(600, 1))).is_ok());
    world.idle();
    assert_eq!((world.card.resets(), world.tx().frames()), (0, 0));
    world.end();
}

#[test]
fn a_card_that_breaks_a_rule_about_commands_is_reset_and_told_again() {
    for mischief in [
        Mischief::UsedId(1),
        Mischief::UsedId(u32::MAX),
        Mischief::Twice,
        Mischief::Longer(1),
        Mischief::Index(9),
    ] {
        let world = World::new(|_| {});
        world.idle();
        let before = world.card.commands().done;
        world.device().mischief = Some((mischief, 1));
        world.set_filter(Default::default());
        world.idle();
        assert_eq!(world.card.resets(), 1, "{mischief:?}");
        assert!(world.card.commands().done >= before + 4, "{mischief:?}");
        world.carries();
        world.end();
    }
}

#[test]
fn a_card_that_does_not_hear_or_does_not_answer_is_got_back() {
    let world = World::new(|_| {});
    world.idle();
    // It does not hear the notification: it is told once more.
    world.device().mischief = Some((Mischief::Deaf, 1));
    let mut sending = world.plain(&frame(600, 1));
    sending.tag = Some(1);
    assert!(world.tx().send(sending).is_ok());
    assert_eq!(world.run(world.sent()).result, Ok(()));
    assert_eq!(world.card.resets(), 0);
    // It never answers: it is reset.
    world.device().wire.is_held = true;
    let mut sending = world.plain(&frame(600, 1));
    sending.tag = Some(2);
    assert!(world.tx().send(sending).is_ok());
    let back = world.run(world.sent());
    let late = Failure::Timeout(Waiting::Request);
    assert_eq!(back.result, Err(Error::Failed(late)));
    drop(back);
    world.device().wire.is_held = false;
    world.carries();
    world.end();
}

#[test]
fn a_card_that_does_not_hear_of_memory_hears_of_it_later() {
    let world = World::new(|_| {});
    world.idle();
    world.device().mischief = Some((Mischief::Deaf, 1));
    world.supply(2, 2048);
    world.idle();
    world
        .device()
        .wire
        .incoming
        .push_back((0, [0; HEADER], frame(100, 3)));
    let arrived = world.run(world.receive());
    assert_eq!(content(&arrived), frame(100, 3));
    drop(arrived);
    world.end();
}

#[test]
fn memory_of_a_card_that_cannot_be_stopped_is_never_used_again() {
    let world = World::new(|device| device.wire.is_held = true);
    world.supply(3, 2048);
    for tag in [Some(7), None] {
        let mut sending = world.plain(&frame(600, 1));
        sending.tag = tag;
        assert!(world.tx().send(sending).is_ok());
    }
    world.idle();
    {
        let mut device = world.device();
        device.is_unstoppable = true;
        device.slow_reset = 1_000_000;
    }
    world.run(world.card.shutdown());
    let back = world.run(world.sent());
    assert!(back.memory.is_none());
    assert!(matches!(back.result, Err(Error::Lost(_))));
    assert_eq!(world.card.lost(), 5);
    let ram = world.machine.ram.clone();
    let lost = 3 * 2048 + 2 * 600;
    assert!(ram.live() >= lost);
}

#[test]
fn a_card_that_is_pulled_out_gives_all_memory_back() {
    for nothing in [0, 0xff] {
        let world = World::new(|device| device.wire.is_held = true);
        world.supply(3, 2048);
        let mut sending = world.plain(&frame(600, 1));
        sending.tag = Some(7);
        assert!(world.tx().send(sending).is_ok());
        world.idle();
        {
            let mut device = world.device();
            (device.is_present, device.nothing, device.can_dma) = (false, nothing, false);
        }
        let back = world.run(world.sent());
        assert_eq!(back.result, Err(Error::Failed(Failure::Gone)));
        assert!(back.memory.is_some());
        drop(back);
        world.idle();
        assert_eq!(world.rx().failure(), Some(Failure::Gone));
        world.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a card writes: nobody panics, and all memory comes back. None is touched that is nobody's, unless
    /// the card says that it is done with what it has not touched yet.
    #[test]
    fn whatever_a_card_says_no_memory_is_in_danger(
        lies in prop::collection::vec((0..9_u8, any::<u32>(), 20..1500_usize), 1..30),
        reader in prop::sample::select(vec![Reader::Own, Reader::Packed]),
    ) {
        let world = World::new(|device| device.reader = reader);
        world.supply(16, 600);
        let mut is_done_too_early = false;
        for (kind, value, len) in lies {
            is_done_too_early |= matches!(kind, 0 | 5);
            let mischief = match kind {
                0 => Mischief::UsedId(value % 80),
                1 => Mischief::UsedId(value.max(64)),
                2 => Mischief::Twice,
                3 => Mischief::Longer(value),
                4 => Mischief::Nothing,
                5 => Mischief::Index(value as u16),
                6 => Mischief::Buffers(value as u16 % 20),
                7 => Mischief::Shorter,
                _ => Mischief::Header(value as usize % 12, (value >> 8) as u8),
            };
            world.device().mischief = Some((mischief, 1 + value % 3));
            let mut header = [0; HEADER];
            header[..4].copy_from_slice(&value.to_le_bytes());
            world.device().comes(0, header, frame(len, 1));
            let _ = world.tx().send(world.plain(&frame(len, 2)));
            world.idle();
            while let Some(arrived) = world.try_receive(0) {
                let bytes = content(&arrived);
                prop_assert!(arrived.content.is_err() || bytes.len() >= 14);
                drop(arrived);
                let _ = world.rx().supply(world.target(&[600]));
            }
            if world.card.failure().is_some() {
                break;
            }
        }
        world.device().mischief = None;
        match is_done_too_early {
            true => world.end_after_lies(),
            false => world.end(),
        }
    }
}
