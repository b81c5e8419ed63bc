//! Abort: a controller does it, or does not, or says one thing and does the other.

use crate::model::{AbortPolicy, Bench, Config, Data, Fate, Then};
use nvme::{Access, Error, Failure, Options, Request, Waiting};

const READ: u8 = 2;

/// A bench whose next read is never answered.
fn bench(policy: AbortPolicy, then: Then, retries: u8) -> Bench {
    let mut options = Options::default();
    options.retries = retries;
    let bench = Bench::with_options(Config::with_disk(4096, 12), options);
    bench.machine.model().abort_policy = policy;
    let fate = Fate::of_next(READ, then);
    bench.machine.model().fates.push(fate);
    bench
}

fn read(bench: &Bench) -> Result<(), Error> {
    let disk = bench.namespace(1).expect("a namespace");
    let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
    let read = Request::with_data(disk.read(0, 1).expect("a block"), data);
    let done = bench.execute(read);
    if done.result.is_ok() {
        let data = done.data.as_ref().expect("the memory comes back");
        assert!(bench.contents(data.list()) == bench.disk(1, 0, 1));
    }
    assert_eq!(bench.counters().aborts, 1);
    done.result.map(|_| ())
}

#[test]
fn a_command_that_is_aborted_for_good_ends_with_that_status() {
    let bench = bench(AbortPolicy::Works, Then::Lose, 0);
    match read(&bench) {
        Err(Error::Command(error)) => {
            assert_eq!((error.status.sct(), error.status.sc()), (0, 0x07));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.controller.resets(), 0);
}

/// The command was about to end. That it was not aborted is no trouble then.
#[test]
fn an_abort_that_is_too_late_does_no_harm() {
    let bench = bench(AbortPolicy::TooLate, Then::Hold, 3);
    assert_eq!(read(&bench), Ok(()));
    assert_eq!(bench.controller.resets(), 0);
    assert_eq!(bench.commands().len(), 1);
}

/// Not aborted, aborted in words only, no answer at all: only a reset gets the command back.
#[test]
fn where_abort_is_of_no_use_the_controller_is_reset() {
    for policy in [AbortPolicy::Refuses, AbortPolicy::Lies, AbortPolicy::Silent] {
        let bench = bench(policy, Then::Lose, 3);
        let before = bench.machine.model().clock;
        assert_eq!(read(&bench), Ok(()), "{policy:?}");
        let passed = bench.machine.model().clock - before;
        assert!((10_000_000..16_000_000).contains(&passed), "{passed}");
        assert_eq!(bench.controller.resets(), 1, "{policy:?}");
        assert_eq!(bench.commands().len(), 2, "{policy:?}");
    }
}

#[test]
fn a_command_that_may_not_be_sent_again_ends_as_the_timeout_that_it_is() {
    let bench = bench(AbortPolicy::Lies, Then::Lose, 0);
    let timeout = Failure::Timeout(Waiting::Io);
    assert_eq!(read(&bench), Err(Error::Failed(timeout)));
    bench.sleep(1_000_000);
    assert_eq!(bench.controller.resets(), 1);
    assert_eq!(bench.controller.failure(), None);
}
