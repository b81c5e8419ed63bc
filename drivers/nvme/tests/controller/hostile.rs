//! A controller that breaks the rules: no panic, no hang, no memory given away.

use crate::model::{Bench, Config, Machine, Mischief, bring_up, disk, list, status};
use nvme::registers::CAP;
use nvme::{Error, Failure, Platform, Violation, Waiting};

fn config() -> Config {
    let mut config = Config::with_disk(4096, 12).mdts(1).mqes(7);
    config.per_tick = 2;
    config
}

/// Lets `mischief` happen in the `nth` completion of a read of 64 blocks.
///
/// Returns how the controller failed, and `None` if the read succeeded.
fn suffer(config: Config, nth: usize, mischief: Mischief) -> (Bench, Option<Failure>) {
    let bench = Bench::new(config);
    bench.machine.model().mischief = Some((nth, mischief));
    let bus = bench.pages(64);
    let target = list(&[(bus, 64 * 4096)]);
    let result = bench.read(1, 0, &target);
    bench.check();
    let failure = match result {
        Ok(()) => {
            assert_eq!(bench.contents(&target), bench.disk(1, 0, 64));
            None
        }
        Err(Error::Failed(failure)) => {
            assert_dead(&bench, failure);
            Some(failure)
        }
        Err(error) => panic!("{error}"),
    };
    (bench, failure)
}

/// The controller is dead, says why, touches nothing, and cannot reach memory.
fn assert_dead(bench: &Bench, failure: Failure) {
    let dead = Err(Error::Dead(failure));
    let (reads, doorbells) = {
        let model = bench.machine.model();
        assert!(!model.memory.dma);
        (model.reads, model.doorbells)
    };
    let bus = bench.pages(1);
    let target = list(&[(bus, 4096)]);
    assert_eq!(bench.dead(), Some(failure));
    assert_eq!(bench.read(1, 0, &target), dead);
    assert_eq!(bench.write(1, 0, &target), dead);
    assert_eq!(bench.flush(1), dead);
    assert_eq!(bench.shutdown(), dead);
    let model = bench.machine.model();
    assert_eq!((model.reads, model.doorbells), (reads, doorbells));
}

/// After a repair and a reset, everything works.
fn assert_recovers(bench: Bench) {
    bench.machine.model().repair();
    bench.reset().expect("it comes back");
    assert_eq!(bench.dead(), None);
    let bus = bench.pages(40);
    let target = list(&[(bus, 40 * 4096)]);
    for block in [0, 77] {
        bench.read(1, block, &target).expect("it reads");
        assert_eq!(bench.contents(&target), bench.disk(1, block, 40));
    }
}

/// The failure that `mischief` leads to, early, late, and around the wrap of the queues.
fn failure_of(mischief: Mischief) -> Failure {
    let mut seen = None;
    for nth in [0, 1, 5, 6, 7, 8, 13, 14, 15, 16, 27] {
        let (bench, failure) = suffer(config(), nth, mischief);
        let failure = failure.expect("the controller fails");
        // The identifier is another one each time.
        let failure = match failure {
            Failure::Protocol(Violation::UnknownCommand { .. }) => {
                Failure::Protocol(Violation::UnknownCommand { cid: 0 })
            }
            other => other,
        };
        assert_eq!(*seen.get_or_insert(failure), failure, "completion {nth}");
        assert_recovers(bench);
    }
    seen.expect("a failure")
}

const UNKNOWN: Failure = Failure::Protocol(Violation::UnknownCommand { cid: 0 });

#[test]
fn an_identifier_that_was_never_given_is_found_out() {
    for bits in [0x00ff, 0x0080, 0xff00, 0x0100, 0xffff] {
        assert_eq!(failure_of(Mischief::WrongCid(bits)), UNKNOWN);
    }
}

#[test]
fn a_completion_that_comes_twice_is_found_out() {
    assert_eq!(failure_of(Mischief::Duplicate), UNKNOWN);
}

#[test]
fn a_completion_of_an_old_command_is_found_out() {
    // Before the first I/O completion the last one is of the admin queue.
    assert_eq!(failure_of(Mischief::Replay), UNKNOWN);
}

#[test]
fn a_submission_head_out_of_range_is_found_out() {
    for sq_head in [8, 9, 0x00ff, 0x8000, 0xffff] {
        let expected = Failure::Protocol(Violation::SubmissionHead { sq_head });
        assert_eq!(failure_of(Mischief::SubmissionHead(sq_head)), expected);
    }
}

/// Any head inside the queue is found out, or is possible and does no harm.
#[test]
fn a_wrong_submission_head_does_no_harm() {
    for sq_head in 0..8 {
        for nth in 0..16 {
            let (bench, _) = suffer(config(), nth, Mischief::SubmissionHead(sq_head));
            assert_recovers(bench);
        }
    }
}

