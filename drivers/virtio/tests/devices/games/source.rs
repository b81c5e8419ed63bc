//! A source of random bytes.

use super::row::{Row, upset};
use super::{Tally, ended, finish, forsake, machine, memory, pass, play_many};
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine};
use virtio::Access;
use virtio::rng::{Options, Source};

fn bring_up(machine: &Machine) -> Source<Machine, Data> {
    let made = Source::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good device")
}

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let machine = machine(Device::source);
    let source = bring_up(&machine);
    while !row.is_over() {
        match row.below(8) {
            0..3 => {
                let target = memory(&machine, &mut row, Access::FromDevice);
                let filled = ended(&machine, source.fill(target));
                tally.count(&filled);
                if let Ok(filled) = filled {
                    assert!(filled.bytes as usize <= filled.data.bytes().len());
                }
            }
            3 => forsake(source.fill(memory(&machine, &mut row, Access::FromDevice))),
            4..6 => upset(&mut machine.device.borrow_mut(), &mut row),
            6 => pass(&machine, &mut row),
            _ => machine.device.borrow_mut().helper.most = Some(row.byte().into()),
        }
    }
    tally.dead += u64::from(source.failure().is_some());
    finish(&machine, &mut tally, Vec::new(), source);
    let source = bring_up(&machine);
    let target = Data::new(&machine.ram, &[60, 4], Access::FromDevice);
    let filled = ended(&machine, source.fill(target));
    assert_eq!(filled.expect("it works").bytes, 64);
    tally.again += 1;
    tally
}

#[test]
fn no_game_of_a_source_is_lost() {
    // It has no configuration.
    play_many(1000, play, &[], &["has another configuration"]);
}
