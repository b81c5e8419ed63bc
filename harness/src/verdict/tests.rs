//! Every way to end, as recorded text.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::*;
use crate::qmp::Shutdown;
use crate::records::Channel;

const NAME: &str = "kernel::tests::some";
const EXPECTED: Expectation<'static> = Expectation {
    name: NAME,
    should_panic: None,
};

/// A machine that left these records, one a line, and this wait status.
fn ending(records: &[&str], code: i32) -> Ending {
    let mut channel = Channel::default();
    for byte in records
        .iter()
        .flat_map(|line| format!("{line}\u{1e}\n").into_bytes())
    {
        channel.push(byte);
    }
    channel.finish();
    Ending {
        command: String::new(),
        channel,
        serial: String::new(),
        complaints: String::new(),
        status: ExitStatus::from_raw(code << 8),
        shutdown: None,
        stopped: None,
        remains: Vec::new(),
        time: Duration::ZERO,
        guest_time: Duration::ZERO,
        trouble: Vec::new(),
    }
}

const GOOD: [&str; 4] = [
    "0 hello 1",
    "1 begin kernel::tests::some",
    "2 outcome ok",
    "3 bye ",
];
const PANIC: [&str; 4] = [
    "0 hello 1",
    "1 begin kernel::tests::some",
    "2 panic index out of bounds",
    "3 bye ",
];

fn because(reason: &str) -> Option<Shutdown> {
    Some(Shutdown {
        guest: true,
        reason: reason.to_owned(),
    })
}

#[test]
fn three_witnesses_make_a_pass() {
    assert_eq!(judge(&ending(&GOOD, 33), EXPECTED), Ok(()));
    let newer = Ending {
        shutdown: because("guest-shutdown"),
        ..ending(&GOOD, 33)
    };
    assert_eq!(judge(&newer, EXPECTED), Ok(()));
}

#[test]
fn two_witnesses_do_not() {
    for code in [65, 0, 2, 35, 33 + 2] {
        assert!(
            judge(&ending(&GOOD, code), EXPECTED).is_err(),
            "status {code}"
        );
    }
    for reason in ["guest-reset", "guest-panic", "host-qmp-quit", "host-signal"] {
        let ending = Ending {
            shutdown: because(reason),
            ..ending(&GOOD, 33)
        };
        assert!(judge(&ending, EXPECTED).is_err(), "{reason}");
    }
    for count in 0..GOOD.len() {
        let failure = judge(&ending(&GOOD[..count], 33), EXPECTED).unwrap_err();
        assert!(
            matches!(failure, Failure::EarlyExit { code: 33, .. }),
            "{failure}"
        );
    }
}

#[test]
fn every_missing_record_is_missed() {
    for missing in 0..GOOD.len() {
        let mut records = GOOD.to_vec();
        records.remove(missing);
        assert!(
            judge(&ending(&records, 33), EXPECTED).is_err(),
            "without record {missing}"
        );
    }
}

#[test]
fn another_test_is_not_this_test() {
    let other = Expectation {
        name: "kernel::tests::other",
        should_panic: None,
    };
    assert!(matches!(
        judge(&ending(&GOOD, 33), other),
        Err(Failure::EarlyExit { .. })
    ));
}

#[test]
fn records_after_the_last_one_spoil_it() {
    let records = [&GOOD[..], &["4 outcome ok"]].concat();
    assert!(judge(&ending(&records, 33), EXPECTED).is_err());
}

#[test]
fn notes_and_questions_do_not_matter() {
    let records = [
        "0 hello 1",
        "1 note x",
        "2 begin kernel::tests::some",
        "3 call f 0",
        "4 outcome ok",
        "5 bye ",
    ];
    assert_eq!(judge(&ending(&records, 33), EXPECTED), Ok(()));
}

#[test]
fn a_panic_is_a_panic() {
    let failure = judge(&ending(&PANIC, 65), EXPECTED);
    assert_eq!(
        failure,
        Err(Failure::Panicked("index out of bounds".into()))
    );
}

