//! Persistent memory: where it is, and flushes, with a device that answers well, badly, or never.

use crate::model::world::{notify, run_alone};
use crate::model::{Device, Machine, Mischief, bits};
use phyr::{Phyr, PhysAddr};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use virtio::pmem::{Module, Options};
use virtio::{ConfigError, DeviceError, Error, Failure, Violation, Waiting};

const START: u64 = 5 << 32;
const LEN: u64 = 64 << 20;

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::module(ram, START, LEN);
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine, shared: Option<Phyr>) -> Result<Module<Machine>, Error> {
    let module = Module::new(machine.clone(), notify(), shared, Options::default());
    run_alone(machine, module)
}

fn module(machine: &Machine) -> Module<Machine> {
    bring_up(machine, None).expect("a good device")
}

fn phyr(start: u64, len: u64) -> Phyr {
    Phyr::new(PhysAddr::new(start), len).expect("a range")
}

fn refusal(machine: &Machine) -> Failure {
    match bring_up(machine, None) {
        Err(Error::Failed(failure)) => {
            let device = machine.device.borrow();
            assert!(!device.can_dma && device.status == 0, "{failure}");
            assert_eq!(machine.ram.live(), 0, "{failure}");
            failure
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is refused"),
    }
}

/// A flush while the device does something wrong so many times.
fn flush(machine: &Machine, module: &Module<Machine>, what: Mischief) -> Result<(), Error> {
    machine.device.borrow_mut().mischief = Some((what, 1));
    let result = run_alone(machine, module.flush());
    machine.device.borrow_mut().mischief = None;
    result
}

/// The device is stopped, and has touched nothing that is nobody's.
fn end(machine: &Machine, module: Module<Machine>) {
    drop(module);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

#[test]
fn the_memory_is_where_the_configuration_says() {
    let machine = machine(|device| (device.status, device.can_dma) = (0xf, true));
    let module = module(&machine);
    assert_eq!(module.memory(), phyr(START, LEN));
    let device = machine.device.borrow();
    assert_eq!(device.steps, [0, 1, 3, 11, 15]);
    assert_eq!(device.accepted, bits::VERSION_1, "nothing else is needed");
    drop(device);
    end(&machine, module);
}

#[test]
fn memory_that_cannot_be_is_refused() {
    for (start, len) in [
        (START, 0),
        (0, 0),
        (u64::MAX, 2),
        (START, u64::MAX),
        (u64::MAX - 4095, 8192),
    ] {
        let machine = machine(|device| {
            device.set64(0, start);
            device.set64(8, len);
        });
        let wrong = ConfigError::Memory { start, len };
        assert_eq!(refusal(&machine), Failure::Config(wrong));
    }
    let last = machine(|device| device.set64(0, u64::MAX - LEN + 1));
    assert_eq!(module(&last).memory().last().get(), u64::MAX);
}

#[test]
fn a_configuration_that_is_short_or_changes_is_refused() {
    let short = machine(|device| device.config.truncate(12));
    let wrong = ConfigError::Short { len: 12 };
    assert_eq!(refusal(&short), Failure::Config(wrong));
    let unsteady = machine(|device| device.is_unsteady = true);
    let wrong = Failure::Config(ConfigError::Unsteady);
    assert_eq!(refusal(&unsteady), wrong);
}

#[test]
fn memory_that_a_capability_names_goes_before_the_configuration() {
    let shared = phyr(0xc000_0000, 1 << 20);
    let offers = |device: &mut Device| device.offered |= bits::SHMEM_REGION;
    let machine_with = machine(offers);
    let module = bring_up(&machine_with, Some(shared)).expect("a good device");
    assert_eq!(module.memory(), shared);
    end(&machine_with, module);
    // A capability without the feature means nothing.
    let without = machine(|_| {});
    let module = bring_up(&without, Some(shared)).expect("a good device");
    assert_eq!(module.memory(), phyr(START, LEN));
    end(&without, module);
    let wrong = Failure::Config(ConfigError::NoMemory);
    assert_eq!(refusal(&machine(offers)), wrong);
}

#[test]
fn a_queue_that_a_flush_does_not_fit_into_is_refused() {
    for size in [0, 1] {
        let machine = machine(|device| device.queues[0] = crate::model::queue(size));
        let wrong = Failure::QueueSize { queue: 0, size };
        assert_eq!(refusal(&machine), wrong);
    }
    for size in [2, 3, 7, 1024] {
        let machine = machine(|device| device.queues[0] = crate::model::queue(size));
        let module = module(&machine);
        assert_eq!(run_alone(&machine, module.flush()), Ok(()));
        end(&machine, module);
    }
}

type Outcome = Result<(), Error>;

/// Something that happens to a device.
type Change = fn(&mut Device);

/// Asks for so many flushes at once, and waits for all of them.
async fn together(module: &Module<Machine>, count: usize) -> Vec<Outcome> {
    let mut futures: Vec<_> = (0..count).map(|_| Box::pin(module.flush())).collect();
    let mut done: Vec<Option<Outcome>> = vec![None; count];
    poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                *done = Some(result);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// More at once than there are slots, also backwards, and often enough that indices wrap.
#[test]
fn any_number_of_flushes_are_under_way() {
    for is_backwards in [false, true] {
        let machine = machine(|device| device.is_backwards = is_backwards);
        let module = module(&machine);
        let mut flushes = 0;
        for round in 0..40 {
            let results = run_alone(&machine, together(&module, 1 + round * 3));
            assert!(results.iter().all(Result::is_ok));
            flushes += results.len() as u64;
            assert_eq!(machine.device.borrow().flushes, flushes);
        }
        end(&machine, module);
    }
}

#[test]
fn what_the_device_says_of_a_flush_is_told_apart() {
    let machine = machine(|_| {});
    let module = module(&machine);
    for (what, error) in [
        (Mischief::Status(1), DeviceError::Io),
        (Mischief::Status(2), DeviceError::Answer(2)),
        (Mischief::Status(0xff), DeviceError::Answer(0xff)),
        (Mischief::Nothing, DeviceError::Short { written: 0 }),
        (Mischief::Shorter, DeviceError::Short { written: 0 }),
    ] {
        let result = flush(&machine, &module, what);
        assert_eq!(result, Err(Error::Device(error)), "{what:?}");
        // It is one flush that failed. The device goes on.
        assert_eq!(run_alone(&machine, module.flush()), Ok(()));
    }
    assert_eq!(module.failure(), None);
    end(&machine, module);
}

#[test]
fn a_device_that_breaks_a_rule_is_out_of_use() {
    for (lie, violation) in [
        (Mischief::UsedId(1), Violation::UsedId(1)),
        (Mischief::UsedId(2), Violation::UsedId(2)),
        (Mischief::UsedId(32), Violation::UsedId(32)),
        (Mischief::UsedId(u32::MAX), Violation::UsedId(u32::MAX)),
        (Mischief::Twice, Violation::UsedIndex(2)),
        (Mischief::Longer(1), Violation::UsedLength(5)),
        (Mischief::Index(2), Violation::UsedIndex(2)),
        (Mischief::Index(0xffff), Violation::UsedIndex(0xffff)),
    ] {
        let machine = machine(|_| {});
        let module = module(&machine);
        let failure = Failure::Violation(violation);
        let result = flush(&machine, &module, lie);
        assert_eq!(result, Err(Error::Failed(failure)), "{lie:?}");
        let next = run_alone(&machine, module.flush());
        assert_eq!(next, Err(Error::Dead(failure)), "{lie:?}");
        assert_eq!(module.failure(), Some(failure));
        assert_eq!((module.lost(), machine.ram.live()), (0, 0), "{lie:?}");
        end(&machine, module);
    }
}

#[test]
fn an_answer_that_never_comes_ends_the_wait_and_the_device() {
    let machine = machine(|_| {});
    let module = module(&machine);
    machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
    let late = Failure::Timeout(Waiting::Request);
    // Everybody who waits is told, also who has no slot yet.
    for result in run_alone(&machine, together(&module, 40)) {
        let told = [Error::Failed(late), Error::Dead(late)];
        assert!(told.contains(&result.expect_err("it has failed")));
    }
    assert!(machine.clock.get() >= 60_000_000);
    assert_eq!(module.failure(), Some(late));
    end(&machine, module);
}

#[test]
fn a_device_that_needs_a_reset_or_is_gone_is_found_out_soon() {
    let sick = |device: &mut Device| device.status |= 0x40;
    let gone = |device: &mut Device| device.is_present = false;
    let changes: [(Change, Failure); 2] = [(sick, Failure::NeedsReset), (gone, Failure::Gone)];
    for (change, failure) in changes {
        let machine = machine(|_| {});
        let module = module(&machine);
        machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
        let mut waiting = pin!(module.flush());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        change(&mut machine.device.borrow_mut());
        let result = run_alone(&machine, waiting);
        assert_eq!(result, Err(Error::Failed(failure)));
        assert!(machine.clock.get() < 1_000_000);
        assert_eq!(machine.ram.live(), 0);
    }
}

/// The device has the queue until it has answered, whoever waits.
#[test]
fn a_flush_that_is_dropped_keeps_its_slot_until_it_is_answered() {
    let machine = machine(|device| device.queues[0] = crate::model::queue(2));
    let module = module(&machine);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..5 {
        let mut dropped = Box::pin(module.flush());
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        drop(dropped);
        // There is one slot, and the device has it: this one waits for it.
        let mut next = Box::pin(module.flush());
        assert!(next.as_mut().poll(&mut cx).is_pending());
        let before = machine.device.borrow().flushes;
        assert_eq!(run_alone(&machine, next), Ok(()));
        assert_eq!(machine.device.borrow().flushes, before + 2);
    }
    end(&machine, module);
}

#[test]
fn a_queue_of_a_device_that_cannot_be_stopped_is_never_used_again() {
    let machine = machine(|_| {});
    let module = module(&machine);
    let before = machine.ram.live();
    {
        let mut device = machine.device.borrow_mut();
        (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
    }
    let failure = Failure::Violation(Violation::UsedId(9));
    let result = flush(&machine, &module, Mischief::UsedId(9));
    assert_eq!(result, Err(Error::Failed(failure)));
    assert_eq!(module.lost(), 1);
    drop(module);
    assert_eq!(machine.ram.live(), before);
}
