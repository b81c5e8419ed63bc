//! Balloons: reports of free memory, and memory that goes in and comes out, with a device that may lie.

use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief, Pages, bits};
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::balloon::{Balloon, Options, Statistics};
use virtio::{Access, ConfigError, Error, Failure, RequestError, Violation, Waiting};

const PAGE: u64 = 4096;

type Under = Balloon<Machine, Pages, Data>;

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::balloon(ram);
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine) -> Result<Under, Error> {
    let made = Balloon::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made)
}

fn balloon(machine: &Machine) -> Under {
    bring_up(machine).expect("a good device")
}

fn free(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn in_device(machine: &Machine) -> Vec<u32> {
    machine
        .device
        .borrow()
        .helper
        .pages
        .iter()
        .copied()
        .collect()
}

fn actual(machine: &Machine) -> u32 {
    let device = machine.device.borrow();
    u32::from_le_bytes(device.config[4..8].try_into().unwrap())
}

/// All memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, balloon: Under) {
    drop(balloon);
    let device = machine.device.borrow();
    assert!(!device.can_dma);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

#[test]
fn the_queue_of_reports_is_the_last_however_queues_are_numbered() {
    let compact = |offered: u64, queues: usize| {
        machine(move |device| {
            device.offered &= !(bits::STATS_VQ | bits::FREE_PAGE_HINT);
            device.offered |= offered;
            device.queues.truncate(2);
            device
                .queues
                .resize_with(queues, || crate::model::queue(32));
        })
    };
    let hinting = bits::FREE_PAGE_HINT;
    let machines = [
        compact(0, 3),
        compact(bits::STATS_VQ, 4),
        compact(hinting, 4),
        compact(bits::STATS_VQ | hinting, 5),
        // By the letter of the specification, with gaps.
        compact(0, 5),
    ];
    for machine in machines {
        let balloon = balloon(&machine);
        assert!(balloon.can_report());
        let reported = run_alone(&machine, balloon.report(free(&machine, &[100])));
        drop(reported.unwrap());
        assert_eq!(machine.device.borrow().helper.reported.len(), 1);
        end(&machine, balloon);
    }
    let without = machine(|device| device.offered &= !bits::PAGE_REPORTING);
    let balloon = balloon(&without);
    assert_eq!((balloon.can_report(), balloon.most_ranges()), (false, 0));
    let (error, back) = run_alone(&without, balloon.report(free(&without, &[100]))).unwrap_err();
    assert_eq!(error, Error::Request(RequestError::Unsupported));
    drop(back);
    end(&without, balloon);
}

#[test]
fn what_is_reported_is_as_it_is_and_comes_back() {
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    assert_eq!(balloon.most_ranges(), 16);
    for round in 1..100 {
        let pieces: Vec<u64> = (0..1 + round % 16).map(|piece| 1 + 1000 * piece).collect();
        let back = run_alone(&machine, balloon.report(free(&machine, &pieces))).unwrap();
        // Its content has gone.
        assert!(back.bytes().iter().all(|byte| *byte == 0));
        let mut device = machine.device.borrow_mut();
        let reported = std::mem::take(&mut device.helper.reported);
        let lens: Vec<u64> = reported.iter().map(|(_, len)| *len).collect();
        assert_eq!(lens, pieces, "one descriptor for each range");
    }
    let many = free(&machine, &[10; 17]);
    let (error, back) = run_alone(&machine, balloon.report(many)).unwrap_err();
    let pieces = RequestError::Pieces { offset: 160 };
    assert_eq!((error, back.is_some()), (Error::Request(pieces), true));
    drop(back);
    let lent = Data::new(&machine.ram, &[64], Access::ToDevice);
    let (error, back) = run_alone(&machine, balloon.report(lent)).unwrap_err();
    assert_eq!(error, Error::Request(RequestError::Access));
    drop(back);
    end(&machine, balloon);
}

#[test]
fn pages_go_in_and_come_out() {
    let machine = machine(|device| device.set32(0, 77));
    let balloon = balloon(&machine);
    assert_eq!(
        (balloon.target(), balloon.pages(), actual(&machine)),
        (Ok(77), 0, 0)
    );
    let mut expected = Vec::new();
    for pages in [1, 2, 3, 1024, 7] {
        let memory = Pages::new(&machine, pages);
        expected.extend(memory.numbers());
        run_alone(&machine, balloon.inflate(memory)).unwrap();
        assert_eq!(in_device(&machine), expected);
        assert_eq!(balloon.pages() as usize, expected.len());
        assert_eq!(actual(&machine) as usize, expected.len());
    }
    let large = Pages::new(&machine, 1025);
    let (error, back) = run_alone(&machine, balloon.inflate(large)).unwrap_err();
    assert_eq!(error, Error::Request(RequestError::Length));
    drop(back);
    for pages in [7, 1024, 3, 2, 1] {
        let back = run_alone(&machine, balloon.deflate()).unwrap().unwrap();
        assert_eq!(back.phyr.len(), pages * PAGE);
        expected.truncate(expected.len() - pages as usize);
        assert_eq!(in_device(&machine), expected);
        assert_eq!(actual(&machine) as usize, expected.len());
    }
    assert!(run_alone(&machine, balloon.deflate()).unwrap().is_none());
    end(&machine, balloon);
}

#[test]
fn a_device_is_told_of_memory_when_it_asks_and_only_then() {
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    assert!(balloon.may_ask());
    let statistics = |number: u64| Statistics {
        free: number,
        total: 1000 * number,
        available: 7 * number,
    };
    let answer = |number| balloon.answer(|| statistics(number));
    let said = || {
        let mut device = machine.device.borrow_mut();
        device.work();
        device.helper.said.clone()
    };
    let expected = |number| [(4, number), (5, 1000 * number), (6, 7 * number)].into();
    // The first answer is to no question. The next ones come when it asks, however late.
    assert_eq!(answer(1), Ok(true));
    for number in 2..50 {
        assert_eq!(said(), expected(number - 1));
        assert_eq!(answer(number), Ok(false), "it has not asked");
        run_alone(&machine, virtio::Platform::pause(&machine, 100_000_000));
        assert_eq!(answer(number), Ok(false));
        machine
            .device
            .borrow_mut()
            .asks(30 * u32::from(number % 2 == 0));
        assert_eq!(answer(number), Ok(true));
    }
    // Others go on meanwhile, and their requests do not answer it.
    run_alone(&machine, balloon.inflate(Pages::new(&machine, 3))).unwrap();
    assert_eq!((said(), balloon.failure()), (expected(49), None));
    // More than it was given, it has not even read.
    machine.device.borrow_mut().asks(31);
    let violation = Failure::Violation(Violation::UsedLength(31));
    assert_eq!(answer(50), Err(Error::Failed(violation)));
    assert_eq!(answer(50), Err(Error::Dead(violation)));
    end(&machine, balloon);
    let without = self::machine(|device| device.offered &= !bits::STATS_VQ);
    let balloon = self::balloon(&without);
    let unsupported = Error::Request(RequestError::Unsupported);
    assert_eq!(balloon.answer(|| statistics(1)), Err(unsupported));
    end(&without, balloon);
}

/// The memory of the answer is the device's for good then, and there is no other.
#[test]
fn a_device_that_cannot_be_stopped_is_told_nothing_and_whoever_answers_hears_of_it_each_time() {
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    let answer = || {
        balloon.answer(|| Statistics {
            free: 1,
            total: 2,
            available: 3,
        })
    };
    assert_eq!(answer(), Ok(true));
    {
        let mut device = machine.device.borrow_mut();
        device.work();
        (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
        device.asks(31);
    }
    let violation = Failure::Violation(Violation::UsedLength(31));
    assert_eq!(answer(), Err(Error::Lost(violation)));
    assert_eq!(answer(), Err(Error::Dead(violation)));
}

#[test]
fn a_request_that_is_dropped_leaves_its_memory_where_the_device_has_it() {
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    let mut cx = Context::from_waker(Waker::noop());
    let mut dropped = Box::pin(balloon.inflate(Pages::new(&machine, 5)));
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    let (error, back) = run_alone(&machine, balloon.inflate(Pages::new(&machine, 1))).unwrap_err();
    assert_eq!((error, back.is_some()), (Error::Full, true));
    drop((dropped, back));
    let mut dropped = Box::pin(balloon.report(free(&machine, &[64])));
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    // It is done meanwhile, and the pages are in.
    run_alone(&machine, balloon.report(free(&machine, &[64]))).unwrap();
    run_alone(&machine, balloon.inflate(Pages::new(&machine, 1))).unwrap();
    assert_eq!((balloon.pages(), actual(&machine)), (6, 6));
    let mut dropped = Box::pin(balloon.deflate());
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    machine.device.borrow_mut().work();
    let back = run_alone(&machine, balloon.deflate()).unwrap().unwrap();
    assert_eq!((back.phyr.len(), balloon.pages()), (5 * PAGE, 0));
    assert!(in_device(&machine).is_empty());
    drop(back);
    end(&machine, balloon);
}

#[test]
fn a_device_that_breaks_a_rule_is_out_of_use_and_nothing_is_lost() {
    for (lie, violation) in [
        (Mischief::UsedId(1), Violation::UsedId(1)),
        (Mischief::UsedId(u32::MAX), Violation::UsedId(u32::MAX)),
        // Not even as much as there is.
        (Mischief::Longer(65), Violation::UsedLength(65)),
        (Mischief::Twice, Violation::UsedIndex(2)),
        (Mischief::Index(3), Violation::UsedIndex(3)),
    ] {
        let machine = machine(|_| {});
        let balloon = balloon(&machine);
        run_alone(&machine, balloon.inflate(Pages::new(&machine, 3))).unwrap();
        machine.device.borrow_mut().mischief = Some((lie, 1));
        let failed = run_alone(&machine, balloon.report(free(&machine, &[64])));
        let (error, back) = failed.unwrap_err();
        let failure = Failure::Violation(violation);
        assert_eq!(
            (error, back.is_some()),
            (Error::Failed(failure), true),
            "{lie:?}"
        );
        drop(back);
        assert_eq!(balloon.failure(), Some(failure));
        assert_eq!(balloon.target(), Err(failure));
        let dead = run_alone(&machine, balloon.deflate());
        assert_eq!(dead.err(), Some(Error::Dead(failure)));
        // The host need not be told, so the pages are there again.
        assert_eq!(balloon.reclaim().unwrap().phyr.len(), 3 * PAGE);
        assert!(balloon.reclaim().is_none());
        end(&machine, balloon);
    }
    // A byte more than nothing, of numbers that are only read.
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    machine.device.borrow_mut().mischief = Some((Mischief::Longer(1), 1));
    let (error, back) = run_alone(&machine, balloon.inflate(Pages::new(&machine, 3))).unwrap_err();
    let failure = Failure::Violation(Violation::UsedLength(1));
    assert_eq!((error, back.is_some()), (Error::Failed(failure), true));
    drop(back);
    end(&machine, balloon);
}

/// A host that must be told before pages are used again cannot be told by a device that is out of use.
#[test]
fn pages_of_a_host_that_must_be_told_stay_in_the_balloon() {
    let machine = machine(|device| device.offered |= bits::MUST_TELL_HOST);
    let balloon = balloon(&machine);
    run_alone(&machine, balloon.inflate(Pages::new(&machine, 3))).unwrap();
    balloon.shutdown();
    assert!(balloon.reclaim().is_none());
    drop(balloon);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 3 * PAGE));
}