#[test]
fn a_panic_that_was_meant_passes_if_its_message_is_the_right_one() {
    let meant = |text| Expectation {
        name: NAME,
        should_panic: Some(text),
    };
    assert_eq!(judge(&ending(&PANIC, 65), meant("out of bounds")), Ok(()));
    assert_eq!(judge(&ending(&PANIC, 65), meant("")), Ok(()));
    let other = judge(&ending(&PANIC, 65), meant("overflow"));
    assert!(matches!(other, Err(Failure::OtherPanic { .. })));
    assert_eq!(
        judge(&ending(&GOOD, 33), meant("")),
        Err(Failure::DidNotPanic)
    );
    let claimed = judge(&ending(&PANIC, 33), meant("out of bounds"));
    assert!(
        matches!(claimed, Err(Failure::Contradiction(_))),
        "a panic cannot end with success"
    );
    let quiet = judge(&ending(&PANIC[..3], 65), meant("out of bounds"));
    assert!(
        matches!(quiet, Err(Failure::EarlyExit { .. })),
        "without `bye`"
    );
}

#[test]
fn an_exception_is_named_even_where_a_panic_is_meant() {
    let records = [
        "0 hello 1",
        "1 begin kernel::tests::some",
        "2 fault 14",
        "3 bye ",
    ];
    let meant = Expectation {
        should_panic: Some(""),
        ..EXPECTED
    };
    for expected in [EXPECTED, meant] {
        let failure = judge(&ending(&records, 65), expected).unwrap_err();
        assert_eq!(failure, Failure::Fault(14));
        assert!(failure.to_string().contains("page fault"));
    }
}

#[test]
fn a_reset_is_a_triple_fault_although_the_status_is_zero() {
    let ending = Ending {
        shutdown: because("guest-reset"),
        ..ending(&GOOD[..2], 0)
    };
    assert_eq!(judge(&ending, EXPECTED), Err(Failure::TripleFault));
}

#[test]
fn a_hang_is_a_hang_even_after_the_last_record() {
    let limit = Duration::from_secs(3);
    for count in [0, 2, 4] {
        let stopped = Some(Stop::TimeLimit(limit));
        let status = ExitStatus::from_raw(9);
        let ending = Ending {
            stopped,
            status,
            ..ending(&GOOD[..count], 0)
        };
        let failure = judge(&ending, EXPECTED).unwrap_err();
        assert!(matches!(failure, Failure::Hang { .. }), "{failure}");
    }
}

#[test]
fn a_question_that_nobody_answered_is_the_harness_s_fault() {
    let stopped = Some(Stop::TimeLimit(Duration::from_secs(3)));
    let trouble = vec!["no answer".to_owned()];
    let ending = Ending {
        stopped,
        trouble,
        ..ending(&GOOD[..2], 0)
    };
    assert_eq!(
        judge(&ending, EXPECTED),
        Err(Failure::Harness("no answer".into()))
    );
}

#[test]
fn a_guest_that_is_just_gone_has_vanished() {
    let shutdown = because("guest-shutdown");
    let quiet = Ending {
        shutdown,
        ..ending(&GOOD[..2], 0)
    };
    assert!(matches!(judge(&quiet, EXPECTED), Err(Failure::Vanished(_))));
    let killed = Ending {
        status: ExitStatus::from_raw(11),
        ..ending(&GOOD[..2], 0)
    };
    let failure = judge(&killed, EXPECTED).unwrap_err();
    assert!(failure.to_string().contains("signal 11"), "{failure}");
}

#[test]
fn qemu_s_own_failure_is_no_failure_of_the_guest() {
    let complaints = "qemu: -device nvmx: no such device\n".to_owned();
    let ending = Ending {
        complaints,
        ..ending(&[], 1)
    };
    let failure = judge(&ending, EXPECTED).unwrap_err();
    assert_eq!(
        failure,
        Failure::Qemu("qemu: -device nvmx: no such device".into())
    );
}

#[test]
fn a_lost_record_spoils_an_otherwise_good_end() {
    let records = [
        "0 hello 1",
        "1 begin kernel::tests::some",
        "3 outcome ok",
        "4 bye ",
    ];
    assert!(matches!(
        judge(&ending(&records, 33), EXPECTED),
        Err(Failure::Channel(_))
    ));
}
