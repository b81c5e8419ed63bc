//! Devices that answer nonsense, go away at the worst moment, or cannot make up their mind.
//!
//! What breaks the rings is beside, in `hostile`. Here is the rest: whatever the device says,
//! the driver ends with an error of the request concerned, or with the right data.

use crate::model::{Bench, Config, Fate, Machine, Mischief, Then, list};
use nvme::Status;

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
        let status = Status::from(word);
        let is_read = read_during(Mischief::Status(word), 3);
        assert!(!is_read || status.is_success(), "{status}");
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
    for cid in [0, 1, 0x3f, 0x7fff, 0xffff] {
        read_during(Mischief::Stranger(cid), 2);
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
            Err(error) => assert!(!error.to_string().is_empty()),
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
        if bench.read(1, 0, &target).is_ok() {
            assert_eq!(bench.contents(&target), bench.disk(1, 0, 64));
        }
        bench.machine.model().repair();
        bench.reset().expect("it comes back");
        bench.read(1, 0, &target).expect("it reads");
    }
}

/// Identify data that are something else at each look.
#[test]
fn a_device_that_changes_its_identity_at_each_look_does_no_harm() {
    for seed in 1..100 {
        let mut config = config();
        config.seed = seed * 7919;
        let machine = Machine::new(config);
        machine.model().fickle = true;
        if let Ok(bench) = Bench::start(machine.clone()) {
            let bus = bench.pages(1);
            let _ = bench.read(1, 0, &list(&[(bus, 4096)]));
            let _ = bench.reset();
            machine.model().offences.clear();
            machine.model().memory.unmap(bus, 1);
        }
        assert_eq!(machine.model().memory.faults, []);
        assert_eq!(machine.model().memory.mapped_pages(), 0);
    }
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

/// A command is lost while others go on; what has asked for it gets an error in time.
#[test]
fn a_lost_command_is_a_timeout_of_its_request() {
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
        assert!(waited < 60_000_000, "{waited}");
        if result.is_ok() {
            assert_eq!(bench.contents(&target), bench.disk(1, 0, 64));
        }
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
        bench.flush(1).expect("an answer");
    }
}