#[test]
fn a_submission_head_that_stays_is_found_out() {
    let (bench, failure) = suffer(config(), 3, Mischief::StuckHead);
    assert_eq!(failure, Some(Failure::Protocol(Violation::SubmissionStuck)));
    assert_recovers(bench);
}

#[test]
fn a_submission_head_that_stays_is_found_out_by_single_commands() {
    // Nothing of the last one was sent.
    let stuck = Error::Dead(Failure::Protocol(Violation::SubmissionStuck));
    let bench = Bench::new(config());
    bench.machine.model().mischief = Some((0, Mischief::StuckHead));
    let before = bench.machine.microseconds();
    // The first head is right. A queue of 8 holds 7 more.
    for _ in 0..8 {
        bench.flush(1).expect("there is room");
    }
    assert_eq!(bench.flush(1), Err(stuck));
    let waited = bench.machine.microseconds() - before;
    assert!(
        waited < 1_000_000,
        "{waited}: there was nothing to wait for"
    );
    bench.check();
    assert_recovers(bench);
}

#[test]
fn an_admin_head_that_stays_is_found_out() {
    let stuck = Error::Failed(Failure::Protocol(Violation::SubmissionStuck));
    let mut config = config();
    // Each is identified, so they take more commands than the admin queue holds.
    config.namespaces = (1..=40).map(|id| (id, disk(4096, 12))).collect();
    let bench = Bench::new(config);
    bench.machine.model().config.stuck_admin_head = true;
    let before = bench.machine.microseconds();
    assert_eq!(bench.reset(), Err(stuck));
    let waited = bench.machine.microseconds() - before;
    assert!(
        waited < 1_000_000,
        "{waited}: there was nothing to wait for"
    );
    bench.machine.model().config.stuck_admin_head = false;
    assert_recovers(bench);
}

#[test]
fn a_completion_for_another_queue_is_found_out() {
    for sq_id in [0, 2, 0xffff] {
        let expected = Failure::Protocol(Violation::WrongQueue { sq_id });
        assert_eq!(failure_of(Mischief::WrongQueue(sq_id)), expected);
    }
}

#[test]
fn a_completion_with_the_old_phase_is_none() {
    let timeout = Failure::Timeout(Waiting::Io);
    assert_eq!(failure_of(Mischief::OldPhase), timeout);
}

/// An entry is looked at only when it is next.
#[test]
fn a_phase_that_turns_early_is_not_looked_at_before_its_time() {
    // With two ahead, there is one that is not new in between when the driver comes there.
    for ahead in [1, 2, 3] {
        let mut reads = 0;
        for nth in 0..31 {
            let (bench, failure) = suffer(config(), nth, Mischief::EarlyPhase(ahead));
            reads += usize::from(failure.is_none());
            // The head in the garbage may be an old one by the time that it is read.
            let is_found_out = failure.is_none_or(|failure| {
                let Failure::Protocol(violation) = failure else {
                    return false;
                };
                matches!(
                    violation,
                    Violation::UnknownCommand { .. } | Violation::SubmissionHead { .. }
                )
            });
            assert!(is_found_out, "{failure:?}");
            assert_recovers(bench);
        }
        // The device answers two commands at a time. So every other time the entry is in order when it is looked at.
        assert!(reads >= 15, "{reads} of those with {ahead} ahead");
    }
}

#[test]
fn silence_is_a_timeout_after_ten_seconds() {
    let bench = Bench::new(config());
    bench.machine.model().mischief = Some((0, Mischief::Silence));
    let bus = bench.pages(1);
    let before = bench.machine.microseconds();
    let result = bench.read(1, 0, &list(&[(bus, 4096)]));
    let waited = bench.machine.microseconds() - before;
    let timeout = Failure::Timeout(Waiting::Io);
    assert_eq!(result, Err(Error::Failed(timeout)));
    assert!((10_000_000..14_000_000).contains(&waited), "{waited}");
    assert_dead(&bench, timeout);
    assert_recovers(bench);
}

#[test]
fn a_flush_that_is_never_answered_is_a_timeout() {
    let bench = Bench::new(config());
    bench.machine.model().mischief = Some((0, Mischief::Silence));
    let timeout = Failure::Timeout(Waiting::Io);
    assert_eq!(bench.flush(1), Err(Error::Failed(timeout)));
    assert_dead(&bench, timeout);
    assert_recovers(bench);
}

/// The device goes on writing to memory, and says that it never stops. When the call
/// returns, it cannot reach the memory any more.
#[test]
fn a_device_that_runs_away_is_cut_off() {
    let bench = Bench::new(config());
    bench.machine.model().mischief = Some((0, Mischief::Runaway));
    let bus = bench.pages(8);
    let target = list(&[(bus, 8 * 4096)]);
    let timeout = Failure::Timeout(Waiting::Io);
    assert_eq!(bench.read(1, 0, &target), Err(Error::Failed(timeout)));
    assert_eq!(bench.machine.model().stops, 1);
    // The caller takes its memory back, and the device tries again and again.
    let mine = vec![0x11; 8 * 4096];
    bench.set_contents(&target, &mine);
    let refused = bench.machine.model().memory.refused;
    for _ in 0..1000 {
        bench.machine.tick();
    }
    assert!(bench.machine.model().memory.refused > refused, "it did try");
    assert_eq!(bench.contents(&target), mine);
}

