//! Trouble while requests are on their way: they go on, or end, and their memory is nobody
//! else's before the device has stopped.

use crate::model::{Bench, Config, Data, Mischief, status};
use nvme::{Access, Error, Failure, Options, Request, Violation, Waiting, execute};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(crate) fn config() -> Config {
    let mut config = Config::with_disk(4096, 12).mdts(1).mqes(15);
    config.per_tick = 2;
    config
}

pub(crate) fn bench(config: Config) -> Bench {
    Bench::with_options(config, Options::default())
}

/// A read of `pages` blocks into memory of its own.
pub(crate) fn read(bench: &Bench, block: u64, pages: usize) -> Request<Data> {
    let namespace = bench.namespace(1).expect("it is there");
    let operation = namespace.read(block, pages as u64).expect("blocks");
    let data = Data::owned(&bench.machine, pages, Access::FROM_DEVICE);
    Request::with_data(operation, data)
}

pub(crate) fn assert_read(bench: &Bench, block: u64, pages: usize) {
    let done = bench.execute(read(bench, block, pages));
    assert_eq!(done.result.map(|_| ()), Ok(()));
    let data = done.data.expect("the memory comes back");
    let expected = bench.disk(1, block, pages as u64);
    assert!(bench.contents(data.list()) == expected, "wrong data");
}

/// Nothing is left in the queue, and all memory but the driver's own is free.
pub(crate) fn assert_all_back(bench: &Bench, pages: usize) {
    assert!(bench.queue.borrow().is_idle());
    assert_eq!(bench.machine.model().memory.mapped_pages(), pages);
    bench.check();
}

pub(crate) fn pages(bench: &Bench) -> usize {
    bench.sleep(1000);
    bench.machine.model().memory.mapped_pages()
}

