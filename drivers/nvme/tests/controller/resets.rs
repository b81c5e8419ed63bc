//! Resets that somebody asks for, and how they end.

use crate::model::{Bench, Data, Mischief, PAGE};
use crate::recovery::{assert_all_back, assert_read, bench, config, pages, read};
use nvme::admin::LogPage;
use nvme::{Access, Controller, Error, Failure, Options, Request, Waiting, execute};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A core that is busy does not hold up the others, and finds its requests again.
#[test]
fn a_busy_core_does_not_hold_up_a_reset() {
    let mut options = Options::default();
    options.queues = 2;
    let bench = Bench::with_options(config(), options);
    let other = bench.run(bench.controller.queue::<Data>(None));
    let other = Rc::new(RefCell::new(other.expect("a second queue")));
    assert_eq!(bench.controller.queues(), 2);
    bench.machine.model().config.latency = 100;
    let mut request = read(&bench, 5, 3);
    let ticket = other.borrow_mut().submit(&mut request, Waker::noop());
    let ticket = ticket.expect("there is room");
    other.borrow_mut().turn();
    // Nobody calls the other queue from here on.
    bench.reset().expect("it comes back");
    bench.machine.model().config.latency = 0;
    assert_read(&bench, 77, 9);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(other.borrow_mut().poll(&ticket, &mut cx).is_pending());
    // The core has time again.
    bench.add(other.clone());
    let done = bench.run(std::future::poll_fn(|cx| {
        other.borrow_mut().poll(&ticket, cx)
    }));
    assert_eq!(done.result.map(|_| ()), Ok(()));
    let data = done.data.expect("the memory comes back");
    assert!(bench.contents(data.list()) == bench.disk(1, 5, 3));
}

/// A reset that the caller asks for, with everything in flight.
#[test]
fn a_reset_under_load_loses_nothing() {
    let bench = bench(config());
    let before = pages(&bench);
    bench.machine.model().config.latency = 7;
    let over = Rc::new(RefCell::new(0));
    for task in 0..20_u64 {
        let queue = bench.queue.clone();
        let (machine, over) = (bench.machine.clone(), over.clone());
        let namespace = bench.namespace(1).expect("it is there");
        bench.executor.spawn(async move {
            for round in 0..30 {
                let operation = namespace.read(task * 100 + round, 5).expect("blocks");
                let data = Data::owned(&machine, 5, Access::FROM_DEVICE);
                let request = Request::with_data(operation, data);
                let done = execute(queue.clone(), request).await;
                assert_eq!(done.result.map(|_| ()), Ok(()));
                let data = done.data.expect("the memory comes back");
                let model = machine.model();
                let expected = model.contents(1, task * 100 + round, 5, 12);
                assert!(model.memory.contents(data.list()) == expected, "wrong data");
            }
            *over.borrow_mut() += 1;
        });
    }
    for _ in 0..3 {
        bench.sleep(5000);
        bench.reset().expect("it comes back");
    }
    bench.sleep(60_000_000);
    assert_eq!(*over.borrow(), 20);
    assert_all_back(&bench, before);
}

/// The caller of a reset is told how it ended, and a controller that does not come back is
/// tried a few times.
#[test]
fn a_controller_that_does_not_come_back_is_dead_and_not_tried_for_ever() {
    let bench = bench(config());
    bench.machine.model().never_ready = true;
    bench.machine.model().mischief = Some((0, Mischief::WrongCid(1)));
    let done = bench.execute(read(&bench, 0, 1));
    let timeout = Failure::Timeout(Waiting::Enable);
    assert_eq!(done.result, Err(Error::Failed(timeout)));
    drop(done);
    assert_eq!(bench.controller.failure(), Some(timeout));
    assert!(!bench.machine.model().memory.dma);
    bench.machine.model().repair();
    bench.reset().expect("it comes back");
    assert_read(&bench, 0, 9);
}

/// A future that resets the controller is dropped half-way: the service takes over.
#[test]
fn a_reset_that_is_dropped_is_finished_by_the_service() {
    let bench = bench(config());
    let controller: Controller<_> = bench.controller.clone();
    let mut reset = Box::pin(async move { controller.reset().await });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(reset.as_mut().poll(&mut cx), Poll::Pending));
    drop(reset);
    assert_read(&bench, 0, 9);
    assert_eq!(bench.controller.failure(), None);
}

/// Requests have all memory, and keep it until the reset is over. The driver has a page of its
/// own for that, and has it again the next time.
#[test]
fn a_reset_needs_no_memory_that_requests_have() {
    let bench = bench(config());
    let before = pages(&bench);
    bench.machine.model().config.latency = 1_000_000;
    let namespace = bench.namespace(1).expect("it is there");
    let ended = Rc::new(RefCell::new(0));
    let mut started = 0;
    for pages in [16, 1] {
        let pieces = [(0, pages * PAGE)];
        let access = Access::FROM_DEVICE;
        while let Some(data) = Data::scattered(&bench.machine, pages as usize, &pieces, access) {
            let operation = namespace.read(started, pages).expect("blocks");
            let (queue, ended) = (bench.queue.clone(), ended.clone());
            bench.executor.spawn(async move {
                let done = execute(queue, Request::with_data(operation, data)).await;
                assert_eq!(done.result.map(|_| ()), Ok(()));
                *ended.borrow_mut() += 1;
            });
            started += 1;
        }
    }
    for reset in 1..=3 {
        bench.sleep(1000);
        // It is for resets, and for nobody else.
        let page = bench.controller.log_page(LogPage::Health, u32::MAX, 512);
        assert_eq!(bench.run(page), Err(Error::OutOfMemory));
        bench.machine.model().config.latency = 0;
        assert_eq!(bench.reset(), Ok(()), "reset {reset}");
        bench.machine.model().config.latency = 1_000_000;
        assert_eq!(*ended.borrow(), 0, "memory has come back too early");
    }
    bench.machine.model().config.latency = 0;
    bench.reset().expect("it comes back");
    bench.sleep(10_000_000);
    assert_eq!(*ended.borrow(), started);
    assert_all_back(&bench, before);
}
