//! A graphics device.

use super::row::{Row, upset};
use super::{Liar, Tally, ended, finish, forsake, machine, pass, play_many};
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine};
use std::rc::Rc;
use virtio::Access;
use virtio::gpu::{Area, Gpu, Options, Size};

const SIZE: Size = Size {
    width: 9,
    height: 7,
};
const BYTES: u64 = 9 * 7 * 4;

fn bring_up(machine: &Machine) -> Gpu<Machine, Data> {
    let made = Gpu::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good device")
}

fn pixels(machine: &Machine, row: &mut Row<'_>) -> Data {
    let first = 1 + u64::from(row.byte());
    let data = Data::new(&machine.ram, &[first, BYTES], Access::ToDevice);
    data.fill(&vec![row.byte(); (first + BYTES) as usize]);
    data
}

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let told = Rc::default();
    let machine = machine(Device::graphics);
    let config = machine.device.borrow().config.clone();
    let gpu = bring_up(&machine);
    let mut pictures = Vec::new();
    while !row.is_over() {
        let which = match pictures.len() {
            0 => None,
            count => Some(usize::from(row.byte()) % count),
        };
        match (row.below(14), which) {
            (0 | 1, _) => {
                let made = ended(&machine, gpu.create(SIZE));
                tally.count(&made);
                pictures.extend(made.ok());
            }
            (2 | 3, Some(which)) => {
                let data = pixels(&machine, &mut row);
                let start = u64::from(row.below(3));
                let attached = ended(&machine, gpu.attach(&mut pictures[which], data, start));
                tally.count(&attached);
            }
            (4, Some(which)) => {
                let area = Area {
                    x: row.below(9).into(),
                    y: row.below(7).into(),
                    size: Size {
                        width: 1 + u16::from(row.below(4)),
                        height: 1 + u16::from(row.below(4)),
                    },
                };
                let done = ended(&machine, gpu.transfer(&pictures[which], area));
                tally.count(&done);
            }
            (5, Some(which)) => {
                let done = ended(&machine, gpu.show(&pictures[which], row.below(3).into()));
                tally.count(&done);
                let done = ended(&machine, gpu.flush(&pictures[which], SIZE.area()));
                tally.count(&done);
            }
            (6, Some(which)) => {
                let back = ended(&machine, gpu.detach(&mut pictures[which]));
                tally.count(&back);
            }
            (7, Some(which)) => {
                let gone = ended(&machine, gpu.remove(pictures.swap_remove(which)));
                tally.count(&gone);
            }
            (8, Some(which)) => {
                let data = pixels(&machine, &mut row);
                forsake(gpu.attach(&mut pictures[which], data, 0));
            }
            (9, _) => {
                let screens = ended(&machine, gpu.screens());
                tally.count(&screens);
            }
            (10, _) => {
                let mut liar = Liar::new(&mut row, &told);
                let lie = move |_: u32, answer: &mut Vec<u8>| liar.change(answer);
                machine.device.borrow_mut().graphics.lie = Some(Box::new(lie));
            }
            (11 | 12, _) => upset(&mut machine.device.borrow_mut(), &mut row),
            _ => pass(&machine, &mut row),
        }
    }
    tally.dead += u64::from(gpu.failure().is_some());
    tally.wrongs.insert("answers nonsense", told.get());
    finish(&machine, &mut tally, config, (pictures, gpu));
    let gpu = bring_up(&machine);
    let mut picture = ended(&machine, gpu.create(SIZE)).expect("it works");
    let data = Data::new(&machine.ram, &[BYTES], Access::ToDevice);
    let attached = ended(&machine, gpu.attach(&mut picture, data, 0));
    assert!(attached.is_ok());
    assert!(ended(&machine, gpu.transfer(&picture, SIZE.area())).is_ok());
    assert!(ended(&machine, gpu.remove(picture)).is_ok_and(|back| back.is_some()));
    tally.again += 1;
    tally
}

#[test]
fn no_game_of_a_screen_is_lost() {
    play_many(1000, play, &["answers nonsense"], &[]);
}
