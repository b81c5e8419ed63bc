//! Games: a row of bytes says what a disk is like, what is asked of it, and what it does wrong, and when.
//!
//! No game is lost: nobody panics, each request ends, and all memory comes back, unless the device could not be
//! stopped. Rows that were worth it are kept in `games.txt`, each with what came of it, and played again by
//! every test run; others are new each time.
//!
//! A disk that says that it is done with memory may go on using it, and no driver can tell. So it is not looked at
//! who owns memory that is written.

use crate::games::row::{Row, mischief};
use crate::model::{Device, Reader, World, bits};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Waker;
use virtio::Platform;
use virtio::blk::{Operation, Request, Ticket};

/// What came of a game.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    good: usize,
    bad: usize,
    resets: u64,
    /// How the device was lost, if it was.
    end: Option<String>,
}

fn world(row: &mut Row<'_>) -> World {
    World::new(|ram| {
        let mut device = Device::new(ram, 400);
        let first = row.byte();
        device.reader = match first & 1 {
            0 => Reader::Own,
            _ => Reader::Packed,
        };
        for (bit, feature) in [bits::EVENT_IDX, bits::INDIRECT, bits::FLUSH]
            .iter()
            .enumerate()
        {
            if first >> (1 + bit) & 1 != 0 {
                device.offered &= !feature;
            }
        }
        device.is_backwards = first >> 4 & 1 != 0;
        device.refuses_vectors = first >> 5 & 1 != 0;
        device.queues[0].most = 4 << row.below(5);
        device
    })
}

/// Submits something. `None` if it is refused.
fn submit(world: &World, row: &mut Row<'_>, kind: u8) -> Option<Ticket> {
    let properties = world.disk.properties();
    let block = u64::from(row.byte());
    let pieces = vec![512; usize::from(row.below(70)) + 1];
    let blocks = pieces.len() as u64;
    let (operation, data): (Operation, _) = match kind {
        0 => (
            properties.read_blocks(block, blocks).ok()?,
            Some(world.target(&pieces)),
        ),
        1 => {
            let bytes = vec![7; 512 * pieces.len()];
            let data = world.source(&pieces, &bytes);
            (
                properties
                    .write_blocks(block, blocks)
                    .ok()?
                    .with_durability(),
                Some(data),
            )
        }
        2 => (properties.discard_blocks(block, blocks).ok()?, None),
        _ => (properties.flush()?, None),
    };
    let request = Request { operation, data };
    world
        .queue
        .0
        .borrow_mut()
        .submit(request, Waker::noop())
        .ok()
}

fn play(bytes: &[u8]) -> Outcome {
    let mut row = Row(bytes);
    let world = world(&mut row);
    let mut tickets = Vec::new();
    let pass = |time: u64| world.run(world.machine.pause(time));
    while !row.is_over() {
        match row.below(16) {
            kind @ 0..4 => tickets.extend(submit(&world, &mut row, kind)),
            4 | 5 => {
                let what = mischief(&mut row);
                let times = u32::from(row.below(5)) + 1;
                world.device().mischief = Some((what, times));
            }
            6 | 7 => {
                let (at, value) = (row.half(), row.half());
                world.device().poke(0, at, value);
            }
            8 => _ = world.queue.0.borrow_mut().turn(),
            9 => _ = world.device().work(),
            10 => pass(u64::from(row.byte()) + 1),
            11 => pass(20_000 * (u64::from(row.byte()) + 1)),
            12 if !tickets.is_empty() => {
                let which = usize::from(row.byte()) % tickets.len();
                world
                    .queue
                    .0
                    .borrow_mut()
                    .abandon(tickets.swap_remove(which));
            }
            12 => {}
            13 => {
                let disk = world.disk.clone();
                _ = world.run(async move { disk.reset().await });
            }
            14 => world.device().status |= 0x40,
            _ => match row.byte() {
                0..32 => {
                    let mut device = world.device();
                    (device.is_present, device.can_dma) = (false, false);
                }
                32..64 => world.device().is_unstoppable = true,
                other => world.device().slow_reset = u32::from(other) / 8,
            },
        }
    }
    world.device().mischief = None;
    let (mut good, mut bad) = (0, 0);
    for ticket in tickets {
        let done = world.run(poll_fn(|cx| world.queue.0.borrow_mut().poll(&ticket, cx)));
        match done.result {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
    }
    let outcome = Outcome {
        good,
        bad,
        resets: world.disk.resets(),
        end: world.disk.failure().map(|failure| failure.to_string()),
    };
    // What was abandoned has to end as well.
    let disk = world.disk.clone();
    world.run(async move { disk.shutdown().await });
    world.queue.0.borrow_mut().turn();
    assert!(world.queue.0.borrow().is_idle(), "a slot is missing");
    let ram = world.machine.ram.clone();
    let may_lose = world.device().is_unstoppable;
    drop(world);
    assert!(may_lose || ram.live() == 0, "memory is missing");
    outcome
}

fn row(hexadecimal: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16);
    let bytes: Result<_, _> = (0..hexadecimal.len()).step_by(2).map(digits).collect();
    bytes.expect("two digits for each byte")
}

/// The kept games, and what came of each.
fn kept() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let lines = include_str!("games.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let (bytes, came) = line.split_once(' ').expect("a row, and what came of it");
        (row(bytes), came)
    })
}

/// Each kept game ends as it did when it was kept.
#[test]
fn kept_games_end_as_they_did() {
    let mut played = 0;
    for (bytes, expected) in kept() {
        assert_eq!(describe(&play(&bytes)), expected, "{bytes:02x?}");
        played += 1;
    }
    assert!(played >= 20, "there are only {played} games");
}

fn describe(outcome: &Outcome) -> String {
    let Outcome {
        good,
        bad,
        resets,
        end,
    } = outcome;
    let end = end.as_deref().unwrap_or("it works");
    format!("good {good} bad {bad} resets {resets}: {end}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_game_is_lost(bytes in prop::collection::vec(any::<u8>(), 0..250)) {
        play(&bytes);
    }
}

/// Games that end alike.
fn sort(bytes: &[u8], outcome: &Outcome) -> impl Ord + use<> {
    (
        bytes[0] & 1,
        outcome.good.min(3),
        outcome.bad.min(2),
        outcome.resets.min(4),
        outcome.end.clone(),
    )
}

/// No sort of end that chance finds is missing among the kept games. The same games are tried each time.
#[test]
fn a_game_of_each_sort_is_kept() {
    let kept = kept().map(|(bytes, _)| sort(&bytes, &play(&bytes)));
    let mut known: BTreeSet<_> = kept.collect();
    let mut runner = TestRunner::deterministic();
    let rows = prop::collection::vec(any::<u8>(), 20..160);
    let mut missing = String::new();
    for _ in 0..250 {
        let bytes = rows.new_tree(&mut runner).expect("a row").current();
        let outcome = play(&bytes);
        if known.insert(sort(&bytes, &outcome)) {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            missing += &format!("{digits} {}\n", describe(&outcome));
        }
    }
    assert!(missing.is_empty(), "games.txt lacks these:\n{missing}");
}
