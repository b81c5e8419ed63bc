//! A console.

use super::row::{Row, upset};
use super::{Tally, ended, finish, forsake, machine, memory, pass, play_many, within};
use crate::model::ports::message;
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine};
use virtio::Access;
use virtio::console::{Console, Options};

fn bring_up(machine: &Machine) -> Console<Machine, Data> {
    let made = Console::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good device")
}

/// What may last for ever is waited for so long.
const A_WHILE: u64 = 100_000;

pub(super) fn play(bytes: &[u8]) -> Tally {
    let mut row = Row(bytes);
    let mut tally = Tally::default();
    let machine = machine(|ram| {
        let mut device = Device::console(ram, 4);
        device.plug_port(1, "one");
        device.plug_port(2, "two");
        device
    });
    let config = machine.device.borrow().config.clone();
    let console = bring_up(&machine);
    let mut ports = Vec::new();
    while !row.is_over() {
        let which = match ports.len() {
            0 => None,
            count => Some(usize::from(row.byte()) % count),
        };
        match (row.below(16), which) {
            (0 | 1, _) | (2..7, None) => {
                let name = ["one", "two"][usize::from(row.below(2))];
                if let Some(Ok(port)) = within(&machine, A_WHILE, console.wait_for(name)) {
                    let opened = ended(&machine, port.open());
                    tally.count(&opened);
                    ports.push(port);
                }
            }
            (2 | 3, Some(which)) => {
                let lent = ports[which].lend(memory(&machine, &mut row, Access::FromDevice));
                tally.count(&lent);
            }
            (4, Some(which)) => {
                let received = within(&machine, A_WHILE, ports[which].receive());
                if let Some(received) = received {
                    tally.count(&received);
                    if let Ok(Some(received)) = received {
                        assert!(received.bytes as usize <= received.data.bytes().len());
                    }
                }
            }
            (5, Some(which)) => {
                let speech = memory(&machine, &mut row, Access::ToDevice);
                if let Some(sent) = within(&machine, A_WHILE, ports[which].send(speech)) {
                    tally.count(&sent);
                }
            }
            (6, Some(which)) => {
                forsake(ports[which].send(memory(&machine, &mut row, Access::ToDevice)));
            }
            (7, Some(which)) => {
                let closed = ended(&machine, ports[which].close());
                tally.count(&closed);
            }
            (8 | 9, _) => {
                let port = 1 + u32::from(row.below(2));
                let said = vec![row.byte(); usize::from(row.byte())];
                let mut device = machine.device.borrow_mut();
                if device.ports.all.contains_key(&port) {
                    device.open_port(port, row.below(4) != 0);
                    device.say_to_guest(port, &said);
                }
            }
            (10, _) => {
                let mut device = machine.device.borrow_mut();
                match device.ports.all.contains_key(&2) {
                    true => device.unplug_port(2),
                    false => device.plug_port(2, "two"),
                }
            }
            (11, _) => {
                // About a port that may be there, or anything at all.
                let port = match row.below(4) {
                    0 => u32::from(row.half()) << 8 | u32::from(row.byte()),
                    _ => row.below(5).into(),
                };
                let rest = vec![row.byte(); usize::from(row.byte())];
                let event = row.below(9).into();
                let mut nonsense = message(port, event, row.below(3).into(), &rest);
                if row.below(4) == 0 {
                    nonsense.truncate(row.below(8).into());
                }
                let mut device = machine.device.borrow_mut();
                device.note("speaks nonsense");
                device.tell(&nonsense);
            }
            (12..15, _) => upset(&mut machine.device.borrow_mut(), &mut row),
            _ => {
                let _ = console.ports();
                machine.device.borrow_mut().ports.is_held = row.below(4) == 0;
                pass(&machine, &mut row);
            }
        }
    }
    tally.dead += u64::from(console.failure().is_some());
    finish(&machine, &mut tally, config, (ports, console));
    let console = bring_up(&machine);
    let port = ended(&machine, console.wait_for("one")).expect("it works");
    assert!(ended(&machine, port.open()).is_ok());
    let room = Data::new(&machine.ram, &[5], Access::FromDevice);
    assert!(port.lend(room).is_ok());
    {
        let mut device = machine.device.borrow_mut();
        device.port(1).to_guest.clear();
        device.open_port(1, true);
        device.say_to_guest(1, b"hello");
    }
    let received = ended(&machine, port.receive());
    let received = received.ok().flatten().expect("it works");
    assert_eq!(received.data.bytes(), b"hello");
    tally.again += 1;
    tally
}

#[test]
fn no_game_of_a_console_is_lost() {
    play_many(1000, play, &["speaks nonsense"], &[]);
}
