//! Folders of the host's, from a server that may lie.

mod hostile;
mod names;
mod reading;

use crate::model::server::{File, Server, named};
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief};
use proptest::prelude::*;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use virtio::share::{
    Entry, Errno, FileKind, Links, Node, Opened, Options, PathError, ReplyError, Share, ShareError,
};
use virtio::{Access, Error, Failure, RequestError, Violation, Waiting};

type Under = Share<Machine, Data>;

fn machine(fill: impl FnOnce(&mut Server)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::share(ram);
        fill(&mut device.server);
        device
    })
}

fn bring_up(machine: &Machine) -> Result<Under, ShareError> {
    let made = Share::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made)
}

fn share(machine: &Machine) -> Under {
    bring_up(machine).expect("a good server")
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 256 * 7 + at % 251) as u8).collect()
}

fn room(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn find(machine: &Machine, share: &Under, path: &str) -> Result<Node<Machine, Data>, ShareError> {
    run_alone(machine, share.find(path.as_bytes(), Links::Follow))
}

fn open(machine: &Machine, share: &Under, path: &str) -> Opened<Machine, Data> {
    let node = find(machine, share, path).expect(path);
    run_alone(machine, node.open()).expect(path)
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, share: Under) {
    drop(share);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

/// From now on the server changes its replies to this kind of message.
fn lie(machine: &Machine, about: u8, mut change: impl FnMut(&mut Vec<u8>) + 'static) {
    machine.device.borrow_mut().server.lie = Some(Box::new(move |kind, reply| {
        if kind == about {
            change(reply);
        }
    }));
}

fn be_honest(machine: &Machine) {
    machine.device.borrow_mut().server.lie = None;
}

/// A reply of these bytes, whose length is right.
fn say(reply: &mut Vec<u8>, fields: &[u8]) {
    reply.truncate(7);
    reply.extend(fields);
    let len = reply.len() as u32;
    reply[..4].copy_from_slice(&len.to_le_bytes());
}
