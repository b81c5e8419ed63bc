//! Guests without a kernel, each with its way to end, and what the harness must make of it.

use std::path::PathBuf;
use std::time::Duration;

use harness::machine::{Machine, Memory, Nvme};
use harness::micro::Micro;
use harness::records::Flaw;
use harness::verdict::{Expectation, Failure, judge};
use harness::vm::{Conditions, Console, Ending, boot};
use libtest_mimic::{Failed, Trial};
use vm_test::pattern;

const NAME: &str = "micro::test";

/// Runs a guest and compares the judgement with what it should be.
fn check(
    guest: Micro,
    should_panic: Option<&str>,
    right: impl FnOnce(&Result<(), Failure>) -> bool,
) -> Result<(), Failed> {
    let ending = run(guest, |_| {})?;
    let verdict = judge(
        &ending,
        Expectation {
            name: NAME,
            should_panic,
        },
    );
    if right(&verdict) {
        Ok(())
    } else {
        Err(format!("{verdict:?}\n{ending:#?}").into())
    }
}

fn run(guest: Micro, change: impl FnOnce(&mut Machine)) -> Result<Ending, Failed> {
    run_for(LIMIT, guest, change)
}

fn run_for(
    limit: Duration,
    guest: Micro,
    change: impl FnOnce(&mut Machine),
) -> Result<Ending, Failed> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("guest.elf");
    guest.write(&image)?;
    let mut machine = Machine {
        ram: 64 << 20,
        memory: Memory::Shared,
        ..Machine::new(image)
    };
    change(&mut machine);
    Ok(boot(
        &machine,
        Conditions {
            console: Console::Captured,
            limit: Some(limit),
        },
    )?)
}

/// Long enough for a loaded host to get through the firmware. Nobody waits so long but for a guest that hangs and should
/// not.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How long a guest is looked at that is to hang. It hangs, whether it has come through the firmware by then or not.
const HANG: Duration = Duration::from_secs(5);

fn good() -> Micro {
    Micro::begun(NAME).record("outcome ok").record("bye ")
}

