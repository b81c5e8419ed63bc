//! A network card. It is got back after a failure, so it is not brought up anew: it has to carry frames again.

use super::row::{Row, upset};
use super::{TOO_EARLY, Tally, play_many};
use crate::card::world::{World, content, frame};
use crate::model::{Mischief, Reader};
use virtio::Platform;
use virtio::net::HEADER;

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let world = World::new(|device| {
        device.is_liar = true;
        device.reader = match row.below(2) {
            0 => Reader::Own,
            _ => Reader::Packed,
        };
    });
    let config = world.device().config.clone();
    world.supply(8, 600);
    let mut tag = 0;
    while !row.is_over() {
        match row.below(16) {
            0..3 => {
                let mut sending = world.plain(&frame(60 + usize::from(row.byte()), 1));
                if row.below(2) == 0 {
                    sending.tag = Some(tag);
                    tag += 1;
                }
                let sent = world.tx().send(sending);
                tally.count(&sent);
            }
            3..6 => {
                let len = 14 + 5 * usize::from(row.byte());
                let mut header = [0; HEADER];
                header[0] = row.below(4);
                world.device().comes(0, header, frame(len, 2));
            }
            6 | 7 => {
                world.run(world.machine.pause(2000));
                while let Some(arrived) = world.try_receive(0) {
                    tally.count(&arrived.content);
                    let bytes = content(&arrived);
                    assert!(arrived.content.is_err() || bytes.len() >= 14);
                    drop(arrived);
                    let _ = world.rx().supply(world.target(&[600]));
                }
            }
            8 => world.set_filter(Default::default()),
            9 => {
                let what = match row.below(2) {
                    0 => Mischief::Buffers(row.half() % 40),
                    _ => Mischief::Header(usize::from(row.byte()) % HEADER, row.byte()),
                };
                world.device().mischief = Some((what, u32::from(row.below(3)) + 1));
            }
            10..13 => upset(&mut world.device(), &mut row),
            13 if row.below(4) == 0 => {
                let card = world.card.clone();
                let _ = world.run(async move { card.reset().await });
            }
            14 => {
                world.device().note("keeps what it is given");
                world.device().wire.is_held ^= true;
            }
            _ => {
                let time = 1 + u64::from(row.byte()) * u64::from(row.byte()) * 150;
                world.run(world.machine.pause(time));
            }
        }
    }
    let may_lose = world.device().is_unstoppable;
    let ram = world.machine.ram.clone();
    {
        let mut device = world.device();
        device.mischief = None;
        device.wire.is_held = false;
        device.wire.incoming.clear();
        device.config = config;
        if !may_lose {
            device.slow_reset = 0;
        }
    }
    // Whatever it believes of its queues, it forgets with a reset.
    let card = world.card.clone();
    let _ = world.run(async move { card.reset().await });
    world.device().wire.sent.clear();
    while world.try_receive(0).is_some() {}
    let mut wrongs = std::mem::take(&mut world.device().wrongs);
    let is_early = TOO_EARLY.iter().any(|what| wrongs.contains_key(what));
    match world.card.failure() {
        Some(_) => tally.dead += 1,
        None if !may_lose => {
            world.carries();
            tally.again += 1;
        }
        None => {}
    }
    match may_lose {
        true => drop(world),
        false => world.end_after_lies(),
    }
    if !is_early {
        assert_eq!(ram.wild(), 0, "memory that is nobody's was touched");
        tally.strict += 1;
    }
    for (what, times) in std::mem::take(&mut wrongs) {
        tally.wrongs.insert(what, times.into());
    }
    tally
}

#[test]
fn no_game_of_a_card_is_lost() {
    let own = [
        "counts pieces wrong",
        "writes nonsense into a header",
        "keeps what it is given",
    ];
    play_many(250, play, &own, &[]);
}
