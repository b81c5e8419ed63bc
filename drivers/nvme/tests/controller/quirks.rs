//! Devices that want to be treated otherwise than others.

use crate::model::{Bench, Config, Data};
use nvme::{Access, Device, Options, Request, execute};
use std::cell::RefCell;
use std::rc::Rc;

const READ: u8 = 0x02;

fn config(vendor: u16, device: u16) -> Config {
    let mut config = Config::with_disk(8192, 9);
    config.device = Some(Device { vendor, device });
    config
}

/// Reads blocks, compares them, and says what the commands were: first block and number.
fn read(bench: &Bench, first: u64, blocks: u64) -> Vec<(u64, u64)> {
    let disk = bench.namespace(1).expect("a namespace");
    let pages = (blocks * u64::from(disk.block_size)).div_ceil(4096);
    let data = Data::owned(&bench.machine, pages as usize, Access::FROM_DEVICE);
    let blocks = pages * 4096 / u64::from(disk.block_size);
    let read = disk.read(first, blocks).expect("a read");
    bench.commands();
    let done = bench.execute(Request::with_data(read, data));
    assert_eq!(done.result, Ok(0));
    let data = done.data.expect("the memory comes back");
    {
        let model = bench.machine.model();
        let shift = disk.block_size.trailing_zeros() as u8;
        let is_right =
            model.memory.contents(data.list()) == model.contents(1, first, blocks, shift);
        assert!(is_right, "{blocks} blocks from {first} on");
    }
    let commands = bench.commands().into_iter();
    commands
        .map(|(opcode, _, first, blocks)| {
            assert_eq!(opcode, READ);
            (first, blocks)
        })
        .collect()
}

/// Intel's first disks are made of stripes of 128 KiB.
#[test]
fn no_command_crosses_a_stripe() {
    let bench = Bench::new(config(0x8086, 0x0953));
    let namespace = bench.namespace(1).expect("a namespace");
    assert_eq!(namespace.optimal_boundary, 256);
    let pieces = [(104, 152), (256, 256), (512, 192)];
    assert_eq!(read(&bench, 104, 600), pieces);
    // Short ones, too. What lies inside is one command, however it is aligned.
    assert_eq!(read(&bench, 252, 8), [(252, 4), (256, 4)]);
    assert_eq!(read(&bench, 248, 8), [(248, 8)]);
    assert_eq!(read(&bench, 256, 256), [(256, 256)]);
    let bench = Bench::new(config(0x8086, 0xffff));
    assert_eq!(read(&bench, 252, 8), [(252, 8)]);
    assert_eq!(read(&bench, 104, 600).len(), 1);
}

/// A boundary that a controller states is one, of any length.
#[test]
fn no_command_crosses_the_boundary_that_a_namespace_states() {
    let mut config = config(0, 0);
    config.device = None;
    config.namespaces[0].1.noiob = 24;
    let bench = Bench::new(config);
    assert_eq!(read(&bench, 16, 8), [(16, 8)]);
    assert_eq!(read(&bench, 20, 8), [(20, 4), (24, 4)]);
    let pieces = [(40, 8), (48, 24), (72, 24), (96, 8)];
    assert_eq!(read(&bench, 40, 64), pieces);
}

/// Apple's has one vector, and loses data with two commands at a time.
#[test]
fn a_controller_with_one_vector_has_it_for_all_queues() {
    let mut options = Options::default();
    options.queues = 3;
    let bench = Bench::with_options(config(0x106b, 0x2001), options);
    let queue = bench.run(bench.controller.queue(Some(2))).expect("a queue");
    let queue = Rc::new(RefCell::new(queue));
    bench.add(queue.clone());
    bench.machine.model().interrupts.take(0);
    let disk = bench.namespace(1).expect("a namespace");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let read = disk.read(0, 8).expect("a read");
    let done = bench.run(execute(queue, Request::with_data(read, data)));
    assert_eq!(done.result, Ok(0));
    let mut model = bench.machine.model();
    assert!(model.interrupts.take(0) && !model.interrupts.take(2));
}

#[test]
fn a_controller_that_bears_one_command_gets_one() {
    let bench = Bench::new(config(0x106b, 0x2001));
    let disk = bench.namespace(1).expect("a namespace");
    let requests: Vec<_> = (0..20)
        .map(|number| {
            let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
            let read = disk.read(number * 8, 8).expect("a read");
            execute(bench.queue.clone(), Request::with_data(read, data))
        })
        .collect();
    let done = Rc::new(RefCell::new(0));
    let most = Rc::new(RefCell::new(0));
    for request in requests {
        let (done, most) = (done.clone(), most.clone());
        let queue = bench.queue.clone();
        bench.executor.spawn(async move {
            assert_eq!(request.await.result, Ok(0));
            *done.borrow_mut() += 1;
            let outstanding = queue.borrow().outstanding();
            let mut most = most.borrow_mut();
            *most = outstanding.max(*most);
        });
    }
    bench.sleep(1_000_000);
    assert_eq!(*done.borrow(), 20);
    assert!(*most.borrow() <= 1);
    assert_eq!(bench.queue.borrow().depth(), 1);
}

/// A list of addresses is a whole page for every controller, and so for one that needs less.
#[test]
fn lists_are_aligned_for_whoever_needs_it() {
    for (vendor, device) in [(0x1217, 0x8760), (0, 0)] {
        let bench = Bench::new(config(vendor, device));
        let disk = bench.namespace(1).expect("a namespace");
        let data = Data::owned(&bench.machine, 5, Access::FROM_DEVICE);
        let read = disk.read(0, 40).expect("a read");
        bench.commands();
        let done = bench.execute(Request::with_data(read, data));
        assert_eq!(done.result, Ok(0));
        let lists: Vec<u64> = {
            let log = &bench.machine.model().log;
            log.iter().map(|entry| entry.prp2).collect()
        };
        assert_eq!(lists.len(), 1);
        assert!(lists[0] != 0 && lists[0].is_multiple_of(4096));
    }
}
