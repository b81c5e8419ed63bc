//! Devices that answer nonsense, go away at the worst moment, or cannot make up their mind.
//!
//! What breaks the rings is beside, in `hostile`. Here is the rest: whatever the device says,
//! the driver ends with an error of the request concerned, or with the right data.

use crate::model::{Bench, Config, Fate, Machine, Mischief, Then, list, status};
use nvme::{Error, Failure, Status, Violation};

fn config() -> Config {
    let mut config = Config::with_disk(4096, 12).mdts(1).mqes(7);
    config.per_tick = 2;
    config
}

/// Reads 64 blocks while `mischief` happens at the `nth` completion. Returns whether that
/// has succeeded; then the data are right. Afterwards the controller works again.
fn read_during(mischief: Mischief, nth: usize) -> bool {
    let bench = Bench::new(config());
    bench.machine.model().mischief = Some((nth, mischief));
    let bus = bench.pages(64);
    let target = list(&[(bus, 64 * 4096)]);
    let is_read = bench.read(1, 0, &target).is_ok();
    if is_read {
        assert_eq!(bench.contents(&target), bench.disk(1, 0, 64));
    }
    bench.machine.model().repair();
    bench.reset().expect("it comes back");
    bench.read(1, 0, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, 0, 64));
    is_read
}

/// Every word that a status can be: reserved types, reserved codes, vendor's codes.
#[test]
fn garbage_for_a_status_is_an_error_and_no_more() {
    for word in (2..=u16::MAX).step_by(239) {
        // Type and code, without what else is in the word.
        let is_success = word & 0x0ffe == 0;
        let is_read = read_during(Mischief::Status(word), 3);
        assert_eq!(is_read, is_success, "{}", Status::from(word));
    }
}

/// A head that only lags behind is no lie: then the data are right. Any other is found out.
#[test]
fn a_submission_head_that_goes_back_is_found_out() {
    let reads = (0..16).map(|nth| read_during(Mischief::HeadGoesBack, nth));
    assert!(reads.filter(|is_read| !is_read).count() >= 4);
}

/// More completions than the queue has entries, and than there are commands. A storm of twice
/// the queue's entries leaves the phase tags as they were, and nothing to be seen.
#[test]
fn a_storm_of_completions_is_weathered() {
    for count in [1, 6, 7, 8, 9, 16, 1000] {
        for nth in [0, 5, 9] {
            let is_read = read_during(Mischief::Storm(count), nth);
            assert!(!is_read || count % 16 == 0, "{count}");
        }
    }
}

#[test]
fn a_completion_of_a_free_slot_is_found_out() {
    // Slots that are busy, under a name that was never given, and slots that are not there.
    for cid in [0, 1, 0x3f, 0x7fff, 0xffff] {
        assert!(!read_during(Mischief::Stranger(cid), 2), "{cid:#x}");
    }
    // Two commands have the first two slots. The others have never had any.
    for cid in [2, 3, 6] {
        let bench = Bench::new(config());
        bench.machine.model().mischief = Some((0, Mischief::Stranger(cid)));
        let target = list(&[(bench.pages(4), 4 * 4096)]);
        let unknown = Failure::Protocol(Violation::UnknownCommand { cid });
        assert_eq!(bench.read(1, 0, &target), Err(Error::Failed(unknown)));
    }
}

/// The slot has a command, and the identifier was one of its earlier ones.
#[test]
fn a_completion_of_an_older_command_in_the_same_slot_is_found_out() {
    for nth in 0..24 {
        for which in [0, 1, 2, 0x102, 0x203, 0x303] {
            let is_read = read_during(Mischief::Stale(which), nth);
            // At the end there may be no other command.
            assert!(!is_read || nth > 16, "{which:#x} at completion {nth}");
        }
    }
}

/// All ones from one register access to the next, at each moment of bring-up.
#[test]
fn a_device_that_is_pulled_out_while_it_comes_up_is_gone() {
    let mut came_up = false;
    for left in 0..200 {
        let machine = Machine::new(config());
        machine.model().gone_after = Some(left);
        match Bench::start(machine.clone()) {
            Ok(bench) => {
                came_up = true;
                drop(bench);
            }
            // Half of the capabilities were read before.
            Err(Error::Unsupported(_)) => assert_eq!(left, 1),
            Err(error) => assert_eq!(error, Error::Failed(Failure::Gone), "{left}"),
        }
        let model = machine.model();
        assert_eq!(model.memory.mapped_pages(), 0, "after {left} accesses");
        assert_eq!(model.memory.faults, []);
    }
    assert!(came_up, "the moments were all too early");
}

