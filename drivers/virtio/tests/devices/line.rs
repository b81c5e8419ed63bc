//! Devices that have a line in place of vectors: all queues and all who wait for answers are told by it.

use crate::model::world::{World, notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::Access;
use virtio::pmem::{self, Module};
use virtio::rng::{self, Source};

/// Microseconds of the pause of somebody who is called.
const LAST_RESORT: u64 = 250_000;

/// The queue has its turn only when the line was heard.
#[test]
fn a_queue_that_sleeps_is_told_of_by_the_line() {
    let mut world = World::new(|ram| {
        let mut device = Device::new(ram, 1000);
        device.calls = Some(0);
        device
    });
    assert!(world.queue.0.borrow_mut().turn().interrupts);
    world.sleeps = true;
    world.queue.0.borrow_mut().arm();
    let start = world.machine.clock.get();
    for block in 0..100 {
        world.check_read(block, &[512]);
    }
    assert!(world.machine.clock.get() - start < LAST_RESORT);
    assert!(world.device().calls > Some(90));
    world.end();
}

fn module(has_line: bool) -> (Machine, Module<Machine>) {
    let machine = Machine::new(|ram| {
        let mut device = Device::module(ram, 5 << 32, 64 << 20);
        device.calls = has_line.then_some(0);
        device
    });
    let options = pmem::Options::default();
    let module = Module::new(machine.clone(), notify(), None, options);
    let module = run_alone(&machine, module).expect("a good device");
    (machine, module)
}

/// An answer that takes its time costs looks at the clock, or none.
#[test]
fn who_waits_for_an_answer_is_called_and_does_not_look() {
    let reads_while_waiting = |has_line| {
        let (machine, module) = module(has_line);
        let mut flush = pin!(module.flush());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(flush.as_mut().poll(&mut cx).is_pending());
        let before = machine.device.borrow().register_reads;
        // So long the device does nothing.
        while machine.clock.get() < LAST_RESORT - 10_000 {
            let due = machine.timers.borrow().iter().map(|(at, _)| *at).min();
            let due = due.expect("somebody waits");
            machine.clock.set(due.min(LAST_RESORT - 10_000));
            machine.timers.borrow_mut().retain(|(at, _)| *at > due);
            assert!(flush.as_mut().poll(&mut cx).is_pending());
        }
        let reads = machine.device.borrow().register_reads - before;
        let start = machine.clock.get();
        assert_eq!(run_alone(&machine, flush), Ok(()));
        (reads, machine.clock.get() - start)
    };
    let (reads, _) = reads_while_waiting(false);
    assert!(reads > 20, "{reads}");
    assert_eq!(reads_while_waiting(true), (0, 0), "at once, and not before");
}

/// A line that is held up by somebody else tells of nothing.
#[test]
fn an_answer_without_a_call_is_found_by_the_clock() {
    let (machine, module) = module(true);
    machine.device.borrow_mut().mischief = Some((Mischief::Mute, 1));
    assert_eq!(run_alone(&machine, module.flush()), Ok(()));
    assert_eq!(machine.device.borrow().calls, Some(0));
    assert_eq!(machine.clock.get(), LAST_RESORT);
    // The next one is told of again.
    assert_eq!(run_alone(&machine, module.flush()), Ok(()));
    assert_eq!(machine.clock.get(), LAST_RESORT);
    assert_eq!(machine.device.borrow().calls, Some(1));
}

#[test]
fn a_source_calls_who_waits_for_bytes() {
    let machine = Machine::new(|ram| {
        let mut device = Device::source(ram);
        device.calls = Some(0);
        device
    });
    let source = Source::<Machine, Data>::new(machine.clone(), notify(), rng::Options::default());
    let source = run_alone(&machine, source).expect("a good device");
    for number in 1..20 {
        let data = Data::new(&machine.ram, &[64], Access::FromDevice);
        let filled = run_alone(&machine, source.fill(data)).expect("it fills");
        assert_eq!(filled.bytes, 64);
        assert_eq!(machine.device.borrow().calls, Some(number));
    }
    assert_eq!(machine.clock.get(), 0, "nobody has looked at the clock");
}
