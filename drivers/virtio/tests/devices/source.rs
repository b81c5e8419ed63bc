//! Random bytes, from a device that gives some, none, or more than it may.

use crate::model::helpers::random;
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief, bits};
use proptest::prelude::*;
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::rng::{Filled, Options, Source, Unfilled};
use virtio::{Access, DeviceError, Error, Failure, RequestError, Violation, Waiting};

type Rng = Source<Machine, Data>;

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::source(ram);
        change(&mut device);
        device
    })
}

fn source(machine: &Machine) -> Rng {
    let made = Source::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made).expect("a good device")
}

fn target(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn fill(machine: &Machine, source: &Rng, pieces: &[u64]) -> Result<Filled<Data>, Error> {
    let filled = run_alone(machine, source.fill(target(machine, pieces)));
    filled.map_err(|Unfilled { data, error }| {
        assert!(data.is_some(), "the memory comes back");
        error
    })
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, source: Rng) {
    drop(source);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

#[test]
fn nothing_is_accepted_that_is_not_needed() {
    let machine = machine(|device| (device.status, device.can_dma) = (0xf, true));
    let source = source(&machine);
    let device = machine.device.borrow();
    assert_eq!(device.steps, [0, 1, 3, 11, 15]);
    assert_eq!(device.accepted, bits::VERSION_1);
    drop(device);
    end(&machine, source);
}

proptest! {
    /// Any memory is filled up to where the device says, with what the device gave, and not further.
    #[test]
    fn the_front_of_any_memory_is_filled(
        requests in prop::collection::vec(
            (prop::collection::vec(1..300_u64, 1..=4), prop::option::of(1..400_usize)),
            1..40,
        ),
    ) {
        let machine = machine(|_| {});
        let source = source(&machine);
        let mut given = 0;
        for (pieces, most) in requests {
            machine.device.borrow_mut().helper.most = most;
            let room: u64 = pieces.iter().sum();
            let Filled { data, bytes } = fill(&machine, &source, &pieces).unwrap();
            let expected = most.map_or(room, |most| room.min(most as u64));
            prop_assert_eq!(u64::from(bytes), expected);
            let all = data.bytes();
            let (front, back) = all.split_at(bytes as usize);
            let from_device: Vec<u8> = (given..given + expected).map(random).collect();
            prop_assert_eq!(front, from_device);
            prop_assert!(back.iter().all(|byte| *byte == 0xee));
            given += expected;
        }
        end(&machine, source);
    }
}

#[test]
fn memory_that_does_not_suit_is_refused_and_comes_back() {
    let machine = machine(|_| {});
    let source = source(&machine);
    let pieces = RequestError::Pieces { offset: 40 };
    let result = fill(&machine, &source, &[10, 10, 10, 10, 1]);
    assert_eq!(result.err(), Some(Error::Request(pieces)));
    let to_device = Data::new(&machine.ram, &[8], Access::ToDevice);
    let refused = run_alone(&machine, source.fill(to_device)).unwrap_err();
    assert_eq!(refused.error, Error::Request(RequestError::Access));
    drop(refused);
    assert_eq!(machine.device.borrow().helper.given, 0);
    end(&machine, source);
}

#[test]
fn a_device_that_gives_nothing_has_failed_once() {
    let machine = machine(|_| {});
    let source = source(&machine);
    for lie in [Mischief::Nothing, Mischief::Shorter] {
        machine.device.borrow_mut().mischief = Some((lie, 1));
        let short = Error::Device(DeviceError::Short { written: 0 });
        assert_eq!(fill(&machine, &source, &[64]).err(), Some(short));
        assert_eq!(fill(&machine, &source, &[64]).unwrap().bytes, 64);
    }
    assert_eq!(source.failure(), None);
    end(&machine, source);
}

#[test]
fn a_device_that_breaks_a_rule_is_out_of_use() {
    for (lie, violation) in [
        (Mischief::UsedId(1), Violation::UsedId(1)),
        (Mischief::UsedId(4), Violation::UsedId(4)),
        (Mischief::UsedId(8), Violation::UsedId(8)),
        (Mischief::UsedId(u32::MAX), Violation::UsedId(u32::MAX)),
        (Mischief::Twice, Violation::UsedIndex(2)),
        (Mischief::Longer(1), Violation::UsedLength(65)),
        (
            Mischief::Longer(u32::MAX - 64),
            Violation::UsedLength(u32::MAX),
        ),
        (Mischief::Index(2), Violation::UsedIndex(2)),
        (Mischief::Index(0xffff), Violation::UsedIndex(0xffff)),
    ] {
        let machine = machine(|_| {});
        let source = source(&machine);
        machine.device.borrow_mut().mischief = Some((lie, 1));
        let failure = Failure::Violation(violation);
        let result = fill(&machine, &source, &[64]);
        assert_eq!(result.err(), Some(Error::Failed(failure)), "{lie:?}");
        let next = fill(&machine, &source, &[64]);
        assert_eq!(next.err(), Some(Error::Dead(failure)), "{lie:?}");
        assert_eq!((source.failure(), source.lost()), (Some(failure), 0));
        end(&machine, source);
    }
}

#[test]
fn a_device_that_is_silent_sick_or_gone_ends_the_wait() {
    type Change = fn(&mut Device);
    let changes: [(Change, Failure); 3] = [
        (|_| {}, Failure::Timeout(Waiting::Request)),
        (|device| device.status |= 0x40, Failure::NeedsReset),
        (|device| device.is_present = false, Failure::Gone),
    ];
    for (change, failure) in changes {
        let machine = machine(|_| {});
        let source = source(&machine);
        machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
        {
            let mut waiting = pin!(source.fill(target(&machine, &[64])));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            change(&mut machine.device.borrow_mut());
            let unfilled = run_alone(&machine, waiting).unwrap_err();
            assert_eq!(unfilled.error, Error::Failed(failure));
            assert!(unfilled.data.is_some());
        }
        assert_eq!(source.failure(), Some(failure));
        drop(source);
        assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
    }
}

/// The device has the memory until it has answered, whoever waits.
#[test]
fn memory_of_a_request_that_is_dropped_stays_with_the_device_until_it_answers() {
    let machine = machine(|_| {});
    let source = source(&machine);
    let before = machine.ram.live();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        let mut dropped = Box::pin(source.fill(target(&machine, &[64])));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(machine.ram.live(), before + 128);
    // Both slots are taken, so this one waits for them.
    assert_eq!(fill(&machine, &source, &[64]).unwrap().bytes, 64);
    assert_eq!(machine.device.borrow().helper.given, 3 * 64);
    assert_eq!(fill(&machine, &source, &[64]).unwrap().bytes, 64);
    assert_eq!(machine.ram.live(), before);
    end(&machine, source);
}

/// A device that nobody can stop keeps the memory.
#[test]
fn memory_that_a_device_may_still_write_is_never_used_again() {
    let machine = machine(|device| device.is_unstoppable = true);
    let source = source(&machine);
    machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
    let mut waiting = Box::pin(source.fill(target(&machine, &[64])));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    {
        let mut device = machine.device.borrow_mut();
        device.status |= 0x40;
        device.slow_reset = u32::MAX >> 20;
    }
    let unfilled = run_alone(&machine, waiting).unwrap_err();
    assert_eq!(unfilled.error, Error::Lost(Failure::NeedsReset));
    assert!(unfilled.data.is_none());
    assert_eq!(source.lost(), 1);
    let live = machine.ram.live();
    drop(source);
    assert_eq!(machine.ram.live(), live, "it is kept for ever");
}
