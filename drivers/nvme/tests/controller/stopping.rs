//! Devices that nobody can keep from memory: what they may still use stays theirs.

use crate::model::{Bench, Config, Data, Fate, Mischief, Then};
use nvme::admin::LogPage;
use nvme::{Access, Error, Failure, Options, Request, Waiting, execute};
use std::cell::RefCell;
use std::rc::Rc;

fn bench() -> Bench {
    let mut config = Config::with_disk(4096, 12).mdts(1).mqes(15);
    config.per_tick = 2;
    Bench::with_options(config, Options::default())
}

/// Pitfall 20: nobody can say whether the device has stopped. It has not, and its writes
/// find the memory that they were meant for.
#[test]
fn memory_of_a_device_that_cannot_be_stopped_is_never_used_again() {
    let bench = bench();
    let before = bench.machine.model().memory.mapped_pages();
    bench.machine.model().ignores_stop = true;
    bench.machine.model().mischief = Some((0, Mischief::Runaway));
    let namespace = bench.namespace(1).expect("it is there");
    let operation = namespace.read(0, 4).expect("a read");
    let data = Data::owned(&bench.machine, 4, Access::FROM_DEVICE);
    let done = bench.execute(Request::with_data(operation, data));
    assert_eq!(done.result, Err(Error::Lost(Failure::Timeout(Waiting::Io))));
    assert!(done.data.is_none());
    assert_eq!(bench.controller.lost(), 1);
    let model = bench.machine.model();
    assert_eq!(model.memory.mapped_pages(), before + 4);
    drop(model);
    for _ in 0..1000 {
        bench.machine.tick();
    }
    assert_eq!(bench.machine.model().memory.faults, []);
    // Also when the driver goes: its rings stay where they are.
    let machine = bench.machine.clone();
    machine.model().forgives = true;
    drop(bench);
    assert!(machine.model().memory.mapped_pages() > 4);
    for _ in 0..1000 {
        machine.tick();
    }
    assert_eq!(machine.model().memory.faults, []);
}

/// Registers read as zeros, like those of a controller that has been disabled. But this one is there, has the
/// command, and nobody can keep it from memory.
#[test]
fn a_device_whose_registers_are_out_of_reach_is_not_believed_to_have_stopped() {
    const READ: u8 = 0x02;
    let bench = bench();
    let fate = Fate::of_next(READ, Then::Hold);
    bench.machine.model().fates.push(fate);
    let namespace = bench.namespace(1).expect("it is there");
    let operation = namespace.read(0, 1).expect("a read");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let request = Request::with_data(operation, data);
    let (queue, done) = (bench.queue.clone(), Rc::new(RefCell::new(None)));
    let out = done.clone();
    bench.executor.spawn(async move {
        *out.borrow_mut() = Some(execute(queue, request).await);
    });
    bench.sleep(10_000);
    bench.machine.model().ignores_stop = true;
    bench.machine.model().is_out_of_reach = true;
    bench.sleep(3_000_000);
    let done = done.take().expect("it has ended");
    assert_eq!(done.result, Err(Error::Lost(Failure::NotReady)));
    assert!(done.data.is_none());
    bench.machine.model().let_go();
    for _ in 0..1000 {
        bench.machine.tick();
    }
    assert_eq!(bench.machine.model().memory.faults, []);
    assert_eq!(bench.controller.lost(), 1);
    bench.machine.model().forgives = true;
}

/// A shutdown is confirmed, but nobody can keep the device from memory. It goes on with an admin
/// command that it still has, and finds the page that it was given.
#[test]
fn a_shutdown_without_a_cut_keeps_the_memory_of_admin_commands() {
    const GET_LOG_PAGE: u8 = 0x02;
    let bench = bench();
    let fate = Fate::of_next_admin(GET_LOG_PAGE, Then::Hold);
    bench.machine.model().fates.push(fate);
    let controller = bench.controller.clone();
    bench.executor.spawn(async move {
        let page = controller.log_page(LogPage::Health, u32::MAX, 512).await;
        let expected = Err(Error::Failed(Failure::ShutDown));
        assert_eq!(page.map(|_| ()), expected);
    });
    bench.sleep(10_000);
    bench.machine.model().ignores_stop = true;
    assert_eq!(bench.shutdown(), Ok(()));
    bench.sleep(10_000);
    bench.machine.model().let_go();
    for _ in 0..1000 {
        bench.machine.tick();
    }
    assert_eq!(bench.machine.model().memory.faults, []);
    assert_eq!(bench.controller.lost(), 1);
    bench.machine.model().forgives = true;
}

/// Many ask for a reset of a device that never stops. Those who come while one is tried wait for
/// the next one, and not each for an own one.
#[test]
fn many_who_ask_for_a_reset_wait_for_two_at_most() {
    let bench = bench();
    bench.machine.model().never_stops = true;
    bench.machine.model().forgives = true;
    let failed = Rc::new(RefCell::new(0));
    for _ in 0..30 {
        let (controller, failed) = (bench.controller.clone(), failed.clone());
        bench.executor.spawn(async move {
            assert!(controller.reset().await.is_err());
            *failed.borrow_mut() += 1;
        });
    }
    let stops = bench.machine.model().stops;
    while *failed.borrow() < 30 {
        bench.sleep(1000);
    }
    // The device is stopped once more than it is started.
    let stops = bench.machine.model().stops - stops;
    assert_eq!(stops, 2 * (1 + usize::from(Options::default().resets)));
}
