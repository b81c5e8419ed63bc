//! In-VM tests that are broken on purpose, and what the harness must make of them.

use std::sync::{Arc, OnceLock};

use harness::image::{self, Image};
use harness::list::{self, Listed};
use harness::machine::Accel;
use harness::trial;
use harness::verdict::Failure;
use libtest_mimic::{Failed, Trial};

/// The module with the broken tests.
const MODULE: &str = "vm_tests::selftest";

/// A broken test, what must be said of it, and what its report must contain.
type Case = (&'static str, fn(&Failure) -> bool, &'static [&'static str]);

const CASES: [Case; 18] = [
    (
        "panics",
        |failure| matches!(failure, Failure::Panicked(text) if text.contains("out of bounds")),
        &[
            "--- command line",
            "-kernel",
            "--- serial output",
            "--- backtrace",
            "vm_tests::selftest::panics",
        ],
    ),
    (
        "panics_with_another_message",
        |failure| matches!(failure, Failure::OtherPanic { message, .. } if message == "this and that"),
        &["--- backtrace"],
    ),
    (
        "does_not_panic",
        |failure| *failure == Failure::DidNotPanic,
        &[],
    ),
    (
        "returns_an_error",
        |failure| matches!(failure, Failure::Panicked(text) if text.contains("no luck")),
        &[],
    ),
    (
        "page_faults",
        |failure| *failure == Failure::Fault(14),
        &[
            "--- serial output",
            "--- backtrace",
            "vm_tests::selftest::page_faults",
        ],
    ),
    (
        "executes_an_invalid_opcode",
        |failure| *failure == Failure::Fault(6),
        &["--- backtrace"],
    ),
    (
        "overflows_the_stack",
        |failure| *failure == Failure::Fault(14),
        &["selftest::overflows_the_stack"],
    ),
    (
        "overflows_the_stack_of_another_core",
        |failure| *failure == Failure::Fault(14),
        &[
            "on core 1",
            "in the guard page of core 1's main stack",
            "selftest::overflows_the_stack",
        ],
    ),
    (
        "gets_a_non_maskable_interrupt",
        |failure| *failure == Failure::Fault(2),
        &["nobody says why"],
    ),
    (
        "gets_a_machine_check",
        |failure| *failure == Failure::Fault(18),
        &[
            "bank 9: an error of the memory controller, not corrected",
            "at 0x0000000012345000",
        ],
    ),
    (
        "triple_faults",
        |failure| *failure == Failure::TripleFault,
        &[
            "triple fault",
            "--- backtrace",
            "vm_tests::selftest::triple_faults",
        ],
    ),
    (
        "resets_the_machine",
        |failure| *failure == Failure::TripleFault,
        &["the machine was reset"],
    ),
    (
        "hangs",
        |failure| matches!(failure, Failure::Hang { .. }),
        &[
            "begin vm_tests::selftest::hangs",
            "--- backtrace",
            "vm_tests::selftest::hangs",
        ],
    ),
    (
        "loses_what_was_to_outlast_it",
        |failure| matches!(failure, Failure::Lost(text) if text.contains("byte 3 behind byte 8")),
        &["it did not last", "call machine.kill"],
    ),
    (
        "is_killed_again_and_again",
        |failure| matches!(failure, Failure::Vanished(text) if text.contains("signal 9")),
        &[],
    ),
    (
        "panics_after_it_was_killed",
        |failure| matches!(failure, Failure::Panicked(text) if text.contains("kills: 1")),
        &["--- backtrace"],
    ),
    (
        "exits_early_with_success",
        |failure| matches!(failure, Failure::EarlyExit { code: 33, .. }),
        &["exited early"],
    ),
    (
        "exits_early_with_failure",
        |failure| matches!(failure, Failure::EarlyExit { code: 65, .. }),
        &["exited early"],
    ),
];

/// The image and its tests, built when the first trial wants them.
type Suite = OnceLock<Result<(Image, Vec<Listed>), String>>;

/// The trials of this module.
pub(crate) fn trials() -> Vec<Trial> {
    let suite = Arc::new(Suite::new());
    let mut trials = Vec::new();
    for case in CASES {
        let suite = Arc::clone(&suite);
        trials.push(Trial::test(format!("kernel::{}", case.0), move || {
            check(&suite, case)
        }));
    }
    trials.push(Trial::test(
        "kernel::every_broken_test_is_tried",
        move || {
            let (_, tests) = built(&suite)?;
            let broken: Vec<_> = tests
                .iter()
                .filter_map(|test| test.name.strip_prefix(MODULE))
                .collect();
            let tried = |name: &str| {
                CASES
                    .iter()
                    .any(|case| name.strip_prefix("::") == Some(case.0))
            };
            match broken.iter().find(|name| !tried(name)) {
                Some(name) => Err(format!("nobody looks at `{MODULE}{name}`").into()),
                None if broken.len() == CASES.len() => Ok(()),
                None => Err("a broken test is missing in the image".into()),
            }
        },
    ));
    trials
}

fn check(suite: &Suite, (name, right, parts): Case) -> Result<(), Failed> {
    let (image, tests) = built(suite)?;
    let name = format!("{MODULE}::{name}");
    let test = tests.iter().find(|test| test.name == name);
    let test = test.ok_or_else(|| format!("the image has no test `{name}`"))?;
    let trial = trial::run(image, test, Accel::Tcg).map_err(|error| format!("{error:#}"))?;
    let report = trial.report(image, test);
    let Some(failure) = trial.failure else {
        return Err(format!("a broken test has passed:\n{report}").into());
    };
    if !right(&failure) {
        return Err(format!("it was reported as something else:\n{report}").into());
    }
    match parts.iter().find(|part| !report.contains(**part)) {
        Some(part) => Err(format!("the report does not contain `{part}`:\n{report}").into()),
        None => Ok(()),
    }
}

fn built(suite: &Suite) -> Result<&(Image, Vec<Listed>), Failed> {
    let build = || {
        let image = image::build("vm-tests")?;
        let tests = list::read(&image.kernel)?;
        Ok::<_, anyhow::Error>((image, tests))
    };
    let suite = suite.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    suite.as_ref().map_err(|error| error.as_str().into())
}
