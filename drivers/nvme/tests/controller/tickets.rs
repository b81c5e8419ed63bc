//! What a caller has of a request: a ticket, or a future.

use crate::model::{Bench, Config, Data, Machine};
use nvme::{Access, Error, Queue, Reach, Request, RequestError, Ticket, execute};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

fn read(bench: &Bench, blocks: u64) -> Request<Data> {
    let disk = bench.namespace(1).expect("a namespace");
    let operation = disk.read(7, blocks).expect("a read");
    let data = Data::owned(&bench.machine, blocks as usize, Access::FROM_DEVICE);
    Request::with_data(operation, data)
}

/// A ticket is a number in a kernel's hands. One that fits no request is an error, and does nothing to
/// those that there are.
#[test]
fn a_ticket_that_was_made_up_belongs_to_no_request() {
    let bench = Bench::new(Config::with_disk(4096, 12).mqes(3));
    let mut cx = Context::from_waker(Waker::noop());
    let mut queue = bench.queue.borrow_mut();
    let ticket = queue.submit(&mut read(&bench, 2), Waker::noop());
    let number = ticket.expect("there is room").into_number();
    let strangers = [
        u64::MAX,
        u64::from(u32::MAX),
        // A slot behind the last one, one that is free, and an earlier and a later request.
        number + 3,
        number ^ 1,
        number.wrapping_sub(1 << 32),
        number + (1 << 32),
    ];
    let mut ask = |queue: &mut Queue<Machine, Data>| {
        for stranger in strangers {
            let poll = queue.poll(&Ticket::from_number(stranger), &mut cx);
            let Poll::Ready(done) = poll else {
                panic!("{stranger:#x} is waited for");
            };
            let expected = Err(Error::Request(RequestError::NoSuchRequest));
            assert_eq!(done.result, expected, "{stranger:#x}");
            assert!(done.data.is_none());
            queue.abandon(Ticket::from_number(stranger));
        }
    };
    ask(&mut queue);
    assert_eq!(queue.requests(), 1);
    queue.ring();
    bench.machine.model().pass(1000);
    queue.turn();
    ask(&mut queue);
    let ticket = Ticket::from_number(number);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(done) = queue.poll(&ticket, &mut cx) else {
        panic!("it is over");
    };
    let data = done.data.expect("the memory comes back");
    assert!(bench.contents(data.list()) == bench.disk(1, 7, 2));
    // It was given back: the ticket is of no request any more.
    let again = queue.poll(&ticket, &mut cx);
    assert!(matches!(again, Poll::Ready(done) if done.result.is_err()));
    assert!(queue.is_idle());
}

/// A way to a queue that counts what the queue takes.
#[derive(Clone)]
struct Counting(Rc<RefCell<Queue<Machine, Data>>>, Rc<Cell<u32>>);

impl Reach for Counting {
    type Platform = Machine;
    type Memory = Data;

    fn with<R>(&self, f: impl FnOnce(&mut Queue<Machine, Data>) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    fn taken(&self) {
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn a_request_is_counted_once_and_when_the_queue_takes_it() {
    let bench = Bench::new(Config::with_disk(4096, 12).mqes(1));
    let way = Counting(bench.queue.clone(), Rc::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = pin!(execute(way.clone(), read(&bench, 1)));
    let mut second = pin!(execute(way.clone(), read(&bench, 1)));
    assert_eq!(way.1.get(), 0, "nobody has looked at it");
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(way.1.get(), 1, "there is room for one");
    assert!(bench.run(first).result.is_ok());
    assert!(bench.run(second).result.is_ok());
    assert_eq!(way.1.get(), 2);
    // Without memory it is refused.
    let disk = bench.namespace(1).expect("a namespace");
    let request = Request::new(disk.read(7, 1).expect("a read"));
    assert!(bench.run(execute(way.clone(), request)).result.is_err());
    assert_eq!(way.1.get(), 2);
}
