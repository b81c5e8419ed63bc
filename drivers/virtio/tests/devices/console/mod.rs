//! Ports of a console: what is said and heard, who is there, and a device that lies about it.

mod hostile;
mod streams;

use crate::model::ports::message;
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief, bits};
use proptest::prelude::*;
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::console::{Console, Options, Port, PortError, Received, Size};
use virtio::{Access, ConfigError, DeviceError, Error, Failure, RequestError, Violation, Waiting};

type Under = Console<Machine, Data>;
type UnderPort = Port<Machine, Data>;

/// A machine whose console may have four ports, and has one, number 1.
fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::console(ram, 4);
        device.plug_port(1, "org.test.1");
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine, change: impl FnOnce(&mut Options)) -> Result<Under, Error> {
    let mut options = Options::default();
    change(&mut options);
    let made = Console::new(machine.clone(), notify(), options);
    run_alone(machine, made)
}

fn console(machine: &Machine) -> Under {
    bring_up(machine, |_| {}).expect("a good device")
}

/// The port, when both ends are there.
fn open(machine: &Machine, console: &Under) -> UnderPort {
    let port = run_alone(machine, console.wait_for("org.test.1")).unwrap();
    run_alone(machine, port.open()).unwrap();
    machine.device.borrow_mut().open_port(1, true);
    assert_eq!(port.is_connected(), Ok(true));
    port
}

fn room(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn speech(machine: &Machine, pieces: &[u64], first: usize) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::ToDevice);
    data.fill(&bytes(first, pieces.iter().sum::<u64>() as usize));
    data
}

fn bytes(first: usize, len: usize) -> Vec<u8> {
    (first..first + len)
        .map(|at| (at / 251 * 7 + at % 251) as u8)
        .collect()
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, console: Under, ports: Vec<UnderPort>) {
    drop((console, ports));
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!(device.ports.dropped, 0, "there was no memory for messages");
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}
