//! Several queue pairs: how many, with which vectors, side by side.

use crate::model::{Bench, Config, Data, Fate, Mischief, Then};
use nvme::{Access, Error, Options, Request, execute};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

fn bench(granted: (u16, u16), wanted: u16) -> Bench {
    let mut config = Config::with_disk(4096, 12);
    config.granted = granted;
    let mut options = Options::default();
    options.queues = wanted;
    Bench::with_options(config, options)
}

#[test]
fn queues_are_granted_and_no_more() {
    assert_eq!(bench((3, 5), 8).controller.queues(), 3);
    assert_eq!(bench((5, 2), 8).controller.queues(), 2);
    assert_eq!(bench((64, 64), 4).controller.queues(), 4);
    let bench = bench((3, 3), 8);
    // One is the bench's.
    let second = bench.run(bench.controller.queue::<Data>(None));
    let third = bench.run(bench.controller.queue::<Data>(None));
    let fourth = bench.run(bench.controller.queue::<Data>(None));
    assert!(second.is_ok() && third.is_ok());
    assert!(matches!(fourth, Err(Error::Full)));
}

#[test]
fn queues_work_side_by_side() {
    let bench = bench((64, 64), 4);
    let disk = bench.namespace(1).expect("a namespace");
    let mut queues = vec![bench.queue.clone()];
    for vector in 1..4 {
        let queue = bench.run(bench.controller.queue(Some(vector)));
        let queue = Rc::new(RefCell::new(queue.expect("a queue")));
        bench.add(queue.clone());
        queues.push(queue);
    }
    let done = Rc::new(RefCell::new(Vec::new()));
    for (index, queue) in queues.iter().enumerate() {
        let block = index as u64 * 100;
        let data = Data::owned(&bench.machine, 50, Access::FROM_DEVICE);
        let read = disk.read(block, 50).expect("a read");
        let future = execute(queue.clone(), Request::with_data(read, data));
        let done = done.clone();
        bench.executor.spawn(async move {
            let result = future.await;
            done.borrow_mut().push((block, result));
        });
    }
    bench.sleep(100_000);
    let done = done.take();
    assert_eq!(done.len(), 4);
    for (block, done) in done {
        assert_eq!(done.result, Ok(0));
        let data = done.data.expect("the memory comes back");
        assert!(bench.contents(data.list()) == bench.disk(1, block, 50));
    }
    drop(queues);
}

/// As many commands as the queue takes are answered before anybody looks, and all answers fit.
#[test]
fn there_is_room_for_the_answers_of_all_that_is_outstanding() {
    for mqes in [1, 2, 7] {
        let bench = Bench::with_options(Config::with_disk(4096, 12).mqes(mqes), Options::default());
        let disk = bench.namespace(1).expect("a namespace");
        // Requests for events wait in the admin queue.
        let waiting = bench.machine.model().outstanding();
        // One round fills the rings from their start, the others from somewhere behind it.
        for _ in 0..3 {
            let mut queue = bench.queue.borrow_mut();
            let mut tickets = Vec::new();
            loop {
                let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
                let read = disk.read(7, 1).expect("a read");
                match queue.submit(&mut Request::with_data(read, data), Waker::noop()) {
                    Ok(ticket) => tickets.push(ticket),
                    Err(error) => break assert_eq!(error, Error::Full),
                }
            }
            assert_eq!(tickets.len(), usize::from(mqes));
            queue.ring();
            bench.machine.model().pass(1000);
            assert_eq!(bench.machine.model().outstanding(), waiting, "{mqes}");
            assert_eq!(queue.turn().completed, tickets.len());
            for ticket in tickets {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(queue.poll(&ticket, &mut cx).is_ready());
            }
        }
    }
}

#[test]
fn a_queue_has_its_vector() {
    let bench = bench((64, 64), 4);
    let disk = bench.namespace(1).expect("a namespace");
    let queue = bench.run(bench.controller.queue(Some(7))).expect("a queue");
    let queue = Rc::new(RefCell::new(queue));
    bench.add(queue.clone());
    assert!(!bench.machine.model().interrupts.take(7));
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let read = disk.read(0, 1).expect("a read");
    let done = bench.run(execute(queue, Request::with_data(read, data)));
    assert_eq!(done.result, Ok(0));
    assert!(bench.machine.model().interrupts.take(7));
    // The bench's own queue is polled.
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let done = bench.execute(Request::with_data(read, data));
    assert_eq!(done.result, Ok(0));
    assert!(!bench.machine.model().interrupts.take(7));
}

