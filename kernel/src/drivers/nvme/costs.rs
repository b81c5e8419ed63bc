//! What a command costs in the driver's queue, in instructions: no tasks, no block layer, no mapping.
//!
//! The machine's clock counts instructions, so the numbers come out the same each time. Looks at the
//! completion queue that find nothing are waiting, and not counted.

use super::hub::Hub;
use super::namespace::LIMITS;
use crate::arch::cpu::{mark, time_stamp};
use crate::dma::{Buffer, FromDevice, Owner, Transfer, map};
use crate::memory::frames::Frames;
use crate::println;
use crate::storage;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use vm_test::vm_test;

const COMMANDS: u64 = 1024;

#[vm_test(machine = "icount,nvme,size=16M", timeout = 120)]
fn a_command_costs_few_instructions() {
    // Disks are looked for when somebody asks for them.
    storage::volumes();
    let hub = storage::controllers()[0].clone();
    // Not much more than it is in a build without link-time optimization.
    for (batch, most) in [(1, 1100), (16, 750)] {
        read_in_batches(&hub, batch);
        mark::<0>();
        let each = read_in_batches(&hub, batch) / COMMANDS;
        match batch {
            1 => mark::<1>(),
            _ => mark::<16>(),
        }
        println!("batch of {batch}: {each} instructions a command");
        assert!(each < most, "batch of {batch}: {each} instructions");
    }
}

/// A page on the bus.
fn mapped(hub: &Hub) -> Transfer {
    let memory = Frames::zeroed(4096).expect("the machine has memory");
    let buffer = Buffer::<FromDevice>::from_device(memory.into_memory());
    let mapping = map(buffer, hub.domain(), &LIMITS).map_err(|(error, _)| error);
    mapping.expect("it can be reached").into()
}

/// Reads pages, so many at a time. Returns the instructions that this took in the queue.
fn read_in_batches(hub: &Hub, batch: u64) -> u64 {
    let namespace = hub.controller().expect("it is there").namespaces()[0];
    let local = hub.local().expect("the core has a queue");
    let mut queue = local.queue();
    let mut idle: Vec<Transfer> = (0..batch).map(|_| mapped(hub)).collect();
    let mut tickets = Vec::with_capacity(batch as usize);
    let mut cx = Context::from_waker(Waker::noop());
    let mut spent = 0;
    for number in 0..COMMANDS / batch {
        let start = time_stamp();
        while let Some(data) = idle.pop() {
            let block = (number * batch + idle.len() as u64) % 4000 * 8;
            let operation = namespace.read(block, 8).expect("blocks of the disk");
            let mut request = nvme::Request::with_data(operation, data);
            let ticket = queue.submit(&mut request, Waker::noop());
            tickets.push(ticket.expect("there is room"));
        }
        queue.ring();
        spent += time_stamp() - start;
        let mut complete = 0;
        while complete < batch {
            let start = time_stamp();
            let now = queue.reap() as u64;
            if now > 0 {
                spent += time_stamp() - start;
            }
            complete += now;
        }
        let start = time_stamp();
        for ticket in tickets.drain(..) {
            let Poll::Ready(Ok(mut over)) = queue.poll_in_place(&ticket, &mut cx) else {
                panic!("a command that is complete is over");
            };
            idle.extend(over.data());
        }
        spent += time_stamp() - start;
    }
    queue.ring();
    spent
}
