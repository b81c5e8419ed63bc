//! Pictures on screens, from memory in any pieces, with a device that may lie.

mod hostile;
mod showing;

use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief};
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::gpu::{Area, Gpu, GpuError, Options, Picture, PictureError, Refusal, ReplyError, Size};
use virtio::{Access, ConfigError, Error, Failure, RequestError, Violation, Waiting};

const SIZE: Size = Size {
    width: 40,
    height: 30,
};
const BYTES: u64 = 40 * 30 * 4;

type Under = Gpu<Machine, Data>;

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::graphics(ram);
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine) -> Result<Under, Error> {
    let made = Gpu::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made)
}

fn gpu(machine: &Machine) -> Under {
    bring_up(machine).expect("a good device")
}

fn pixels(seed: u64, len: u64) -> Vec<u8> {
    (0..len)
        .map(|at| (at / 256 * 7 + at % 251 + seed) as u8)
        .collect()
}

/// Memory in pieces, with content.
fn memory(machine: &Machine, pieces: &[u64], seed: u64) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::ToDevice);
    data.fill(&pixels(seed, pieces.iter().sum()));
    data
}

fn create(machine: &Machine, gpu: &Under) -> Picture {
    run_alone(machine, gpu.create(SIZE)).expect("a picture")
}

/// A picture with memory behind it.
fn attached(machine: &Machine, gpu: &Under) -> Picture {
    let mut picture = create(machine, gpu);
    let memory = memory(machine, &[BYTES], 0);
    run_alone(machine, gpu.attach(&mut picture, memory, 0)).expect("it takes it");
    picture
}

/// From now on the device changes its answers to this kind of command.
fn lie(machine: &Machine, about: u32, change: impl Fn(&mut Vec<u8>) + 'static) {
    machine.device.borrow_mut().graphics.lie = Some(Box::new(move |kind, answer| {
        if kind == about {
            change(answer);
        }
    }));
}

fn be_honest(machine: &Machine) {
    machine.device.borrow_mut().graphics.lie = None;
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, gpu: Under) {
    drop(gpu);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}