/// The trials of this module.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: &str, run: fn() -> Result<(), Failed>| {
        trials.push(Trial::test(format!("micro::{name}"), run));
    };
    add("a_guest_that_does_all_it_should_passes", || {
        check(good().exit(0x10), None, |verdict| *verdict == Ok(()))
    });
    add(
        "all_records_and_then_a_triple_fault_is_a_triple_fault",
        || {
            check(good().triple_fault(), None, |verdict| {
                *verdict == Err(Failure::TripleFault)
            })
        },
    );
    add("all_records_and_then_a_hang_is_a_hang", || {
        let ending = run_for(HANG, good(), |_| {})?;
        let expected = Expectation {
            name: NAME,
            should_panic: None,
        };
        match judge(&ending, expected) {
            Err(Failure::Hang { limit: HANG, .. }) => Ok(()),
            other => Err(format!("{other:?}\n{ending:#?}").into()),
        }
    });
    add(
        "all_records_and_the_status_of_a_failure_is_a_contradiction",
        || {
            check(good().exit(0x20), None, |verdict| {
                matches!(verdict, Err(Failure::Contradiction(_)))
            })
        },
    );
    add("success_without_a_record_is_an_early_exit", || {
        check(Micro::new().exit(0x10), None, |verdict| {
            matches!(
                verdict,
                Err(Failure::EarlyExit {
                    code: 33,
                    last: None
                })
            )
        })
    });
    add("success_without_bye_is_an_early_exit", || {
        let guest = Micro::begun(NAME).record("outcome ok").exit(0x10);
        check(guest, None, |verdict| {
            matches!(verdict, Err(Failure::EarlyExit { code: 33, .. }))
        })
    });
    add("success_of_another_test_is_an_early_exit", || {
        let guest = Micro::begun("micro::other")
            .record("outcome ok")
            .record("bye ")
            .exit(0x10);
        check(guest, None, |verdict| {
            matches!(verdict, Err(Failure::EarlyExit { .. }))
        })
    });
    add("a_panic_is_a_panic", || {
        let guest = Micro::begun(NAME)
            .record("panic oh")
            .record("bye ")
            .exit(0x20);
        check(guest, None, |verdict| {
            *verdict == Err(Failure::Panicked("oh".into()))
        })
    });
    add("a_panic_that_was_meant_passes", || {
        let guest = Micro::begun(NAME)
            .record("panic oh no")
            .record("bye ")
            .exit(0x20);
        check(guest, Some("oh"), |verdict| *verdict == Ok(()))
    });
    add("a_panic_that_was_meant_and_did_not_come_fails", || {
        check(good().exit(0x10), Some(""), |verdict| {
            *verdict == Err(Failure::DidNotPanic)
        })
    });
    add(
        "a_meant_panic_followed_by_a_triple_fault_is_a_triple_fault",
        || {
            let guest = Micro::begun(NAME)
                .record("panic oh")
                .record("bye ")
                .triple_fault();
            check(guest, Some("oh"), |verdict| {
                *verdict == Err(Failure::TripleFault)
            })
        },
    );
    add("an_exception_is_that_exception", || {
        let guest = Micro::begun(NAME)
            .record("fault 6")
            .record("bye ")
            .exit(0x20);
        check(guest, None, |verdict| *verdict == Err(Failure::Fault(6)))
    });
    add("a_torn_record_spoils_a_good_end", || {
        let guest = Micro::new().send(b"0 note torn\n").record("hello 1");
        let guest = guest
            .record(&format!("begin {NAME}"))
            .record("outcome ok")
            .record("bye ");
        check(
            guest.exit(0x10),
            None,
            |verdict| matches!(verdict, Err(Failure::Channel(Flaw::Torn(line))) if line == "0 note torn"),
        )
    });
    add("qemu_that_does_not_start_is_qemu_s_failure", || {
        let ending = run(good(), |machine| {
            machine.extra = vec!["-device".into(), "no-such-device".into()];
        })?;
        let verdict = judge(
            &ending,
            Expectation {
                name: NAME,
                should_panic: None,
            },
        );
        match verdict {
            Err(Failure::Qemu(text)) if text.contains("no-such-device") => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    });
    add("the_host_writes_guest_memory_and_the_guest_sees_it", || {
        let word = u32::from_le_bytes(*pattern::word(7, 1).first_chunk().expect("8 bytes"));
        let guest = Micro::begun(NAME)
            .call(0x30_0000, "call memory.fill 300000 400000 1000 7 0")
            .expect(0x40_0008, word)
            .record("outcome ok")
            .record("bye ");
        check(guest.exit(0x10), None, |verdict| *verdict == Ok(()))
    });
    add("the_host_sees_the_bytes_of_a_disk", || {
        let disk = tempfile::NamedTempFile::new()?;
        std::fs::write(disk.path(), [0, 1, 2, 3].repeat(1024))?;
        let path: PathBuf = disk.path().to_owned();
        let guest = Micro::begun(NAME)
            .call(0x30_0000, "call disk.read 300000 0 801 400000 8")
            .expect(0x40_0000, 0x0003_0201);
        let guest = guest.record("outcome ok").record("bye ").exit(0x10);
        let ending = run(guest, |machine| machine.disks.push(Nvme::new(path)))?;
        judge(
            &ending,
            Expectation {
                name: NAME,
                should_panic: None,
            },
        )
        .map_err(|failure| failure.to_string().into())
    });
    add(
        "a_question_to_a_host_that_sees_no_memory_is_the_harness_s_failure",
        || {
            let guest = Micro::begun(NAME)
                .call(0x30_0000, "call memory.sum 300000 0 1")
                .exit(0x10);
            let ending = run(guest, |machine| machine.memory = Memory::Private)?;
            match judge(
                &ending,
                Expectation {
                    name: NAME,
                    should_panic: None,
                },
            ) {
                Err(Failure::Harness(text)) if text.contains("does not share its memory") => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        },
    );
    trials
}
