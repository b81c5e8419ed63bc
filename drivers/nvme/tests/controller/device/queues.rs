//! Any number of queues, of any depth, at any stride.

use super::host::{create_completion, create_submission, transfer};
use super::{Host, entry};
use crate::model::Config;

#[test]
fn many_pairs_work_side_by_side_at_any_stride() {
    for dstrd in 0..=4 {
        let mut config = Config::default();
        config.cap.set_dstrd(dstrd);
        let mut host = Host::new(config);
        for id in 1..=20 {
            host.create(id, None);
        }
        let page = host.zeros(2);
        for id in 1..=20 {
            host.submit(id, transfer(0x02, 1, u64::from(id), 1, page));
        }
        for id in (1..=20).rev() {
            let found = host.wait(id).expect("a completion");
            assert_eq!((found.sq_id, found.sq_head), (id, 1));
        }
    }
}

#[test]
fn the_number_of_queues_is_what_the_device_says() {
    let config = Config {
        granted: (3, 2),
        ..Config::default()
    };
    let mut host = Host::new(config);
    assert_eq!(host.set_feature(0x07, 0x000f_000f), 0x0001_0002);
    assert_eq!(host.get_feature(0x07, 0), 0x0001_0002);
    host.create(1, None);
    host.create(2, None);
    let bus = host.zeros(1);
    let third = create_completion(3, 8, bus, None);
    assert_eq!(host.fails(0, third), (1, 0x01));
    // But a third submission queue may share a completion queue.
    host.done(0, create_submission(3, 8, bus, 2));
    let mut late = entry(0x09, 0);
    late.cdw10_11 = 0x07;
    assert_eq!(host.fails(0, late), (0, 0x0c));
}

#[test]
fn queues_that_cannot_be_are_refused() {
    let mut host = Host::new(Config::default().mqes(15));
    let bus = host.zeros(1);
    assert_eq!(host.fails(0, create_completion(0, 8, bus, None)), (1, 0x01));
    assert_eq!(
        host.fails(0, create_completion(1, 17, bus, None)),
        (1, 0x02)
    );
    assert_eq!(host.fails(0, create_completion(1, 1, bus, None)), (1, 0x02));
    assert_eq!(
        host.fails(0, create_completion(1, 8, bus + 64, None)),
        (0, 0x13)
    );
    assert_eq!(
        host.fails(0, create_completion(1, 8, bus, Some(65))),
        (1, 0x08)
    );
    assert_eq!(host.fails(0, create_submission(1, 8, bus, 1)), (1, 0x00));
    host.create_with(1, 16, None);
    assert_eq!(host.fails(0, create_completion(1, 8, bus, None)), (1, 0x01));
}

/// A completion queue is deleted last, and commands end with their submission queue.
#[test]
fn queues_are_deleted_in_order() {
    let config = Config {
        latency: 5,
        ..Config::default()
    };
    let mut host = Host::new(config);
    host.create(1, None);
    let mut delete = entry(0x04, 0);
    delete.cdw10_11 = 1;
    assert_eq!(host.fails(0, delete), (1, 0x0c));
    host.machine.model().config.latency = 1000;
    host.submit(1, entry(0x00, 1));
    host.machine.model().config.latency = 0;
    let mut delete_submission = entry(0x00, 0);
    delete_submission.cdw10_11 = 1;
    host.done(0, delete_submission);
    let ended = host.take(1).expect("a completion");
    assert_eq!((ended.status.sct(), ended.status.sc()), (0, 0x08));
    host.done(0, delete);
    assert_eq!(host.fails(0, delete), (1, 0x01));
}

/// A full completion queue holds the device up; nothing is lost.
#[test]
fn a_full_completion_queue_is_waited_for() {
    let mut host = Host::new(Config::default());
    let (submission, completion) = (host.zeros(1), host.zeros(1));
    host.create_with(1, 4, None);
    host.done(0, create_submission(2, 8, submission, 1));
    let _ = completion;
    for _ in 0..3 {
        host.submit(1, entry(0x00, 1));
    }
    host.machine.model().pass(1000);
    for _ in 0..2 {
        host.take(1).expect("a completion");
    }
    // Two taken, none given back: no room for more than the three that are there.
    host.submit(1, entry(0x00, 1));
    host.machine.model().pass(1000);
    assert_eq!(host.machine.model().outstanding(), 1);
    host.give_back(1);
    host.machine.model().pass(1000);
    assert_eq!(host.machine.model().outstanding(), 0);
    assert!(host.take(1).is_some() && host.take(1).is_some());
}

#[test]
fn impossible_doorbells_are_noticed() {
    let mut host = Host::new(Config::default());
    host.create(1, None);
    let ring = |host: &Host, register, value| {
        use nvme::Registers;
        host.machine.write32(register, value);
    };
    for (register, value) in [(0x1008, 8), (0x1008, 0), (0x100c, 3), (0x1100, 1)] {
        ring(&host, register, value);
        assert_eq!(host.offences().len(), 1, "{register:#x}: {value}");
    }
}

/// Entries that are fetched later: the head in a completion lags behind the doorbell.
#[test]
fn a_lazy_device_fetches_in_its_own_time() {
    let config = Config {
        per_tick: 1,
        lazy: true,
        ..Config::default()
    };
    let mut host = Host::new(config);
    host.create(1, None);
    for _ in 0..5 {
        host.push(1, entry(0x00, 1));
    }
    host.ring(1);
    for head in 1..=5 {
        assert_eq!(host.wait(1).expect("a completion").sq_head, head);
    }
}
