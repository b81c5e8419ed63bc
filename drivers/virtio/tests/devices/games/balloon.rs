//! A balloon.

use super::row::{Row, upset};
use super::{Tally, ended, finish, forsake, machine, memory, pass, play_many};
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Pages};
use virtio::Access;
use virtio::balloon::{Balloon, Options};

type Under = Balloon<Machine, Pages, Data>;

fn bring_up(machine: &Machine) -> Under {
    let made = Balloon::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good device")
}

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let machine = machine(Device::balloon);
    let config = machine.device.borrow().config.clone();
    let balloon = bring_up(&machine);
    while !row.is_over() {
        match row.below(10) {
            0..2 => {
                let pages = Pages::new(&machine, 1 + u64::from(row.below(20)));
                let done = ended(&machine, balloon.inflate(pages));
                tally.count(&done);
            }
            2..4 => {
                let back = ended(&machine, balloon.deflate());
                tally.count(&back);
            }
            4 | 5 => {
                let free = memory(&machine, &mut row, Access::FromDevice);
                let done = ended(&machine, balloon.report(free));
                tally.count(&done);
            }
            6 => match row.below(3) {
                0 => forsake(balloon.inflate(Pages::new(&machine, 1))),
                1 => forsake(balloon.deflate()),
                _ => forsake(balloon.report(memory(&machine, &mut row, Access::FromDevice))),
            },
            7 | 8 => upset(&mut machine.device.borrow_mut(), &mut row),
            _ => {
                let _ = balloon.target();
                pass(&machine, &mut row);
            }
        }
    }
    tally.dead += u64::from(balloon.failure().is_some());
    finish(&machine, &mut tally, config, balloon);
    let balloon = bring_up(&machine);
    let done = ended(&machine, balloon.inflate(Pages::new(&machine, 3)));
    assert!(done.is_ok() && balloon.pages() == 3);
    let back = ended(&machine, balloon.deflate());
    assert!(back.is_ok_and(|pages| pages.is_some()));
    tally.again += 1;
    tally
}

#[test]
fn no_game_of_a_balloon_is_lost() {
    play_many(1000, play, &[], &[]);
}