/// The same while a long read is on the way.
#[test]
fn a_device_that_is_pulled_out_while_it_works_ends_the_request() {
    for left in 0..40 {
        let bench = Bench::new(config());
        bench.machine.model().gone_after = Some(left);
        let bus = bench.pages(64);
        let target = list(&[(bus, 64 * 4096)]);
        let before = bench.machine.model().clock;
        match bench.read(1, 0, &target) {
            Ok(()) => assert_eq!(bench.contents(&target), bench.disk(1, 0, 64)),
            Err(error) => assert_eq!(error, Error::Failed(Failure::Gone), "{left}"),
        }
        let waited = bench.machine.model().clock - before;
        assert!(waited < 2_000_000, "{waited}: nobody answers any more");
        bench.machine.model().repair();
        bench.reset().expect("it comes back");
        bench.read(1, 0, &target).expect("it reads");
    }
}

/// Identify data that are something else at each look.
#[test]
fn a_device_that_changes_its_identity_at_each_look_does_no_harm() {
    let honest = Bench::new(config());
    let mut came_up = 0;
    for seed in 1..100 {
        let mut config = config();
        config.seed = seed * 7919;
        let machine = Machine::new(config);
        machine.model().fickle = true;
        if let Ok(bench) = Bench::start(machine.clone()) {
            came_up += 1;
            let bus = bench.pages(1);
            let target = list(&[(bus, 4096)]);
            let _ = bench.read(1, 0, &target);
            let _ = bench.reset();
            machine.model().offences.clear();
            // Once it stays the same, all that was said before is forgotten.
            machine.model().fickle = false;
            bench.reset().expect("it comes back");
            assert_eq!(bench.controller.identity(), honest.controller.identity());
            assert_eq!(bench.namespace(1), honest.namespace(1));
            bench.read(1, 7, &target).expect("it reads");
            assert_eq!(bench.contents(&target), bench.disk(1, 7, 1));
            machine.model().memory.unmap(bus, 1);
        }
        assert_eq!(machine.model().memory.faults, []);
        assert_eq!(machine.model().memory.mapped_pages(), 0);
    }
    assert!((10..90).contains(&came_up), "{came_up}");
}

/// Each byte of the identify data that matters, with values that cannot be.
#[test]
fn absurd_identify_data_are_refused_or_lived_with() {
    let places = (0x40..0x50)
        .chain(0x100..0x110)
        .chain(0x200..0x220)
        .chain(0..0x20)
        .chain(0x80..0x88);
    for place in places {
        for value in [0x00, 0x01, 0x0f, 0xc8, 0xff] {
            let mut config = config();
            config.patches.push((place, value));
            let machine = Machine::new(config);
            if let Ok(bench) = Bench::start(machine.clone()) {
                machine.model().offences.clear();
                drop(bench);
            }
            let model = machine.model();
            assert_eq!(model.memory.faults, [], "byte {place:#x} is {value:#x}");
            assert_eq!(model.memory.mapped_pages(), 0);
        }
    }
}

/// A command is lost while others go on. When its time is over it is aborted, and what has asked for it gets
/// an error.
#[test]
fn a_lost_command_ends_in_time_and_so_does_its_request() {
    for after in [0, 1, 6, 7, 20] {
        let bench = Bench::new(config());
        let mut fate = Fate::of_next(0x02, Then::Lose);
        fate.after = after;
        bench.machine.model().fates.push(fate);
        let bus = bench.pages(64);
        let target = list(&[(bus, 64 * 4096)]);
        let before = bench.machine.model().clock;
        let result = bench.read(1, 0, &target);
        let waited = bench.machine.model().clock - before;
        assert!((10_000_000..14_000_000).contains(&waited), "{waited}");
        let Err(Error::Command(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(
            error.status,
            status(0, 0x07),
            "aborted, as the driver has asked for"
        );
        assert_eq!(error.block, Some(2 * after as u64));
        assert_eq!(bench.controller.failures(), 0, "the others have gone on");
        let _ = bench.reset();
        bench.read(1, 0, &target).expect("it reads");
    }
}

/// Whatever the grant of queues says, from none that make sense to more than there can be.
#[test]
fn any_grant_of_queues_is_lived_with() {
    for granted in [(1, 1), (1, 64), (64, 1), (2, 3), (0xfff, 0xfff)] {
        let bench = Bench::new(Config {
            granted,
            ..config()
        });
        assert_eq!(bench.controller.queues(), 1, "no more than was asked for");
        bench.flush(1).expect("an answer");
    }
}
