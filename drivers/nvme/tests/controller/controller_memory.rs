//! Submission queues in the controller's own memory.

use crate::model::{Bench, Config, ControllerMemory, Data, Fate, Machine, Then, list, status};
use nvme::{Access, Options, Request, execute};
use std::cell::RefCell;
use std::rc::Rc;

/// Where the model's machine shows that memory on the bus.
const MEMORY: std::ops::Range<u64> = 0xfe10_0000..0xfe10_0000 + 0x1_0000;

/// Submission queues, and data to the controller; nothing is promised of reads.
const USES: u8 = 0x11;

fn config(uses: u8, bytes: usize) -> Config {
    let mut config = Config::with_everything().mqes(7);
    config.cap.set_cmbs(true);
    config.controller_memory = Some(ControllerMemory {
        offset: 0x10_0000,
        bytes,
        uses,
    });
    config
}

fn options() -> Options {
    let mut options = Options::default();
    options.controller_memory = true;
    options.queues = 2;
    options
}

/// Whether the submission ring of a queue is in the controller's memory. The completion ring
/// never is.
fn is_remote(bench: &Bench, queue: u16) -> bool {
    let rings = bench.machine.model().rings_of(queue);
    let (submission, completion) = rings.expect("the queue exists");
    assert!(!MEMORY.contains(&completion));
    MEMORY.contains(&submission)
}

/// Reads often enough for each ring to wrap.
fn assert_works(bench: &Bench) {
    let bus = bench.pages(1);
    let memory = list(&[(bus, 4096)]);
    for block in 0..40 {
        bench.read(1, block, &memory).expect("it reads");
        assert!(bench.contents(&memory) == bench.disk(1, block, 8));
    }
    bench.machine.model().memory.unmap(bus, 1);
    bench.check();
}

#[test]
fn commands_are_written_to_the_controller() {
    let bench = Bench::with_options(config(USES, 0x1_0000), options());
    assert!(is_remote(&bench, 1));
    // A shadow could be seen before the command.
    assert!(!bench.machine.model().shadow.is_on());
    assert_works(&bench);
    for _ in 0..3 {
        bench.reset().expect("it comes back");
        assert!(is_remote(&bench, 1));
        assert_works(&bench);
    }
    bench.shutdown().expect("it shuts down");
}

#[test]
fn queues_without_a_place_there_lie_in_host_memory() {
    let bench = Bench::with_options(config(USES, 0x1000), options());
    let second = bench.run(bench.controller.queue(None)).expect("a queue");
    assert!(is_remote(&bench, 1) && !is_remote(&bench, 2));
    let second = Rc::new(RefCell::new(second));
    bench.add(second.clone());
    let disk = bench.namespace(1).expect("it is there");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let read = Request::with_data(disk.read(0, 8).expect("blocks"), data);
    assert_eq!(bench.run(execute(second, read)).result, Ok(0));
    assert_works(&bench);
}

#[test]
fn controller_memory_is_used_only_where_it_can_be() {
    let without = {
        let mut config = config(USES, 0x1_0000);
        config.cap.set_cmbs(false);
        config.controller_memory = None;
        config
    };
    for (config, options) in [
        (config(USES, 0x1_0000), Options::default()),
        (config(0x1e, 0x1_0000), options()),
        (without, options()),
    ] {
        let bench = Bench::with_options(config, options);
        assert!(!is_remote(&bench, 1));
        assert!(bench.machine.model().shadow.is_on());
        assert_works(&bench);
    }
}

#[test]
fn controller_memory_that_the_machine_cannot_reach_is_left_alone() {
    let machine = Machine::new(config(USES, 0x1_0000));
    machine.model().hides_controller_memory = true;
    let bench = Bench::start_with(machine, options()).expect("it comes up");
    assert!(!is_remote(&bench, 1));
    assert_works(&bench);
}

#[test]
fn a_controller_that_refuses_the_place_gets_a_queue_in_host_memory() {
    const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
    let machine = Machine::new(config(USES, 0x1_0000));
    let invalid_use = Then::End(status(0, 0x12));
    let fate = Fate::of_next_admin(CREATE_SUBMISSION_QUEUE, invalid_use);
    machine.model().fates.push(fate);
    let bench = Bench::start_with(machine, options()).expect("it comes up");
    assert!(!is_remote(&bench, 1));
    assert_works(&bench);
}