#[test]
fn a_device_that_is_silent_or_gone_ends_the_wait() {
    type Change = fn(&mut Device);
    let changes: [(Change, Failure); 2] = [
        (|_| {}, Failure::Timeout(Waiting::Request)),
        (|device| device.is_present = false, Failure::Gone),
    ];
    for (change, failure) in changes {
        let machine = machine(|_| {});
        let balloon = balloon(&machine);
        machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
        {
            let mut waiting = pin!(balloon.inflate(Pages::new(&machine, 2)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            change(&mut machine.device.borrow_mut());
            let (error, back) = run_alone(&machine, waiting).unwrap_err();
            assert_eq!((error, back.is_some()), (Error::Failed(failure), true));
        }
        drop(balloon);
        assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
    }
}

#[test]
fn a_configuration_that_is_short_or_does_not_stand_still_is_refused() {
    let short = machine(|device| device.config.truncate(4));
    let wrong = ConfigError::Short { len: 4 };
    assert_eq!(
        bring_up(&short).err(),
        Some(Error::Failed(Failure::Config(wrong)))
    );
    assert_eq!(short.ram.live(), 0);
    let machine = machine(|_| {});
    let balloon = balloon(&machine);
    machine.device.borrow_mut().is_unsteady = true;
    let unsteady = Failure::Config(ConfigError::Unsteady);
    assert_eq!(balloon.target(), Err(unsteady));
    machine.device.borrow_mut().is_unsteady = false;
    machine.device.borrow_mut().set32(0, u32::MAX);
    assert_eq!(
        balloon.target(),
        Ok(u32::MAX),
        "what it wants is not what it gets"
    );
    end(&machine, balloon);
}
