//! Shadow doorbells: the register is written only if the device sleeps, and never too rarely.

use crate::model::{Bench, Config, Data, status};
use nvme::{Access, Options, Request, Ticket};
use std::task::{Context, Poll, Waker};

const CONFIGURE: u8 = 0x7c;

fn config() -> Config {
    let mut config = Config::with_everything().mqes(7);
    config.identify.mdts = 0;
    config
}

fn bench(config: Config) -> Bench {
    Bench::with_options(config, Options::default())
}

fn is_on(bench: &Bench) -> bool {
    bench.machine.model().shadow.is_on()
}

fn read(bench: &Bench, block: u64) -> Request<Data> {
    let namespace = bench.namespace(1).expect("it is there");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    Request::with_data(namespace.read(block, 8).expect("blocks"), data)
}

fn submit(bench: &Bench, block: u64) -> Ticket {
    let mut request = read(bench, block);
    let mut queue = bench.queue.borrow_mut();
    let submitted = queue.submit(&mut request, Waker::noop());
    submitted.expect("there is room")
}

fn end(bench: &Bench, ticket: &Ticket) {
    for _ in 0..100 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut queue = bench.queue.borrow_mut();
        queue.turn();
        if let Poll::Ready(done) = queue.poll(ticket, &mut cx) {
            return assert_eq!(done.result.map(|_| ()), Ok(()));
        }
        drop(queue);
        bench.machine.tick();
    }
    panic!("the device was not told");
}

#[test]
fn no_register_is_written_while_the_device_is_awake() {
    let bench = bench(config());
    assert!(is_on(&bench));
    bench.machine.model().shadow.is_slow = true;
    for round in 0..20 {
        let before = bench.counters();
        let mut tickets = Vec::new();
        for block in 0..5 {
            tickets.push(submit(&bench, block));
            bench.queue.borrow_mut().ring();
        }
        let after = bench.counters();
        // The first one has woken it.
        assert_eq!(after.submission_doorbells - before.submission_doorbells, 1);
        assert_eq!(bench.machine.model().shadow.rings, round + 1);
        tickets.iter().for_each(|ticket| end(&bench, ticket));
    }
    // It has always had room to complete, so it did not look, and was told once each time around.
    let counters = bench.counters();
    assert!(counters.completion_doorbells <= 1 + counters.reads / 8);
}

/// The device falls asleep at the worst moment, again and again. Each ring wraps a hundred times.
#[test]
fn nobody_waits_for_a_device_that_sleeps() {
    for dstrd in [0, 1, 4] {
        let mut config = config();
        config.cap.set_dstrd(dstrd);
        let bench = bench(config);
        assert!(is_on(&bench));
        for round in 0..400 {
            let tickets: Vec<_> = (0..1 + round % 5)
                .map(|block| {
                    let ticket = submit(&bench, block);
                    if round % 3 != 0 {
                        bench.queue.borrow_mut().ring();
                    }
                    ticket
                })
                .collect();
            tickets.iter().for_each(|ticket| end(&bench, ticket));
        }
        let rings = bench.machine.model().shadow.rings as u64;
        assert_eq!(bench.counters().submission_doorbells, rings);
        assert!(rings < bench.counters().reads, "what are they good for?");
    }
}

#[test]
fn shadows_are_as_new_after_a_reset() {
    let bench = bench(config());
    for times in 1..5 {
        let log = bench.machine.model().admin_log.clone();
        let configured = log.iter().filter(|opcode| **opcode == CONFIGURE).count();
        assert_eq!(configured, times);
        assert!(is_on(&bench));
        for block in 0..11 {
            end(&bench, &submit(&bench, block));
        }
        bench.reset().expect("it comes back");
    }
    assert_eq!(bench.counters().failures, 0);
}

/// Some controllers look at the shadows of the admin queue as well.
#[test]
fn the_admin_queue_has_shadows_and_is_rung() {
    let bench = bench(config());
    for _ in 0..50 {
        bench.run(bench.controller.rescan()).expect("it answers");
        let mut model = bench.machine.model();
        assert_eq!(model.shadows_of(0), model.doorbells_of(0));
    }
}

#[test]
fn shadows_are_used_only_where_they_can_be() {
    let mut options = Options::default();
    options.shadow_doorbells = false;
    let off = Bench::with_options(config(), options);
    let mut without = config();
    without.identify.oacs &= !(1 << 8);
    let without = bench(without);
    // A page has no room for more than the admin queue.
    let mut wide = config();
    wide.cap.set_dstrd(9);
    let wide = bench(wide);
    for bench in [off, without, wide] {
        assert!(!bench.machine.model().admin_log.contains(&CONFIGURE));
        end(&bench, &submit(&bench, 0));
    }
}

#[test]
fn a_controller_that_refuses_shadows_is_rung() {
    let machine = crate::model::Machine::new(config());
    machine.model().bad_admin.insert(CONFIGURE, status(0, 6));
    let bench = Bench::start(machine).expect("it does without");
    for block in 0..20 {
        end(&bench, &submit(&bench, block));
    }
    assert_eq!(bench.counters().submission_doorbells, 20);
}

/// A word of the device's that is wrong costs time, and neither a reset nor an abort.
#[test]
fn a_device_that_sleeps_and_says_that_it_does_not_is_woken() {
    let bench = bench(config());
    end(&bench, &submit(&bench, 0));
    bench.machine.model().pretend_to_have_seen(1, 0);
    let done = bench.execute(read(&bench, 3));
    assert_eq!(done.result.map(|_| ()), Ok(()));
    assert_eq!(bench.counters().aborts, 0);
    assert_eq!(
        (bench.controller.failures(), bench.controller.resets()),
        (0, 0)
    );
}
