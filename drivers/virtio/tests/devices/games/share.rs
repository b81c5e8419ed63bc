//! A folder of the host's.

use super::row::{Row, upset};
use super::{Liar, Tally, ended, finish, forsake, machine, memory, pass, play_many};
use crate::model::server::File;
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine};
use std::rc::Rc;
use virtio::Access;
use virtio::share::{Links, Options, Share};

const CONTENT: &[u8] = b"what is in the file, which is not long";

fn bring_up(machine: &Machine) -> Share<Machine, Data> {
    let made = Share::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good server")
}

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let told = Rc::default();
    let machine = machine(|ram| {
        let mut device = Device::share(ram);
        device.server.put("d/f", File::Bytes(CONTENT.into()));
        device.server.put("link", File::Link(b"d/f".into()));
        device
    });
    let config = machine.device.borrow().config.clone();
    let share = bring_up(&machine);
    // Whoever is lied to cannot know what is open, also later.
    machine.device.borrow_mut().server.lie = Some(Box::new(|_, _| {}));
    let mut open = Vec::new();
    while !row.is_over() {
        let path = [&b"d"[..], b"d/f", b"link", b"nothing"][usize::from(row.below(4))];
        let find = share.find(path, Links::Follow);
        match row.below(12) {
            0 => {
                if let Ok(node) = ended(&machine, find) {
                    let known = ended(&machine, node.attributes());
                    tally.count(&known);
                    let target = ended(&machine, node.target());
                    tally.count(&target);
                }
            }
            1..4 => {
                let found = ended(&machine, find);
                tally.count(&found);
                if let Ok(node) = found {
                    let opened = ended(&machine, node.open());
                    tally.count(&opened);
                    open.extend(opened.ok());
                }
            }
            4 | 5 if !open.is_empty() => {
                let which = usize::from(row.byte()) % open.len();
                let room = memory(&machine, &mut row, Access::FromDevice);
                let all = room.bytes().len();
                let read = ended(&machine, open[which].read(row.below(50).into(), room, 0));
                tally.count(&read);
                if let Ok((_, count)) = read {
                    assert!(count as usize <= all);
                }
            }
            6 if !open.is_empty() => {
                let which = usize::from(row.byte()) % open.len();
                let list = ended(&machine, open[which].list());
                tally.count(&list);
            }
            7 if !open.is_empty() => {
                let file = open.swap_remove(usize::from(row.byte()) % open.len());
                forsake(file.read(0, memory(&machine, &mut row, Access::FromDevice), 0));
            }
            8 => {
                let mut liar = Liar::new(&mut row, &told);
                let lie = move |_: u8, reply: &mut Vec<u8>| liar.change(reply);
                machine.device.borrow_mut().server.lie = Some(Box::new(lie));
            }
            9 | 10 => upset(&mut machine.device.borrow_mut(), &mut row),
            _ => pass(&machine, &mut row),
        }
    }
    tally.dead += u64::from(share.failure().is_some());
    tally.wrongs.insert("answers nonsense", told.get());
    finish(&machine, &mut tally, config, (open, share));
    let share = bring_up(&machine);
    let node = ended(&machine, share.find(b"link", Links::Follow)).expect("it works");
    let file = ended(&machine, node.open()).expect("it works");
    let room = Data::new(&machine.ram, &[10, 90], Access::FromDevice);
    let (data, count) = ended(&machine, file.read(0, room, 0)).expect("it works");
    assert_eq!(data.bytes()[..count as usize], *CONTENT);
    tally.again += 1;
    tally
}

#[test]
fn no_game_of_a_share_is_lost() {
    play_many(1000, play, &["answers nonsense"], &[]);
}