/// Pitfall 21: the device goes on writing after the future is gone.
#[test]
fn a_dropped_future_leaves_its_memory_to_the_device() {
    for sent in [1, 5, 64] {
        let bench = bench(config());
        let before = pages(&bench);
        bench.machine.model().config.latency = 50;
        let mut future = Box::pin(execute(bench.queue.clone(), read(&bench, 0, sent)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        bench.queue.borrow_mut().turn();
        drop(future);
        // The device has the commands, and writes into the memory later: no fault.
        assert_eq!(bench.machine.model().memory.mapped_pages(), before + sent);
        assert!(!bench.queue.borrow().is_idle());
        bench.sleep(100_000);
        assert_all_back(&bench, before);
        // Only what was sent before the drop was done.
        assert!(bench.commands().len() <= 15);
        assert_read(&bench, 7, 3);
    }
}

#[test]
fn a_future_that_is_dropped_before_it_is_polled_sends_nothing() {
    let bench = bench(config());
    let before = pages(&bench);
    drop(execute(bench.queue.clone(), read(&bench, 0, 3)));
    bench.sleep(1000);
    assert_all_back(&bench, before);
    assert_eq!(bench.commands(), []);
}

/// Whatever breaks, the controller is reset, and the request is done all the same.
#[test]
fn requests_survive_a_reset() {
    for mischief in [
        Mischief::WrongCid(0x80),
        Mischief::Duplicate,
        Mischief::Replay,
        Mischief::SubmissionHead(999),
        Mischief::StuckHead,
        Mischief::WrongQueue(7),
        Mischief::OldPhase,
        Mischief::Silence,
        Mischief::Fatal,
        Mischief::NotReady,
        Mischief::Noise,
    ] {
        let bench = bench(config());
        let before = pages(&bench);
        bench.machine.model().heals_by_reset = true;
        bench.machine.model().mischief = Some((5, mischief));
        assert_read(&bench, 3, 200);
        assert_all_back(&bench, before);
        bench.sleep(3_000_000);
        assert_eq!(bench.controller.failure(), None, "{mischief:?}");
        assert_eq!(
            (bench.controller.failures(), bench.controller.resets()),
            (1, 1),
            "{mischief:?}"
        );
        assert_eq!(bench.queue.borrow().counters().resets, 2);
        assert_read(&bench, 9, 40);
    }
}

/// Each time that it is sent again it goes wrong again.
#[test]
fn the_retry_budget_ends() {
    let mut options = Options::default();
    options.retries = 2;
    let bench = Bench::with_options(config(), options);
    let before = pages(&bench);
    {
        let mut model = bench.machine.model();
        model.heals_by_reset = true;
        model.deaf_to_block = Some(17);
    }
    let done = bench.execute(read(&bench, 16, 2));
    assert_eq!(
        done.result,
        Err(Error::Failed(Failure::Timeout(Waiting::Io)))
    );
    drop(done);
    assert_all_back(&bench, before);
    // Sent once, and twice again.
    let sent = bench.commands();
    assert_eq!(sent, [(2, 1, 16, 2); 3]);
    bench.sleep(3_000_000);
    assert_eq!(
        (bench.controller.failures(), bench.controller.resets()),
        (3, 3)
    );
    assert_read(&bench, 100, 8);
}

/// Pitfall 20: the completion is there, and nobody has said so.
#[test]
fn a_lost_interrupt_costs_time_and_nothing_else() {
    let bench = bench(config());
    let before = pages(&bench);
    // From now on the queue is looked at only by who attends to it.
    bench.executor.queues.borrow_mut().clear();
    let request = read(&bench, 0, 1);
    let queue = bench.queue.clone();
    let done = bench.run(async move {
        let mut future = Box::pin(execute(queue.clone(), request));
        let mut is_rung = false;
        std::future::poll_fn(move |cx| {
            let poll = future.as_mut().poll(cx);
            if !std::mem::replace(&mut is_rung, true) {
                queue.borrow_mut().ring();
            }
            poll
        })
        .await
    });
    assert_eq!(done.result.map(|_| ()), Ok(()));
    drop(done);
    assert_all_back(&bench, before);
    assert_eq!(
        (bench.controller.failures(), bench.controller.resets()),
        (0, 0)
    );
    assert_eq!(bench.counters().aborts, 0);
}

/// Whoever does nothing but scan sees an answer that is there, and blames nobody.
#[test]
fn a_scan_looks_for_answers_first() {
    let bench = bench(config());
    let before = pages(&bench);
    let mut request = read(&bench, 0, 1);
    let mut queue = bench.queue.borrow_mut();
    let ticket = queue.submit(&mut request, Waker::noop()).expect("room");
    queue.ring();
    bench.machine.model().pass(1000);
    assert_eq!(queue.scan().completed, 1);
    let mut cx = Context::from_waker(Waker::noop());
    let done = queue.poll(&ticket, &mut cx).map(|done| done.result);
    assert_eq!(done, Poll::Ready(Ok(0)));
    drop(queue);
    assert_all_back(&bench, before);
}

/// Pitfall 19: the device leaves the machine. Both ways of reading nothing.
#[test]
fn a_device_that_is_gone_ends_all_requests_and_refuses_later_ones() {
    for mischief in [Mischief::Gone, Mischief::Vanished] {
        let bench = bench(config());
        let before = pages(&bench);
        bench.machine.model().mischief = Some((2, mischief));
        let started = bench.machine.model().clock;
        let done = bench.execute(read(&bench, 0, 64));
        assert_eq!(done.result, Err(Error::Failed(Failure::Gone)));
        assert!(done.data.is_some(), "a device that is gone writes nothing");
        drop(done);
        let waited = bench.machine.model().clock - started;
        assert!(waited < 5_000_000, "{waited}");
        let done = bench.execute(read(&bench, 0, 1));
        assert_eq!(done.result, Err(Error::Dead(Failure::Gone)));
        drop(done);
        assert_all_back(&bench, before);
        assert_eq!(bench.controller.failure(), Some(Failure::Gone));
        let (reads, doorbells) = {
            let model = bench.machine.model();
            (model.reads, model.doorbells)
        };
        bench.sleep(60_000_000);
        let model = bench.machine.model();
        assert_eq!((model.reads, model.doorbells), (reads, doorbells));
    }
}

/// Dropping a queue in the middle of everything cuts the device off first.
#[test]
fn a_queue_that_is_dropped_takes_its_memory_from_the_device() {
    let bench = bench(config());
    bench.machine.model().config.latency = 1000;
    let mut queue = bench
        .run(bench.controller.queue::<Data>(None))
        .map_err(|error| assert_eq!(error, Error::Full))
        .err();
    assert_eq!(queue.take(), Some(()), "one queue was asked for");
    let mut request = read(&bench, 0, 5);
    let ticket = bench.queue.borrow_mut().submit(&mut request, Waker::noop());
    let ticket = ticket.expect("there is room");
    bench.queue.borrow_mut().turn();
    bench.queue.borrow_mut().abandon(ticket);
    let machine = bench.machine.clone();
    machine.model().forgives = true;
    drop(bench);
    assert!(!machine.model().memory.dma);
    assert_eq!(machine.model().memory.mapped_pages(), 0);
    for _ in 0..2000 {
        machine.tick();
    }
    assert_eq!(machine.model().memory.faults, []);
}

/// As above, and the controller stays. Its device is cut off before the queue's memory goes.
#[test]
fn a_queue_that_is_dropped_alone_cuts_the_device_off() {
    let mut config = config();
    config.granted = (64, 64);
    let mut options = Options::default();
    options.queues = 2;
    let bench = Bench::with_options(config, options);
    bench.machine.model().config.latency = 1000;
    let queue = bench.run(bench.controller.queue::<Data>(None));
    let mut queue = queue.expect("two queues were asked for");
    let ticket = queue.submit(&mut read(&bench, 0, 5), Waker::noop());
    let ticket = ticket.expect("there is room");
    queue.turn();
    queue.abandon(ticket);
    assert!(bench.machine.model().memory.dma);
    drop(queue);
    assert!(!bench.machine.model().memory.dma);
    bench.machine.model().pass(2000);
    assert_eq!(bench.machine.model().memory.faults, []);
    bench.machine.model().forgives = true;
}

/// Errors that may pass are tried again; others are not.
#[test]
fn statuses_are_retried_only_where_the_controller_allows_it() {
    let internal = status(0, 6);
    for (bad, tries) in [
        (internal, 4),
        (internal.with_dnr(true), 1),
        (status(2, 0x81), 4),
        (status(2, 0x85), 1),
        (status(0, 2), 1),
        (status(0, 0x80), 1),
    ] {
        let bench = bench(config());
        bench.machine.model().bad_blocks.insert(5, bad);
        let done = bench.execute(read(&bench, 5, 1));
        match done.result {
            Err(Error::Command(error)) => assert_eq!(error.status, bad),
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.commands().len(), tries, "{bad}");
        assert_eq!(bench.counters().retries, tries as u64 - 1);
    }
}

#[test]
fn an_error_that_passes_is_not_seen() {
    let bench = bench(config());
    bench.machine.model().bad_blocks.insert(5, status(0, 6));
    let machine = bench.machine.clone();
    // Healed at the second look.
    bench.executor.spawn(async move {
        use nvme::Platform;
        machine.pause(150).await;
        machine.model().bad_blocks.clear();
    });
    assert_read(&bench, 0, 30);
    assert!(bench.counters().retries > 0);
}

/// Pitfall 9: a full queue gives the request back, and says when there is room.
#[test]
fn a_full_queue_gives_the_request_back_and_wakes_who_waits() {
    let bench = bench(config());
    let before = pages(&bench);
    bench.machine.model().config.latency = 20;
    let mut tickets = Vec::new();
    let mut queue = bench.queue.borrow_mut();
    for block in 0..15 {
        let mut request = read(&bench, block, 1);
        let ticket = queue.submit(&mut request, Waker::noop());
        tickets.push(ticket.expect("there is room"));
    }
    let mut one_more = read(&bench, 99, 1);
    let refused = queue.submit(&mut one_more, Waker::noop());
    assert_eq!(refused, Err(Error::Full), "15 slots");
    assert!(one_more.data.is_some(), "it is as it was");
    drop(queue);
    // A future waits for room by itself. The results are taken in the meantime.
    let queue = bench.queue.clone();
    bench.executor.spawn(async move {
        for ticket in tickets {
            let done = std::future::poll_fn(|cx| queue.borrow_mut().poll(&ticket, cx)).await;
            assert!(done.result.is_ok());
        }
    });
    let done = bench.execute(one_more);
    assert!(done.result.is_ok());
    drop(done);
    assert_all_back(&bench, before);
}

/// Long requests take turns with each other and with short ones.
#[test]
fn a_short_request_is_not_stuck_behind_a_long_one() {
    let bench = bench(config());
    bench.machine.model().config.latency = 5;
    let long = Rc::new(RefCell::new(false));
    let is_over = long.clone();
    let (queue, request) = (bench.queue.clone(), read(&bench, 0, 1000));
    bench.executor.spawn(async move {
        let done = execute(queue, request).await;
        assert!(done.result.is_ok());
        *is_over.borrow_mut() = true;
    });
    bench.sleep(200);
    assert_read(&bench, 2000, 2);
    assert!(!*long.borrow());
    bench.sleep(10_000_000);
    assert!(*long.borrow());
}

#[test]
fn a_violation_is_named() {
    let mut options = Options::default();
    options.retries = 0;
    let bench = Bench::with_options(config(), options);
    bench.machine.model().heals_by_reset = true;
    bench.machine.model().mischief = Some((0, Mischief::WrongQueue(9)));
    let done = bench.execute(read(&bench, 0, 1));
    let violation = Violation::WrongQueue { sq_id: 9 };
    assert_eq!(
        done.result,
        Err(Error::Failed(Failure::Protocol(violation)))
    );
    drop(done);
    bench.sleep(1_000_000);
    assert_read(&bench, 0, 1);
}