/// A controller that grants one queue serves all who share it, with more requests than it has
/// room for.
#[test]
fn many_share_a_queue_if_there_is_only_one() {
    let bench = bench((1, 1), 4);
    assert_eq!(bench.controller.queues(), 1);
    let disk = bench.namespace(1).expect("a namespace");
    let done = Rc::new(RefCell::new(0));
    for task in 0..200 {
        let queue = bench.queue.clone();
        let machine = bench.machine.clone();
        let done = done.clone();
        bench.executor.spawn(async move {
            for round in 0..5 {
                let block = (task * 5 + round) * 4;
                let data = Data::owned(&machine, 4, Access::FROM_DEVICE);
                let read = disk.read(block, 4).expect("a read");
                let result = execute(queue.clone(), Request::with_data(read, data)).await;
                assert_eq!(result.result, Ok(0));
                let data = result.data.expect("the memory comes back");
                let model = machine.model();
                assert!(model.memory.contents(data.list()) == model.contents(1, block, 4, 12));
                *done.borrow_mut() += 1;
            }
        });
    }
    bench.sleep(1_000_000);
    assert_eq!(*done.borrow(), 1000);
    assert_eq!(bench.controller.resets(), 0);
}

/// The doorbells of the register window are a limit as well.
#[test]
fn no_more_queues_are_asked_for_than_there_are_doorbells() {
    let mut config = Config::with_disk(4096, 12);
    config.window = Some(0x1000 + 4 * 2 * 3);
    let mut options = Options::default();
    options.queues = 8;
    let bench = Bench::with_options(config, options);
    assert_eq!(bench.controller.queues(), 2);
}

/// A reset comes while a queue is made, at any moment of that. The queue is one of those that
/// come back, and works; the controller is never told of rings that it has just forgotten.
#[test]
fn a_reset_overtakes_the_making_of_a_queue() {
    for moment in 0..12 {
        let bench = bench((64, 64), 3);
        bench.machine.model().config.latency = 3;
        let made = Rc::new(RefCell::new(None));
        let (controller, out) = (bench.controller.clone(), made.clone());
        bench.executor.spawn(async move {
            let queue = controller.queue::<Data>(None).await;
            *out.borrow_mut() = Some(queue);
        });
        for _ in 0..moment {
            bench.sleep(1);
        }
        assert_eq!(bench.reset(), Ok(()), "{moment}");
        bench.sleep(100_000);
        let queue = made.borrow_mut().take().expect("it has ended");
        let queue = Rc::new(RefCell::new(queue.expect("a queue")));
        bench.add(queue.clone());
        bench.sleep(3_000_000);
        assert!(!queue.borrow().is_held(), "{moment}");
        for queue in [queue, bench.queue.clone()] {
            let data = Data::owned(&bench.machine, 3, Access::FROM_DEVICE);
            let read = bench.namespace(1).expect("a namespace").read(7, 3);
            let request = Request::with_data(read.expect("a read"), data);
            let done = bench.run(execute(queue, request));
            assert_eq!(done.result, Ok(0), "{moment}");
        }
        assert_eq!(
            (bench.controller.failures(), bench.controller.resets()),
            (1, 1),
            "{moment}"
        );
    }
}

/// A reset has brought the first queue back, and is still busy with the second one, when the
/// first is lied to. Nobody else would reset the controller for it.
#[test]
fn a_lie_to_one_queue_while_a_reset_makes_the_next_is_not_forgotten() {
    const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
    let bench = bench((64, 64), 2);
    let second = bench.run(bench.controller.queue::<Data>(None));
    bench.add(Rc::new(RefCell::new(second.expect("a queue"))));
    {
        let mut model = bench.machine.model();
        model.fates.push(Fate::of_next(0x02, Then::Hold));
        model.fates.push(Fate {
            after: 1,
            ..Fate::of_next_admin(CREATE_SUBMISSION_QUEUE, Then::Delay(500_000))
        });
    }
    let data = Data::owned(&bench.machine, 3, Access::FROM_DEVICE);
    let read = bench.namespace(1).expect("a namespace").read(7, 3);
    let request = Request::with_data(read.expect("a read"), data);
    let (queue, done) = (bench.queue.clone(), Rc::new(RefCell::new(None)));
    let out = done.clone();
    bench.executor.spawn(async move {
        *out.borrow_mut() = Some(execute(queue, request).await.result);
    });
    bench.sleep(1000);
    bench.machine.model().heals_by_reset = true;
    bench.machine.model().mischief = Some((0, Mischief::WrongCid(0x8000)));
    assert_eq!(bench.reset(), Ok(()));
    bench.sleep(3_000_000);
    assert_eq!(*done.borrow(), Some(Ok(0)));
    assert_eq!(bench.controller.resets(), 2);
}