#[test]
fn a_reset_of_a_device_that_never_stops_fails_and_keeps_it_cut_off() {
    let (bench, _) = suffer(config(), 2, Mischief::Runaway);
    let timeout = Failure::Timeout(Waiting::Disable);
    assert_eq!(bench.reset(), Err(Error::Failed(timeout)));
    assert!(!bench.machine.model().memory.dma);
    assert_eq!(bench.dead(), Some(timeout));
    assert_recovers(bench);
}

#[test]
fn fatal_status_is_seen_long_before_the_timeout() {
    let quick = |mischief, expected| {
        let bench = Bench::new(config());
        bench.machine.model().mischief = Some((4, mischief));
        let bus = bench.pages(64);
        let before = bench.machine.microseconds();
        let result = bench.read(1, 0, &list(&[(bus, 64 * 4096)]));
        assert_eq!(result, Err(Error::Failed(expected)));
        let waited = bench.machine.microseconds() - before;
        assert!(waited < 700_000, "{waited}");
        assert_dead(&bench, expected);
        assert_recovers(bench);
    };
    quick(Mischief::Fatal, Failure::Fatal);
    quick(Mischief::Gone, Failure::Gone);
    quick(Mischief::NotReady, Failure::NotReady);
}

/// Registers that read as zeros say "disabled", but it is not the controller that says so.
#[test]
fn a_device_that_vanished_is_not_believed_to_be_disabled() {
    let (bench, failure) = suffer(config(), 4, Mischief::Vanished);
    assert_eq!(failure, Some(Failure::Gone), "configuration space says so");
    assert_eq!(bench.machine.model().read64(CAP), 0);
    assert!(!bench.machine.model().memory.dma);
    let bench = bench;
    assert_eq!(
        bench.reset(),
        Err(Error::Failed(Failure::Gone)),
        "this is not the controller that it was"
    );
    assert_recovers(bench);
}

#[test]
fn noise_in_the_completion_queue_is_found_out() {
    for seed in 1..80 {
        let mut config = config();
        config.seed = seed;
        let (bench, failure) = suffer(config, seed as usize % 7, Mischief::Noise);
        assert!(failure.is_some());
        assert_recovers(bench);
    }
}

#[test]
fn an_admin_command_that_is_never_answered_is_a_timeout() {
    let machine = Machine::new(config());
    machine.model().deaf_to = Some(0x09);
    let error = bring_up(&machine).err().expect("it does not come up");
    let timeout = Failure::Timeout(Waiting::Admin(nvme::Command::SetNumberOfQueues));
    assert_eq!(error, Error::Failed(timeout));
    assert_eq!(machine.model().memory.mapped_pages(), 0);
    assert_eq!(machine.model().memory.faults, []);
}

#[test]
fn a_failed_reset_leaves_the_controller_dead_and_a_later_one_revives_it() {
    let bench = Bench::new(config());
    let internal = status(0, 6);
    bench.machine.model().bad_admin.insert(0x05, internal);
    let error = bench.reset().expect_err("it fails");
    assert_eq!(error, Error::Failed(Failure::SetUp));
    assert_dead(&bench, Failure::SetUp);
    bench.machine.model().bad_admin.clear();
    bench.reset().expect("it comes back");
    bench.flush(1).expect("it works");
}

/// A clock that moves only in large steps ends waits as well.
#[test]
fn a_coarse_clock_is_good_enough() {
    let mut config = config();
    config.tick = 3_000_000;
    let bench = Bench::new(config);
    bench.machine.model().mischief = Some((0, Mischief::Silence));
    let bus = bench.pages(1);
    let result = bench.read(1, 0, &list(&[(bus, 4096)]));
    assert_eq!(result, Err(Error::Failed(Failure::Timeout(Waiting::Io))));
}

/// An answer that comes before the limit counts, however late.
#[test]
fn an_answer_in_the_last_moment_is_taken() {
    let mut config = config();
    config.tick = 100_000;
    for (latency, is_good) in [(50, true), (90, true), (99, true), (150, false)] {
        // Set-up takes its own answers late; only this one matters.
        let bench = Bench::new(config.clone());
        bench.machine.model().config.latency = latency;
        let bus = bench.pages(1);
        let target = list(&[(bus, 4096)]);
        match bench.read(1, 0, &target) {
            Ok(()) => {
                assert!(is_good, "{latency}");
                assert_eq!(bench.contents(&target), bench.disk(1, 0, 1));
            }
            Err(error) => {
                assert!(!is_good, "{latency}");
                assert_eq!(error, Error::Failed(Failure::Timeout(Waiting::Io)));
            }
        }
    }
}
